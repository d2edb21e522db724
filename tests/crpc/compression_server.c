/* See compression_server.h. The handlers run on the server's worker. */
#include "compression_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

/* ---- the server ---- */

struct crpc_frame *shared_frame;

/* text: what to do about compression. Tells by its text how the request came, and how long it was. */
static int say(struct crpc_call *call, const ProtobufCMessage *message, ProtobufCMessage *ret_response,
               struct err *ret_err)
{
    const PKG(SayRequest) *request = (const void *)message;
    PKG(SayResponse) *response = (void *)ret_response;
    int rc = 0;
    if (strcmp(request->text, "gzip") == 0)
        rc = crpc_call_set_compression(call, CRPC_COMPRESSION_GZIP, ret_err);
    else if (strcmp(request->text, "deflate") == 0)
        rc = crpc_call_set_compression(call, CRPC_COMPRESSION_DEFLATE, ret_err);
    else if (strcmp(request->text, "none") == 0)
        rc = crpc_call_set_compression(call, CRPC_COMPRESSION_NONE, ret_err);
    else if (strcmp(request->text, "plain") == 0)
        crpc_call_compress(call, false);
    else if (strcmp(request->text, "fail") == 0)
        rc = err_set(ret_err, ERR_ABORTED, NULL, "failed as asked");
    response->text = crpc_call_received_compressed(call) ? (char *)"compressed" : (char *)"plain";
    response->data = request->data;
    response->time_left_ms = (int64_t)request->data.len;
    return rc;
}

struct count {
    int number;
};

static enum crpc_next count_next(struct crpc_call *call)
{
    static const struct crpc_step next = {"count_next", count_next};
    const PKG(CountRequest) *request = crpc_test_v1_echo_service_count_request(call);
    struct count *c = crpc_call_state(call);
    struct err err;
    /* Too late: the first message has named the encoding. */
    if (c->number > 0 && crpc_call_set_compression(call, CRPC_COMPRESSION_NONE, &err) != -ERR_FAILED_PRECONDITION)
        return crpc_finish(call, &(struct err){.code = ERR_INTERNAL});
    if (c->number == request->upto)
        return crpc_finish(call, NULL);
    c->number++;
    crpc_call_compress(call, c->number % 2 == 1);
    if (request->frames)
        return crpc_send_frame(call, shared_frame, &next);
    PKG(CountResponse) response = CRPC__TEST__V1__COUNT_RESPONSE__INIT;
    response.number = c->number;
    response.data.len = (size_t)request->size;
    response.data.data = arena_zalloc(crpc_call_arena(call), response.data.len);
    if (!request->bytes)
        return crpc_test_v1_echo_service_count_send(call, &response, &next);
    struct crpc_bytes bytes = {.data = calloc(1, response.data.len), .len = response.data.len, .release = free};
    bytes.user = (void *)bytes.data;
    response.data.len = 0;
    return crpc_send_bytes(call, &response.base, 2, &bytes, &next);
}

struct sum {
    int n, compressed;
};

/* Answers how many messages came, and how many of them compressed. */
static enum crpc_next sum_got(struct crpc_call *call)
{
    static const struct crpc_step again = {"sum_got", sum_got};
    struct sum *s = crpc_call_state(call);
    if (crpc_call_cancelled(call))
        return crpc_end(call);
    if (!crpc_test_v1_echo_service_sum_received(call)) {
        PKG(SumResponse) response = CRPC__TEST__V1__SUM_RESPONSE__INIT;
        response.sum = s->n;
        response.count = s->compressed;
        return crpc_test_v1_echo_service_sum_reply(call, &response);
    }
    s->n++;
    s->compressed += crpc_call_received_compressed(call);
    return crpc_recv(call, &again);
}

static enum crpc_next sum_start(struct crpc_call *call)
{
    static const struct crpc_step got = {"sum_got", sum_got};
    return crpc_recv(call, &got);
}

static enum crpc_next nothing(struct crpc_call *call)
{
    return crpc_finish(call, NULL);
}

static const struct crpc_step COUNT = {"count_next", count_next}, SUM = {"sum_start", sum_start},
                              NOTHING = {"nothing", nothing};
static const struct crpc_test_v1_echo_service_handlers HANDLERS = {
    .say = {.simple = say},
    .defer = {.first = &NOTHING},
    .persist = {.first = &NOTHING},
    .count = {.first = &COUNT, .state_size = sizeof(struct count)},
    .sum = {.first = &SUM, .state_size = sizeof(struct sum)},
    .chat = {.first = &NOTHING},
};

void start(struct fixture *f, enum crpc_compression compression)
{
    struct err err = ERR_NONE;
    struct crpc_server_options o = {.max_message_bytes = MAX_BYTES, .compression = compression};
    f->server = crpc_server_new(&o, &err);
    if (!f->server || crpc_test_v1_echo_service_mount(f->server, &HANDLERS, NULL, &err) < 0 ||
        crpc_server_listen(f->server, "127.0.0.1:0", &f->port, &err) < 0 || crpc_server_start(f->server, &err) < 0)
        fail_msg("server: %s", err.msg);
}

void stop(struct fixture *f)
{
    crpc_server_drain(f->server, 10000);
    crpc_server_free(f->server);
}

/* ---- messages ---- */

static struct bytes packed; /* what is made here; large, so static */

/* text, and size bytes of value zero. */
const uint8_t *say_request(const char *text, size_t size, size_t *ret_len)
{
    static uint8_t wire[2 << 20];
    PKG(SayRequest) request = CRPC__TEST__V1__SAY_REQUEST__INIT;
    request.text = (char *)text;
    request.data.len = size;
    request.data.data = calloc(1, size + 1);
    *ret_len = protobuf_c_message_pack(&request.base, wire);
    free(request.data.data);
    return wire;
}

struct bytes *deflated(const uint8_t *data, size_t len, int bits)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (uint8_t *)data;
    z.avail_in = (unsigned)len;
    z.next_out = packed.data;
    z.avail_out = sizeof packed.data;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    packed.len = sizeof packed.data - z.avail_out;
    deflateEnd(&z);
    return &packed;
}

size_t inflated(const struct wire_message *m, int bits, uint8_t *out, size_t room)
{
    z_stream z = {0};
    assert_int_equal(inflateInit2(&z, bits), Z_OK);
    z.next_in = (uint8_t *)m->bytes;
    z.avail_in = m->len;
    z.next_out = out;
    z.avail_out = (unsigned)room;
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    inflateEnd(&z);
    return room - z.avail_out;
}

PKG(SayResponse) * say_response(const struct wire_message *m, int bits)
{
    static uint8_t wire[2 << 20];
    size_t len = m->flag ? inflated(m, bits, wire, sizeof wire) : m->len;
    ProtobufCMessage *msg =
        protobuf_c_message_unpack(&crpc__test__v1__say_response__descriptor, NULL, len, m->flag ? wire : m->bytes);
    assert_non_null(msg);
    return (PKG(SayResponse) *)msg;
}

void say_response_free(PKG(SayResponse) * response)
{
    protobuf_c_message_free_unpacked(&response->base, NULL);
}
