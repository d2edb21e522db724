/* Interop cases of streams that end well. Main thread. */
#include "interop_cases.h"

static const int request_sizes[] = {27182, 8, 1828, 45904}, response_sizes[] = {31415, 9, 2653, 58979};
enum { N_SIZES = sizeof request_sizes / sizeof *request_sizes };

struct crpc_stream *interop_duplex(const struct interop *t, const struct crpc_call_options *options)
{
    struct err err = ERR_NONE;
    struct crpc_stream *stream = grpc_testing_test_service_full_duplex_call_open(t->channel, options, &err);
    if (!stream)
        interop_fail("FullDuplexCall: %s", err.msg);
    return stream;
}

void interop_duplex_write(struct crpc_stream *stream, size_t size, int response_size)
{
    output_request_t q = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    parameters_t p = GRPC__TESTING__RESPONSE_PARAMETERS__INIT, *all = &p;
    Grpc__Testing__Payload payload;
    struct err err = ERR_NONE;
    interop_payload(&payload, size);
    q.payload = &payload;
    p.size = response_size;
    if (response_size >= 0) {
        q.response_parameters = &all;
        q.n_response_parameters = 1;
    }
    interop_want_code(grpc_testing_test_service_full_duplex_call_write(stream, &q, &err), ERR_OK, &err);
}

void interop_duplex_read(struct crpc_stream *stream, size_t size)
{
    output_response_t *r = NULL;
    struct err err = ERR_NONE;
    int rc = grpc_testing_test_service_full_duplex_call_read(stream, &r, &err);
    if (rc != 1)
        interop_fail("the stream has ended: %s", rc == 0 ? "OK" : err.msg);
    interop_check_payload(r->payload, size);
    crpc_message_free(&r->base);
}

int interop_duplex_end(struct crpc_stream *stream, struct err *ret_err)
{
    output_response_t *r = NULL;
    int rc = grpc_testing_test_service_full_duplex_call_read(stream, &r, ret_err);
    INTEROP_CHECK(rc != 1);
    return rc;
}

static void client_streaming(const struct interop *t)
{
    struct err err = ERR_NONE;
    struct crpc_stream *s = grpc_testing_test_service_streaming_input_call_open(t->channel, NULL, &err);
    INTEROP_CHECK(s);
    for (int i = 0; i < N_SIZES; i++) {
        input_request_t q = GRPC__TESTING__STREAMING_INPUT_CALL_REQUEST__INIT;
        Grpc__Testing__Payload payload;
        interop_payload(&payload, (size_t)request_sizes[i]);
        q.payload = &payload;
        interop_want_code(grpc_testing_test_service_streaming_input_call_write(s, &q, &err), ERR_OK, &err);
    }
    interop_want_code(crpc_stream_close_write(s, &err), ERR_OK, &err);
    input_response_t *r = NULL, *more = NULL;
    INTEROP_CHECK(grpc_testing_test_service_streaming_input_call_read(s, &r, &err) == 1);
    INTEROP_CHECK(r->aggregated_payload_size == 74922);
    INTEROP_CHECK(grpc_testing_test_service_streaming_input_call_read(s, &more, &err) == 0);
    crpc_message_free(&r->base);
    crpc_stream_free(s);
}

static void server_streaming(const struct interop *t)
{
    output_request_t q = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    parameters_t parameters[N_SIZES], *all[N_SIZES];
    struct err err = ERR_NONE;
    for (int i = 0; i < N_SIZES; i++) {
        grpc__testing__response_parameters__init(&parameters[i]);
        parameters[i].size = response_sizes[i];
        all[i] = &parameters[i];
    }
    q.response_parameters = all;
    q.n_response_parameters = N_SIZES;
    struct crpc_stream *s = grpc_testing_test_service_streaming_output_call_open(t->channel, NULL, &q, &err);
    INTEROP_CHECK(s);
    output_response_t *r = NULL;
    for (int i = 0; i < N_SIZES; i++) {
        INTEROP_CHECK(grpc_testing_test_service_streaming_output_call_read(s, &r, &err) == 1);
        interop_check_payload(r->payload, (size_t)response_sizes[i]);
        crpc_message_free(&r->base);
    }
    interop_want_code(grpc_testing_test_service_streaming_output_call_read(s, &r, &err), ERR_OK, &err);
    crpc_stream_free(s);
}

static void ping_pong(const struct interop *t)
{
    struct err err = ERR_NONE;
    struct crpc_stream *s = interop_duplex(t, NULL);
    for (int i = 0; i < N_SIZES; i++) {
        interop_duplex_write(s, (size_t)request_sizes[i], response_sizes[i]);
        interop_duplex_read(s, (size_t)response_sizes[i]);
    }
    interop_want_code(crpc_stream_close_write(s, &err), ERR_OK, &err);
    interop_want_code(interop_duplex_end(s, &err), ERR_OK, &err);
    crpc_stream_free(s);
}

/* Not among the descriptions' cases, but among the service's methods: all requests, then all answers. */
static void half_duplex(const struct interop *t)
{
    struct err err = ERR_NONE;
    struct crpc_stream *s = grpc_testing_test_service_half_duplex_call_open(t->channel, NULL, &err);
    INTEROP_CHECK(s);
    for (int i = 0; i < N_SIZES; i++)
        interop_duplex_write(s, (size_t)request_sizes[i], response_sizes[i]);
    interop_want_code(crpc_stream_close_write(s, &err), ERR_OK, &err);
    for (int i = 0; i < N_SIZES; i++)
        interop_duplex_read(s, (size_t)response_sizes[i]);
    interop_want_code(interop_duplex_end(s, &err), ERR_OK, &err);
    crpc_stream_free(s);
}

static void empty_stream(const struct interop *t)
{
    struct err err = ERR_NONE;
    struct crpc_stream *s = interop_duplex(t, NULL);
    interop_want_code(crpc_stream_close_write(s, &err), ERR_OK, &err);
    interop_want_code(interop_duplex_end(s, &err), ERR_OK, &err);
    crpc_stream_free(s);
}

const struct interop_case interop_stream_cases[] = {
    {"client_streaming", client_streaming}, {"server_streaming", server_streaming}, {"ping_pong", ping_pong},
    {"half_duplex", half_duplex},           {"empty_stream", empty_stream},         {NULL, NULL},
};
