/* Interop cases of compressed messages. The first call of the client's two is one that only a server which looks at how
 * messages come refuses. Main thread. */
#include "interop_cases.h"

enum { FIRST = 27182, SECOND = 45904 };

static Grpc__Testing__BoolValue yes = GRPC__TESTING__BOOL_VALUE__INIT, no = GRPC__TESTING__BOOL_VALUE__INIT;

/* One UnaryCall whose request goes out as compression says and which the server is told to expect so, or not. */
static int expect(const struct interop *t, enum crpc_compression compression, Grpc__Testing__BoolValue *expected,
                  struct err *ret_err)
{
    struct crpc_call_options options = {.compression = compression};
    simple_request_t q = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    simple_response_t *r = NULL;
    q.response_size = LARGE_RESPONSE;
    q.expect_compressed = expected;
    int rc = interop_unary(t->channel, &options, &q, &r, ret_err);
    if (rc == 0) {
        interop_check_payload(r->payload, LARGE_RESPONSE);
        crpc_message_free(&r->base);
    }
    return rc;
}

static void client_unary(const struct interop *t, enum crpc_compression compression)
{
    struct err err = ERR_NONE;
    yes.value = true;
    interop_want_code(expect(t, CRPC_COMPRESSION_NONE, &yes, &err), ERR_INVALID_ARGUMENT, &err);
    interop_want_code(expect(t, compression, &yes, &err), ERR_OK, &err);
    interop_want_code(expect(t, CRPC_COMPRESSION_NONE, &no, &err), ERR_OK, &err);
}

static void client_compressed_unary(const struct interop *t)
{
    client_unary(t, CRPC_COMPRESSION_GZIP);
    client_unary(t, CRPC_COMPRESSION_DEFLATE);
}

static struct crpc_stream *open_input(const struct interop *t)
{
    struct crpc_call_options options = {.compression = CRPC_COMPRESSION_GZIP};
    struct err err = ERR_NONE;
    struct crpc_stream *s = grpc_testing_test_service_streaming_input_call_open(t->channel, &options, &err);
    INTEROP_CHECK(s);
    return s;
}

static void write_input(struct crpc_stream *s, size_t size, bool compressed, Grpc__Testing__BoolValue *expected)
{
    input_request_t q = GRPC__TESTING__STREAMING_INPUT_CALL_REQUEST__INIT;
    Grpc__Testing__Payload payload;
    struct err err = ERR_NONE;
    interop_payload(&payload, size);
    q.payload = &payload;
    q.expect_compressed = expected;
    crpc_stream_compress(s, compressed);
    interop_want_code(grpc_testing_test_service_streaming_input_call_write(s, &q, &err), ERR_OK, &err);
}

static void client_compressed_streaming(const struct interop *t)
{
    input_response_t *r = NULL;
    struct err err = ERR_NONE;
    yes.value = true;
    struct crpc_stream *s = open_input(t);
    write_input(s, FIRST, false, &yes);
    crpc_stream_close_write(s, NULL); /* the server may have ended the call by now */
    interop_want_code(grpc_testing_test_service_streaming_input_call_read(s, &r, &err), ERR_INVALID_ARGUMENT, &err);
    crpc_stream_free(s);

    s = open_input(t);
    write_input(s, FIRST, true, &yes);
    write_input(s, SECOND, false, &no);
    interop_want_code(crpc_stream_close_write(s, &err), ERR_OK, &err);
    INTEROP_CHECK(grpc_testing_test_service_streaming_input_call_read(s, &r, &err) == 1);
    INTEROP_CHECK(r->aggregated_payload_size == FIRST + SECOND);
    crpc_message_free(&r->base);
    crpc_stream_free(s);
}

static void server_compressed_unary(const struct interop *t)
{
    yes.value = true;
    for (int i = 0; i < 2; i++) {
        struct crpc_response response = {0};
        struct crpc_call_options options = {.response = &response};
        simple_request_t q = GRPC__TESTING__SIMPLE_REQUEST__INIT;
        simple_response_t *r = NULL;
        struct err err = ERR_NONE;
        q.response_size = LARGE_RESPONSE;
        q.response_compressed = i == 0 ? &yes : &no;
        interop_want_code(interop_unary(t->channel, &options, &q, &r, &err), ERR_OK, &err);
        INTEROP_CHECK(response.compressed == (i == 0));
        interop_check_payload(r->payload, LARGE_RESPONSE);
        crpc_message_free(&r->base);
        crpc_response_done(&response);
    }
}

static void server_compressed_streaming(const struct interop *t)
{
    static const int sizes[] = {31415, 92653};
    output_request_t q = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    parameters_t parameters[2], *all[2];
    output_response_t *r = NULL;
    struct err err = ERR_NONE;
    yes.value = true;
    for (int i = 0; i < 2; i++) {
        grpc__testing__response_parameters__init(&parameters[i]);
        parameters[i].size = sizes[i];
        parameters[i].compressed = i == 0 ? &yes : &no;
        all[i] = &parameters[i];
    }
    q.response_parameters = all;
    q.n_response_parameters = 2;
    struct crpc_stream *s = grpc_testing_test_service_streaming_output_call_open(t->channel, NULL, &q, &err);
    INTEROP_CHECK(s);
    for (int i = 0; i < 2; i++) {
        INTEROP_CHECK(grpc_testing_test_service_streaming_output_call_read(s, &r, &err) == 1);
        INTEROP_CHECK(crpc_stream_received_compressed(s) == (i == 0));
        interop_check_payload(r->payload, (size_t)sizes[i]);
        crpc_message_free(&r->base);
    }
    interop_want_code(grpc_testing_test_service_streaming_output_call_read(s, &r, &err), ERR_OK, &err);
    crpc_stream_free(s);
}

const struct interop_case interop_compressed_cases[] = {
    {"client_compressed_unary", client_compressed_unary},
    {"client_compressed_streaming", client_compressed_streaming},
    {"server_compressed_unary", server_compressed_unary},
    {"server_compressed_streaming", server_compressed_streaming},
    {NULL, NULL},
};
