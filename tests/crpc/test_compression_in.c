/* Compressed messages that a server gets, from a client that writes its own frames: what is understood, what is refused
 * and how, and what a bomb costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compression_server.h"

/* Say with one message as it stands; gives the status. came: how the handler must have seen it. */
static int send_say(const struct fixture *f, const char *encoding, uint8_t flag, const void *message, size_t len,
                    const char *came)
{
    struct wire_header headers[] = {{encoding ? "grpc-encoding" : NULL, encoding}, {NULL, NULL}};
    struct wire_body body = {.len = 0};
    struct wire_answer a;
    wire_put(&body, flag, message, len);
    wire_call(f->port, SERVICE "Say", headers, &body, &a);
    int status = wire_status(&a);
    /* The peer learns what is understood here, above all when that is the matter. */
    const char *accepted = wire_value(&a, "grpc-accept-encoding");
    if (status == 0 || status == ERR_UNIMPLEMENTED)
        assert_true(accepted && strstr(accepted, "gzip") && strstr(accepted, "deflate") &&
                    strstr(accepted, "identity"));
    if (status == 0) {
        assert_int_equal(a.n_messages, 1);
        PKG(SayResponse) *response = say_response(&a.messages[0], GZIP_BITS);
        assert_string_equal(response->text, came);
        say_response_free(response);
    }
    wire_done(&a);
    return status;
}

static void test_understood(void **state)
{
    struct fixture *f = *state;
    size_t len;
    const uint8_t *wire = say_request("", 50000, &len);
    struct bytes *p = deflated(wire, len, GZIP_BITS);
    assert_true(p->len < 1000);
    assert_int_equal(send_say(f, "gzip", 1, p->data, p->len, "compressed"), 0);
    p = deflated(wire, len, DEFLATE_BITS);
    assert_int_equal(send_say(f, "deflate", 1, p->data, p->len, "compressed"), 0);
    /* The encoding is for those messages that say so. */
    assert_int_equal(send_say(f, "gzip", 0, wire, len, "plain"), 0);
    assert_int_equal(send_say(f, "identity", 0, wire, len, "plain"), 0);
    assert_int_equal(send_say(f, "snappy", 0, wire, len, "plain"), 0);
    wire = say_request("", 0, &len);
    p = deflated(wire, len, GZIP_BITS);
    assert_int_equal(send_say(f, "gzip", 1, p->data, p->len, "compressed"), 0); /* of nothing */
}

static void test_encodings_that_nobody_knows(void **state)
{
    struct fixture *f = *state;
    size_t len;
    const uint8_t *wire = say_request("", 1000, &len);
    struct bytes *p = deflated(wire, len, GZIP_BITS);
    assert_int_equal(send_say(f, "snappy", 1, p->data, p->len, ""), ERR_UNIMPLEMENTED);
    assert_int_equal(send_say(f, "identity", 1, p->data, p->len, ""), ERR_UNIMPLEMENTED);
    assert_int_equal(send_say(f, NULL, 1, p->data, p->len, ""), ERR_UNIMPLEMENTED);
    /* Even where it could be read as it is. */
    assert_int_equal(send_say(f, "zstd", 1, wire, len, ""), ERR_UNIMPLEMENTED);
}

static void test_streams_that_are_none(void **state)
{
    struct fixture *f = *state;
    size_t len;
    const uint8_t *wire = say_request("", 1000, &len);
    struct bytes *p = deflated(wire, len, GZIP_BITS);
    assert_int_equal(send_say(f, "deflate", 1, p->data, p->len, ""), ERR_INTERNAL);  /* it is gzip */
    assert_int_equal(send_say(f, "gzip", 1, p->data, p->len - 1, ""), ERR_INTERNAL); /* cut off */
    assert_int_equal(send_say(f, "gzip", 1, p->data, p->len + 1, ""), ERR_INTERNAL); /* and more */
    assert_int_equal(send_say(f, "gzip", 1, p->data, 0, ""), ERR_INTERNAL);
    assert_int_equal(send_say(f, "gzip", 1, wire, len, ""), ERR_INTERNAL);
    p->data[p->len - 5] ^= 1; /* the checksum */
    assert_int_equal(send_say(f, "gzip", 1, p->data, p->len, ""), ERR_INTERNAL);
    /* Well compressed, but what comes out is no message. */
    p = deflated((const uint8_t *)"\377\377\377", 3, GZIP_BITS);
    assert_int_equal(send_say(f, "gzip", 1, p->data, p->len, ""), ERR_INVALID_ARGUMENT);
}

static void test_limit_is_for_what_comes_out(void **state)
{
    struct fixture *f = *state;
    size_t len;
    size_t over = 0;
    const uint8_t *wire = say_request("", MAX_BYTES - 10, &len);
    over = len - (MAX_BYTES - 10); /* of the message around the bytes */
    wire = say_request("", MAX_BYTES - over, &len);
    assert_int_equal(len, MAX_BYTES);
    struct bytes *p = deflated(wire, len, GZIP_BITS);
    assert_int_equal(send_say(f, "gzip", 1, p->data, p->len, "compressed"), 0);
    wire = say_request("", MAX_BYTES - over + 1, &len);
    p = deflated(wire, len, GZIP_BITS);
    assert_int_equal(send_say(f, "gzip", 1, p->data, p->len, ""), ERR_RESOURCE_EXHAUSTED);
    p = deflated(wire, len, DEFLATE_BITS);
    assert_int_equal(send_say(f, "deflate", 1, p->data, p->len, ""), ERR_RESOURCE_EXHAUSTED);
}

/* Peak of this process' memory, in KiB. */
static long peak_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    fclose(status);
    return kib;
}

/* 40 MB in 40 KB: it costs the limit, not its size. */
static void test_bomb(void **state)
{
    struct fixture *f = *state;
    static uint8_t zeros[40 << 20];
    struct bytes *p = deflated(zeros, sizeof zeros, GZIP_BITS);
    long before = peak_kib();
    for (int i = 0; i < 8; i++)
        assert_int_equal(send_say(f, "gzip", 1, p->data, p->len, ""), ERR_RESOURCE_EXHAUSTED);
    assert_in_range(peak_kib() - before, 0, 20 << 10);
}

static void test_messages_of_a_stream(void **state)
{
    struct fixture *f = *state;
    struct wire_header gzip[] = {{"grpc-encoding", "gzip"}, {NULL, NULL}};
    struct wire_body body = {.len = 0};
    struct wire_answer a;
    PKG(SumRequest) request = CRPC__TEST__V1__SUM_REQUEST__INIT;
    char note[2000];
    memset(note, 'n', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    request.note = note;
    uint8_t wire[2100];
    size_t len = protobuf_c_message_pack(&request.base, wire);
    struct bytes *p = deflated(wire, len, GZIP_BITS);
    wire_put(&body, 1, p->data, p->len);
    wire_put(&body, 0, wire, len);
    wire_put(&body, 1, p->data, p->len);
    wire_call(f->port, SERVICE "Sum", gzip, &body, &a);
    assert_int_equal(wire_status(&a), 0);
    PKG(SumResponse) *response = crpc__test__v1__sum_response__unpack(NULL, a.messages[0].len, a.messages[0].bytes);
    assert_int_equal(response->sum, 3);
    assert_int_equal(response->count, 2);
    crpc__test__v1__sum_response__free_unpacked(response, NULL);
    wire_done(&a);

    wire_put(&body, 1, p->data, p->len - 1);
    wire_call(f->port, SERVICE "Sum", gzip, &body, &a);
    assert_int_equal(wire_status(&a), ERR_INTERNAL);
    wire_done(&a);
}

static int setup(void **state)
{
    static struct fixture f;
    start(&f, CRPC_COMPRESSION_DEFAULT);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    stop(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_understood, setup, teardown),
        cmocka_unit_test_setup_teardown(test_encodings_that_nobody_knows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_streams_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit_is_for_what_comes_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bomb, setup, teardown),
        cmocka_unit_test_setup_teardown(test_messages_of_a_stream, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
