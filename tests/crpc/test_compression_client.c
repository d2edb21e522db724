/* Compression on the client's side: what it sends as the server sees it, what it understands, and servers that send
 * what they should not. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "compression_server.h"
#include "crpc/async.h"
#include "crpc/client.h"

static const struct crpc_call_options patient = {.timeout_ms = 20000};

static struct crpc_channel *open_channel(int port, enum crpc_compression compression)
{
    char target[64];
    struct err err = ERR_NONE;
    struct crpc_channel_options o = {.compression = compression, .max_message_bytes = MAX_BYTES};
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    struct crpc_channel *channel = crpc_channel_new(target, &o, &err);
    if (!channel)
        fail_msg("%s", err.msg);
    return channel;
}

/* ---- against crpc's server ---- */

/* Says text with so many bytes. came: how the server must have seen it; answered: whether the answer is compressed. */
static void say(struct crpc_channel *channel, enum crpc_compression compression, const char *text, size_t size,
                const char *came, bool answered)
{
    struct err err = ERR_NONE;
    struct crpc_response about = {.memory = NULL};
    struct crpc_call_options o = {.timeout_ms = 20000, .compression = compression, .response = &about};
    PKG(SayRequest) request = CRPC__TEST__V1__SAY_REQUEST__INIT;
    PKG(SayResponse) *response = NULL;
    request.text = (char *)text;
    request.data.len = size;
    request.data.data = calloc(1, size + 1);
    if (crpc_test_v1_echo_service_say(channel, &o, &request, &response, &err) != 0)
        fail_msg("%s: %s", text, err.msg);
    assert_string_equal(response->text, came);
    assert_int_equal(response->data.len, size);
    assert_int_equal(about.compressed, answered);
    crpc_message_free(&response->base);
    crpc_response_done(&about);
    free(request.data.data);
}

static void test_unary(void **state)
{
    struct fixture *f = *state;
    struct crpc_channel *plain = open_channel(f->port, CRPC_COMPRESSION_DEFAULT);
    say(plain, CRPC_COMPRESSION_DEFAULT, "", 40000, "plain", false);
    say(plain, CRPC_COMPRESSION_GZIP, "", 40000, "compressed", false);
    say(plain, CRPC_COMPRESSION_DEFLATE, "", 40000, "compressed", false);
    say(plain, CRPC_COMPRESSION_DEFAULT, "gzip", 40000, "plain", true);
    say(plain, CRPC_COMPRESSION_DEFAULT, "deflate", 40000, "plain", true);
    say(plain, CRPC_COMPRESSION_GZIP, "deflate", 40000, "compressed", true);
    say(plain, CRPC_COMPRESSION_GZIP, "", 0, "plain", false); /* too short */
    crpc_channel_free(plain);
    struct crpc_channel *gzip = open_channel(f->port, CRPC_COMPRESSION_GZIP);
    say(gzip, CRPC_COMPRESSION_DEFAULT, "", 40000, "compressed", false);
    say(gzip, CRPC_COMPRESSION_NONE, "", 40000, "plain", false);
    say(gzip, CRPC_COMPRESSION_DEFLATE, "gzip", 40000, "compressed", true);
    crpc_channel_free(gzip);
}

static void test_stream_out(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_NONE;
    char note[2000];
    memset(note, 'n', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    PKG(SumRequest) request = CRPC__TEST__V1__SUM_REQUEST__INIT;
    PKG(SumResponse) *response = NULL;
    request.note = note;
    struct crpc_channel *channel = open_channel(f->port, CRPC_COMPRESSION_GZIP);
    struct crpc_stream *s = crpc_test_v1_echo_service_sum_open(channel, &patient, &err);
    for (int i = 0; i < 7; i++) {
        crpc_stream_compress(s, i % 3 == 0);
        assert_int_equal(crpc_test_v1_echo_service_sum_write(s, &request, &err), 0);
    }
    assert_int_equal(crpc_stream_close_write(s, &err), 0);
    assert_int_equal(crpc_test_v1_echo_service_sum_read(s, &response, &err), 1);
    assert_int_equal(response->sum, 7);
    assert_int_equal(response->count, 3);
    crpc_message_free(&response->base);
    crpc_stream_free(s);
    crpc_channel_free(channel);
}

static void test_stream_in(void **state)
{
    (void)state;
    struct fixture f;
    struct err err = ERR_NONE;
    start(&f, CRPC_COMPRESSION_GZIP);
    struct crpc_channel *channel = open_channel(f.port, CRPC_COMPRESSION_DEFAULT);
    PKG(CountRequest) request = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    PKG(CountResponse) *response = NULL;
    request.upto = 5;
    request.size = 30000;
    struct crpc_stream *s = crpc_test_v1_echo_service_count_open(channel, &patient, &request, &err);
    for (int i = 0; i < request.upto; i++) {
        assert_int_equal(crpc_test_v1_echo_service_count_read(s, &response, &err), 1);
        assert_int_equal(response->data.len, 30000);
        assert_int_equal(crpc_stream_received_compressed(s), i % 2 == 0);
        crpc_message_free(&response->base);
    }
    assert_int_equal(crpc_test_v1_echo_service_count_read(s, &response, &err), 0);
    crpc_stream_free(s);
    crpc_channel_free(channel);
    stop(&f);
}

/* ---- on a loop ---- */

struct heard {
    int n, compressed, sum, count, to_write;
    enum err_code code;
    bool over;
};

static void heard_message(struct crpc_async *stream, const ProtobufCMessage *msg)
{
    struct heard *h = crpc_async_user(stream);
    h->n++;
    h->compressed += crpc_async_received_compressed(stream);
    if (msg->descriptor == &crpc__test__v1__sum_response__descriptor) {
        h->sum = (int)((const PKG(SumResponse) *)msg)->sum;
        h->count = ((const PKG(SumResponse) *)msg)->count;
    }
}

static void heard_end(struct crpc_async *stream, const struct err *status, const struct crpc_metadata_list *trailing)
{
    struct heard *h = crpc_async_user(stream);
    (void)trailing;
    h->code = status->code;
    h->over = true;
}

static void write_more(struct crpc_async *stream)
{
    struct heard *h = crpc_async_user(stream);
    char note[2000];
    memset(note, 'n', sizeof note - 1);
    note[sizeof note - 1] = '\0';
    PKG(SumRequest) request = CRPC__TEST__V1__SUM_REQUEST__INIT;
    request.note = note;
    if (h->to_write == 0) {
        crpc_async_close_write(stream);
        return;
    }
    crpc_async_compress(stream, --h->to_write % 2 == 0);
    assert_int_equal(crpc_async_write(stream, &request.base, NULL), 0);
}

static const struct crpc_async_events EVENTS = {
    .on_message = heard_message, .on_writable = write_more, .on_end = heard_end};

static void test_async(void **state)
{
    (void)state;
    struct fixture f;
    struct heard h = {.to_write = 5};
    const struct crpc_method *sum = &crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SUM],
                             *count = &crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_COUNT];
    start(&f, CRPC_COMPRESSION_GZIP);
    struct crpc_channel *channel = open_channel(f.port, CRPC_COMPRESSION_DEFLATE);
    struct crpc_loop *loop = crpc_loop_new();
    struct crpc_async *s = crpc_async_start(channel, loop, sum, &patient, NULL, &EVENTS, &h, NULL);
    assert_non_null(s);
    write_more(s);
    while (!h.over)
        crpc_loop_run(loop, -1);
    assert_int_equal(h.code, ERR_OK);
    assert_int_equal(h.sum, 5);
    assert_int_equal(h.count, 3);

    PKG(CountRequest) request = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    request.upto = 5;
    request.size = 30000;
    h = (struct heard){.n = 0};
    assert_non_null(crpc_async_start(channel, loop, count, &patient, &request.base, &EVENTS, &h, NULL));
    while (!h.over)
        crpc_loop_run(loop, -1);
    assert_int_equal(h.code, ERR_OK);
    assert_int_equal(h.n, 5);
    assert_int_equal(h.compressed, 3);
    crpc_loop_free(loop);
    crpc_channel_free(channel);
    stop(&f);
}

/* ---- against servers that err ---- */

struct bad_server {
    int listener, port;
    struct wire_header headers[2];
    struct wire_body body;
    pthread_t thread;
};

static void *serve(void *user)
{
    struct bad_server *b = user;
    wire_serve(b->listener, b->headers, &b->body);
    return NULL;
}

enum form { FORM_UNARY, FORM_STREAM, FORM_ASYNC, FORMS };

static int call(struct crpc_channel *channel, enum form form, struct err *ret_err)
{
    PKG(SayRequest) request = CRPC__TEST__V1__SAY_REQUEST__INIT;
    PKG(CountRequest) many = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    if (form == FORM_UNARY) {
        int rc = crpc_test_v1_echo_service_say(channel, &patient, &request, (PKG(SayResponse) **)&response, ret_err);
        crpc_message_free(response);
        return rc;
    }
    if (form == FORM_STREAM) {
        struct crpc_stream *s = crpc_test_v1_echo_service_count_open(channel, &patient, &many, ret_err);
        int rc = crpc_stream_read(s, &response, ret_err);
        crpc_message_free(response);
        crpc_stream_free(s);
        return rc == 1 ? 0 : rc;
    }
    struct heard h = {.n = 0};
    const struct crpc_method *count = &crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_COUNT];
    struct crpc_loop *loop = crpc_loop_new();
    crpc_async_start(channel, loop, count, &patient, &many.base, &EVENTS, &h, NULL);
    while (!h.over)
        crpc_loop_run(loop, -1);
    crpc_loop_free(loop);
    return -(int)h.code;
}

/* One message of a server that writes its frames by hand; want: how the call ends, in every form. */
static void answer(const char *encoding, uint8_t flag, const void *message, size_t len, int want)
{
    for (int form = 0; form < FORMS; form++) {
        struct err err = ERR_NONE;
        static struct bad_server b;
        b = (struct bad_server){.headers = {{encoding ? "grpc-encoding" : NULL, encoding}}};
        wire_put(&b.body, flag, message, len);
        b.listener = wire_listen(&b.port);
        assert_int_equal(pthread_create(&b.thread, NULL, serve, &b), 0);
        struct crpc_channel *channel = open_channel(b.port, CRPC_COMPRESSION_DEFAULT);
        int rc = call(channel, (enum form)form, &err);
        if (rc != -want)
            fail_msg("form %d, %s: want %d, got %d: %s", form, encoding ? encoding : "no encoding", want, -rc, err.msg);
        crpc_channel_free(channel);
        pthread_join(b.thread, NULL);
        close(b.listener);
    }
}

static void test_servers_that_err(void **state)
{
    (void)state;
    /* What is an answer of each method: bytes only. */
    static uint8_t wire[200000];
    PKG(CountResponse) response = CRPC__TEST__V1__COUNT_RESPONSE__INIT;
    response.data.len = 5000;
    response.data.data = calloc(1, 150000);
    size_t len = protobuf_c_message_pack(&response.base, wire);
    struct bytes *p = deflated(wire, len, GZIP_BITS);
    answer("gzip", 1, p->data, p->len, ERR_OK);
    answer("gzip", 0, wire, len, ERR_OK);
    answer("snappy", 0, wire, len, ERR_OK);
    answer("snappy", 1, p->data, p->len, ERR_INTERNAL);
    answer(NULL, 1, p->data, p->len, ERR_INTERNAL);
    answer("deflate", 1, p->data, p->len, ERR_INTERNAL);
    answer("gzip", 1, p->data, p->len - 1, ERR_INTERNAL);
    answer("gzip", 1, wire, len, ERR_INTERNAL);
    p = deflated((const uint8_t *)"\377\377", 2, GZIP_BITS);
    answer("gzip", 1, p->data, p->len, ERR_INTERNAL); /* no message */
    response.data.len = MAX_BYTES;
    len = protobuf_c_message_pack(&response.base, wire);
    p = deflated(wire, len, GZIP_BITS);
    assert_true(p->len < 1000);
    answer("gzip", 1, p->data, p->len, ERR_RESOURCE_EXHAUSTED);
    free(response.data.data);
}

/* ---- without memory ---- */

static atomic_int left;

static bool gate(size_t size)
{
    (void)size;
    return atomic_fetch_sub(&left, 1) != 0;
}

/* Fails each allocation in turn: an error, or a message that goes uncompressed. */
static void test_without_memory(void **state)
{
    enum { NTH_MAX = 300 };
    struct fixture *f = *state;
    for (int n = 0; n < NTH_MAX; n++) {
        struct err err = ERR_NONE;
        struct crpc_channel *channel = open_channel(f->port, CRPC_COMPRESSION_GZIP);
        struct crpc_call_options o = {.timeout_ms = 20000, .wait_for_ready = true};
        PKG(SayRequest) request = CRPC__TEST__V1__SAY_REQUEST__INIT;
        PKG(SayResponse) *response = NULL;
        request.text = (char *)"gzip";
        request.data.len = 40000;
        request.data.data = calloc(1, 40000);
        atomic_store(&left, n);
        mem_set_gate(gate);
        int rc = crpc_test_v1_echo_service_say(channel, &o, &request, &response, &err);
        mem_set_gate(NULL);
        bool all = atomic_load(&left) >= 0;
        if (rc != 0 && rc != -ERR_RESOURCE_EXHAUSTED && rc != -ERR_UNAVAILABLE && rc != -ERR_CANCELLED)
            fail_msg("allocation %d: %d %s", n, rc, err.msg);
        if (rc == 0)
            assert_int_equal(response->data.len, 40000);
        crpc_message_free(rc == 0 ? &response->base : NULL);
        free(request.data.data);
        crpc_channel_free(channel);
        if (all)
            return;
    }
    fail_msg("more than %d allocations", NTH_MAX);
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
        cmocka_unit_test_setup_teardown(test_unary, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stream_out, setup, teardown),
        cmocka_unit_test(test_stream_in),
        cmocka_unit_test(test_async),
        cmocka_unit_test(test_servers_that_err),
        cmocka_unit_test_setup_teardown(test_without_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
