/* Compressed messages that a server sends: to whom, which, and as what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compression_server.h"

/* Says text with so many bytes; the answer must come in that encoding (NULL: none). */
static void answered(const struct fixture *f, const char *accept, const char *text, size_t size, const char *encoding)
{
    struct wire_header headers[] = {{accept ? "grpc-accept-encoding" : NULL, accept}, {NULL, NULL}};
    struct wire_body body = {.len = 0};
    struct wire_answer a;
    size_t len;
    const uint8_t *wire = say_request(text, size, &len);
    wire_put(&body, 0, wire, len);
    wire_call(f->port, SERVICE "Say", headers, &body, &a);
    assert_int_equal(wire_status(&a), 0);
    assert_int_equal(a.n_messages, 1);
    const char *named = wire_value(&a, "grpc-encoding");
    if (encoding && (!named || strcmp(named, encoding) != 0))
        fail_msg("%s to %s: want %s, got %s", text, accept, encoding, named ? named : "none");
    if (!encoding)
        assert_int_equal(a.messages[0].flag, 0);
    else if (size > 1000)
        assert_int_equal(a.messages[0].flag, 1);
    PKG(SayResponse) *response =
        say_response(&a.messages[0], encoding && strcmp(encoding, "gzip") == 0 ? GZIP_BITS : DEFLATE_BITS);
    assert_int_equal(response->data.len, size);
    say_response_free(response);
    wire_done(&a);
}

static void test_answers_as_the_handler_asks(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, CRPC_COMPRESSION_DEFAULT);
    answered(&f, "identity,deflate,gzip", "", 40000, NULL);
    answered(&f, "identity,deflate,gzip", "gzip", 40000, "gzip");
    answered(&f, "identity,deflate,gzip", "deflate", 40000, "deflate");
    /* The other one, or none, when the client says so. */
    answered(&f, "identity,deflate", "gzip", 40000, "deflate");
    answered(&f, "gzip", "deflate", 40000, "gzip");
    answered(&f, "identity", "gzip", 40000, NULL);
    answered(&f, "zstd, snappy", "gzip", 40000, NULL);
    answered(&f, NULL, "gzip", 40000, NULL);
    /* Too short to gain anything: not compressed, though the encoding is named. */
    answered(&f, "gzip", "gzip", 0, "gzip");
    stop(&f);
}

static void test_answers_as_the_server_is_told(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, CRPC_COMPRESSION_GZIP);
    answered(&f, "identity,deflate,gzip", "", 40000, "gzip");
    answered(&f, "identity,deflate,gzip", "deflate", 40000, "deflate");
    answered(&f, "identity,deflate,gzip", "none", 40000, NULL);
    answered(&f, NULL, "", 40000, NULL);
    struct wire_header accept[] = {{"grpc-accept-encoding", "gzip"}, {NULL, NULL}};
    struct wire_body body = {.len = 0};
    struct wire_answer a;
    size_t len;
    const uint8_t *wire = say_request("plain", 40000, &len);
    wire_put(&body, 0, wire, len);
    wire_call(f.port, SERVICE "Say", accept, &body, &a); /* this one answer not, in a call that could */
    assert_int_equal(wire_status(&a), 0);
    assert_int_equal(a.messages[0].flag, 0);
    assert_true(a.messages[0].len > 40000);
    wire_done(&a);
    body.len = 0;
    wire = say_request("fail", 0, &len);
    wire_put(&body, 0, wire, len);
    wire_call(f.port, SERVICE "Say", accept, &body, &a);
    assert_int_equal(wire_status(&a), ERR_ABORTED);
    assert_int_equal(a.n_messages, 0);
    wire_done(&a);
    stop(&f);
}

/* Counts with the given request; every second message is to be compressed. */
static void count(const struct fixture *f, const char *accept, PKG(CountRequest) * request, bool compressed)
{
    struct wire_header headers[] = {{"grpc-accept-encoding", accept}, {NULL, NULL}};
    struct wire_body body = {.len = 0};
    struct wire_answer a;
    uint8_t wire[100];
    static uint8_t out[100000];
    wire_put(&body, 0, wire, protobuf_c_message_pack(&request->base, wire));
    wire_call(f->port, SERVICE "Count", headers, &body, &a);
    assert_int_equal(wire_status(&a), 0);
    assert_int_equal(a.n_messages, request->upto);
    int bits = strcmp(accept, "deflate") == 0 ? DEFLATE_BITS : GZIP_BITS;
    for (size_t i = 0; i < a.n_messages; i++) {
        const struct wire_message *m = &a.messages[i];
        assert_int_equal(m->flag, compressed && i % 2 == 0);
        size_t len = m->flag ? inflated(m, bits, out, sizeof out) : m->len;
        PKG(CountResponse) *response = crpc__test__v1__count_response__unpack(NULL, len, m->flag ? out : m->bytes);
        assert_non_null(response);
        assert_int_equal(response->data.len, request->size);
        crpc__test__v1__count_response__free_unpacked(response, NULL);
    }
    wire_done(&a);
}

static void test_messages_of_a_stream_out(void **state)
{
    (void)state;
    struct fixture f;
    PKG(CountRequest) request = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    request.upto = 6;
    request.size = 30000;
    start(&f, CRPC_COMPRESSION_GZIP);
    count(&f, "gzip", &request, true);
    count(&f, "deflate", &request, true);
    count(&f, "identity", &request, false);
    stop(&f);
}

static void test_bytes(void **state)
{
    (void)state;
    struct fixture f;
    PKG(CountRequest) request = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    request.upto = 6;
    request.size = 30000;
    request.bytes = true;
    start(&f, CRPC_COMPRESSION_GZIP);
    count(&f, "gzip", &request, true);
    count(&f, "identity", &request, false);
    stop(&f);
}

static void test_shared_frames(void **state)
{
    (void)state;
    struct fixture f;
    PKG(CountResponse) response = CRPC__TEST__V1__COUNT_RESPONSE__INIT;
    response.data.len = 30000;
    response.data.data = calloc(1, 30000);
    shared_frame = crpc_frame_encode(&response.base);
    assert_non_null(shared_frame);
    PKG(CountRequest) request = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    request.upto = 6;
    request.size = 30000;
    request.frames = true;
    start(&f, CRPC_COMPRESSION_GZIP);
    /* The same frame to clients of all kinds, again and again. */
    for (int i = 0; i < 2; i++) {
        count(&f, "gzip", &request, true);
        count(&f, "deflate", &request, true);
        count(&f, "identity", &request, false);
    }
    stop(&f);
    crpc_frame_unref(shared_frame);

    /* One that does not get shorter goes out as it is. */
    for (int i = 0; i < 30000; i++)
        response.data.data[i] = (uint8_t)(rand() >> 7);
    shared_frame = crpc_frame_encode(&response.base);
    start(&f, CRPC_COMPRESSION_GZIP);
    count(&f, "gzip", &request, false);
    count(&f, "gzip", &request, false);
    stop(&f);
    crpc_frame_unref(shared_frame);
    free(response.data.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_as_the_handler_asks),
        cmocka_unit_test(test_answers_as_the_server_is_told),
        cmocka_unit_test(test_messages_of_a_stream_out),
        cmocka_unit_test(test_shared_frames),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
