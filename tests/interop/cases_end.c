/* Interop cases of calls that end otherwise than with OK: statuses, cancellation, deadlines, methods that are not
 * there. Main thread. */
#include <string.h>

#include "interop_cases.h"

static void unary_status(const struct interop *t, Grpc__Testing__EchoStatus *status)
{
    simple_request_t q = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    simple_response_t *r = NULL;
    struct err err = ERR_NONE;
    q.response_status = status;
    interop_want_code(grpc_testing_test_service_unary_call(t->channel, NULL, &q, &r, &err), (enum err_code)status->code,
                      &err);
    INTEROP_CHECK(strcmp(err.msg, status->message) == 0);
}

static void status_code_and_message(const struct interop *t)
{
    Grpc__Testing__EchoStatus status = GRPC__TESTING__ECHO_STATUS__INIT;
    output_request_t q = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    struct err err = ERR_NONE;
    status.code = ERR_UNKNOWN;
    status.message = "test status message";
    unary_status(t, &status);

    struct crpc_stream *s = interop_duplex(t, NULL);
    q.response_status = &status;
    interop_want_code(grpc_testing_test_service_full_duplex_call_write(s, &q, &err), ERR_OK, &err);
    crpc_stream_close_write(s, NULL); /* the server may have ended the call by now */
    interop_want_code(interop_duplex_end(s, &err), ERR_UNKNOWN, &err);
    INTEROP_CHECK(strcmp(err.msg, status.message) == 0);
    crpc_stream_free(s);
}

static void special_status_message(const struct interop *t)
{
    Grpc__Testing__EchoStatus status = GRPC__TESTING__ECHO_STATUS__INIT;
    status.code = ERR_UNKNOWN;
    status.message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n";
    unary_status(t, &status);
}

static void unimplemented_method(const struct interop *t)
{
    Grpc__Testing__Empty q = GRPC__TESTING__EMPTY__INIT, *r = NULL;
    struct err err = ERR_NONE;
    interop_want_code(grpc_testing_test_service_unimplemented_call(t->channel, NULL, &q, &r, &err), ERR_UNIMPLEMENTED,
                      &err);
}

static void unimplemented_service(const struct interop *t)
{
    Grpc__Testing__Empty q = GRPC__TESTING__EMPTY__INIT, *r = NULL;
    struct err err = ERR_NONE;
    interop_want_code(grpc_testing_unimplemented_service_unimplemented_call(t->channel, NULL, &q, &r, &err),
                      ERR_UNIMPLEMENTED, &err);
}

static void cancel_after_begin(const struct interop *t)
{
    struct err err = ERR_NONE;
    struct crpc_stream *s = grpc_testing_test_service_streaming_input_call_open(t->channel, NULL, &err);
    input_response_t *r = NULL;
    INTEROP_CHECK(s);
    crpc_stream_cancel(s);
    interop_want_code(grpc_testing_test_service_streaming_input_call_read(s, &r, &err), ERR_CANCELLED, &err);
    crpc_stream_free(s);
}

static void cancel_after_first_response(const struct interop *t)
{
    struct err err = ERR_NONE;
    struct crpc_stream *s = interop_duplex(t, NULL);
    interop_duplex_write(s, 27182, 31415);
    interop_duplex_read(s, 31415);
    crpc_stream_cancel(s);
    interop_want_code(interop_duplex_end(s, &err), ERR_CANCELLED, &err);
    crpc_stream_free(s);
}

static void timeout_on_sleeping_server(const struct interop *t)
{
    struct crpc_call_options options = {.timeout_ms = 1};
    output_request_t q = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    Grpc__Testing__Payload payload;
    struct err err = ERR_NONE;
    interop_payload(&payload, 27182);
    q.payload = &payload;
    struct crpc_stream *s = interop_duplex(t, &options);
    grpc_testing_test_service_full_duplex_call_write(s, &q, NULL); /* the time may be over by now */
    interop_want_code(interop_duplex_end(s, &err), ERR_DEADLINE_EXCEEDED, &err);
    crpc_stream_free(s);
}

const struct interop_case interop_end_cases[] = {
    {"status_code_and_message", status_code_and_message},
    {"special_status_message", special_status_message},
    {"unimplemented_method", unimplemented_method},
    {"unimplemented_service", unimplemented_service},
    {"cancel_after_begin", cancel_after_begin},
    {"cancel_after_first_response", cancel_after_first_response},
    {"timeout_on_sleeping_server", timeout_on_sleeping_server},
    {NULL, NULL},
};
