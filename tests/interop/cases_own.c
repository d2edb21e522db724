/* Not among the descriptions' cases: crpc's calls without blocking, all kinds of them at once on one loop, against the
 * same peers; and messages that are compressed without the server being told. Main thread. */
#include "crpc/async.h"
#include "interop_cases.h"

static const int request_sizes[] = {27182, 8, 1828, 45904}, response_sizes[] = {31415, 9, 2653, 58979};
enum { N_SIZES = sizeof request_sizes / sizeof *request_sizes };

/* One of the calls. */
struct talk {
    enum err_code want; /* how it should end */
    int written, read;  /* messages */
    bool ended;
};

static void end(struct crpc_async *stream, const struct err *status, const struct crpc_metadata_list *trailing)
{
    struct talk *talk = crpc_async_user(stream);
    (void)trailing;
    interop_want_code(-(int)status->code, talk->want, status);
    talk->ended = true;
}

/* ---- UnaryCall ---- */

static void unary_done(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct talk *talk = user;
    interop_want_code(-(int)status->code, ERR_OK, status);
    interop_check_payload(((const simple_response_t *)response)->payload, LARGE_RESPONSE);
    talk->ended = true;
}

static void start_unary(const struct interop *t, struct crpc_loop *loop, struct talk *talk)
{
    simple_request_t q = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    Grpc__Testing__Payload payload;
    struct err err = ERR_NONE;
    interop_payload(&payload, LARGE_REQUEST);
    q.payload = &payload;
    q.response_size = LARGE_RESPONSE;
    interop_want_code(grpc_testing_test_service_unary_call_start(t->channel, loop, NULL, &q, unary_done, talk, &err),
                      ERR_OK, &err);
}

/* ---- StreamingInputCall ---- */

static void input_write(struct crpc_async *stream)
{
    struct talk *talk = crpc_async_user(stream);
    input_request_t q = GRPC__TESTING__STREAMING_INPUT_CALL_REQUEST__INIT;
    Grpc__Testing__Payload payload;
    struct err err = ERR_NONE;
    if (talk->written == N_SIZES) {
        crpc_async_close_write(stream);
        return;
    }
    interop_payload(&payload, (size_t)request_sizes[talk->written++]);
    q.payload = &payload;
    interop_want_code(grpc_testing_test_service_streaming_input_call_push(stream, &q, &err), ERR_OK, &err);
}

static void input_answer(struct crpc_async *stream, const ProtobufCMessage *msg)
{
    struct talk *talk = crpc_async_user(stream);
    INTEROP_CHECK(((const input_response_t *)msg)->aggregated_payload_size == 74922);
    talk->read++;
}

/* ---- StreamingOutputCall, FullDuplexCall ---- */

static void output_answer(struct crpc_async *stream, const ProtobufCMessage *msg)
{
    struct talk *talk = crpc_async_user(stream);
    INTEROP_CHECK(talk->read < N_SIZES);
    interop_check_payload(((const output_response_t *)msg)->payload, (size_t)response_sizes[talk->read++]);
}

static struct crpc_async *start_output(const struct interop *t, struct crpc_loop *loop, struct talk *talk)
{
    static const struct crpc_async_events events = {.on_message = output_answer, .on_end = end};
    output_request_t q = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    parameters_t parameters[N_SIZES], *all[N_SIZES];
    for (int i = 0; i < N_SIZES; i++) {
        grpc__testing__response_parameters__init(&parameters[i]);
        parameters[i].size = response_sizes[i];
        all[i] = &parameters[i];
    }
    q.response_parameters = all;
    q.n_response_parameters = N_SIZES;
    return grpc_testing_test_service_streaming_output_call_start(t->channel, loop, NULL, &q, &events, talk, NULL);
}

static void duplex_write(struct crpc_async *stream)
{
    struct talk *talk = crpc_async_user(stream);
    output_request_t q = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    parameters_t p = GRPC__TESTING__RESPONSE_PARAMETERS__INIT, *all = &p;
    Grpc__Testing__Payload payload;
    struct err err = ERR_NONE;
    interop_payload(&payload, (size_t)request_sizes[talk->written]);
    q.payload = &payload;
    p.size = response_sizes[talk->written++];
    q.response_parameters = &all;
    q.n_response_parameters = 1;
    interop_want_code(grpc_testing_test_service_full_duplex_call_push(stream, &q, &err), ERR_OK, &err);
}

static void pong(struct crpc_async *stream, const ProtobufCMessage *msg)
{
    struct talk *talk = crpc_async_user(stream);
    output_answer(stream, msg);
    if (talk->want == ERR_CANCELLED)
        crpc_async_cancel(stream);
    else if (talk->written == N_SIZES)
        crpc_async_close_write(stream);
    else if (crpc_async_writable(stream))
        duplex_write(stream);
}

/* The answer may be here before the news that its request is with the transport. */
static void ping_out(struct crpc_async *stream)
{
    struct talk *talk = crpc_async_user(stream);
    if (talk->read == talk->written && talk->want == ERR_OK && talk->written < N_SIZES)
        duplex_write(stream);
}

static void start_duplex(const struct interop *t, struct crpc_loop *loop, struct talk *talk)
{
    static const struct crpc_async_events events = {.on_message = pong, .on_writable = ping_out, .on_end = end};
    struct crpc_async *s =
        grpc_testing_test_service_full_duplex_call_start(t->channel, loop, NULL, &events, talk, NULL);
    INTEROP_CHECK(s);
    duplex_write(s);
}

static void async_kinds(const struct interop *t)
{
    static const struct crpc_async_events input = {
        .on_message = input_answer, .on_writable = input_write, .on_end = end};
    struct talk talks[] = {
        {.want = ERR_OK}, {.want = ERR_OK}, {.want = ERR_OK}, {.want = ERR_OK}, {.want = ERR_CANCELLED}};
    enum { UNARY, INPUT, OUTPUT, DUPLEX, CANCELLED, N };
    struct crpc_loop *loop = crpc_loop_new();
    INTEROP_CHECK(loop);
    start_unary(t, loop, &talks[UNARY]);
    struct crpc_async *s =
        grpc_testing_test_service_streaming_input_call_start(t->channel, loop, NULL, &input, &talks[INPUT], NULL);
    INTEROP_CHECK(s && start_output(t, loop, &talks[OUTPUT]));
    input_write(s);
    start_duplex(t, loop, &talks[DUPLEX]);
    start_duplex(t, loop, &talks[CANCELLED]);
    while (crpc_loop_run(loop, -1) > 0)
        ;
    for (int i = 0; i < N; i++)
        INTEROP_CHECK(talks[i].ended);
    INTEROP_CHECK(talks[INPUT].read == 1 && talks[OUTPUT].read == N_SIZES && talks[DUPLEX].read == N_SIZES);
    INTEROP_CHECK(talks[CANCELLED].read == 1);
    crpc_loop_free(loop);
}

/* ---- compressed requests ---- */

static void compressed_requests(const struct interop *t)
{
    static const enum crpc_compression ways[] = {CRPC_COMPRESSION_GZIP, CRPC_COMPRESSION_DEFLATE};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct crpc_call_options options = {.compression = ways[i]};
        simple_request_t q = GRPC__TESTING__SIMPLE_REQUEST__INIT;
        simple_response_t *r = NULL;
        struct err err = ERR_NONE;
        q.response_size = LARGE_RESPONSE;
        interop_want_code(interop_unary(t->channel, &options, &q, &r, &err), ERR_OK, &err);
        interop_check_payload(r->payload, LARGE_RESPONSE);
        crpc_message_free(&r->base);
        struct crpc_stream *s = interop_duplex(t, &options);
        for (int j = 0; j < N_SIZES; j++) {
            crpc_stream_compress(s, j % 2 == 0);
            interop_duplex_write(s, (size_t)request_sizes[j], response_sizes[j]);
            interop_duplex_read(s, (size_t)response_sizes[j]);
        }
        interop_want_code(crpc_stream_close_write(s, &err), ERR_OK, &err);
        interop_want_code(interop_duplex_end(s, &err), ERR_OK, &err);
        crpc_stream_free(s);
    }
}

const struct interop_case interop_own_cases[] = {
    {"async_kinds", async_kinds},
    {"compressed_requests", compressed_requests},
    {NULL, NULL},
};
