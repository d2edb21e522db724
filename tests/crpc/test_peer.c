/* What a peer can do that crpc's own client does not: it speaks to the server through gRPC core itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <grpc/byte_buffer.h>
#include <grpc/compression.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include "echo_server.h"

/* One unary call whose message is compressed; gives its status. Takes message. */
static grpc_status_code call_compressed(struct echo *e, const char *path, grpc_slice message)
{
    grpc_arg gzip = {.type = GRPC_ARG_INTEGER,
                     .key = (char *)GRPC_COMPRESSION_CHANNEL_DEFAULT_ALGORITHM,
                     .value.integer = GRPC_COMPRESS_GZIP};
    grpc_channel_credentials *creds = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(e->target, creds, &(grpc_channel_args){1, &gzip});
    grpc_completion_queue *cq = grpc_completion_queue_create_for_pluck(NULL);
    grpc_call *call =
        grpc_channel_create_call(channel, NULL, GRPC_PROPAGATE_DEFAULTS, cq, grpc_slice_from_static_string(path), NULL,
                                 gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_byte_buffer *out = grpc_raw_byte_buffer_create(&message, 1), *in = NULL;
    grpc_metadata_array initial, trailing;
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
    grpc_status_code code = GRPC_STATUS_UNKNOWN;
    grpc_slice text;
    grpc_op ops[] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = out},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA, .data.recv_initial_metadata.recv_initial_metadata = &initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &in},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &trailing, .status = &code, .status_details = &text}},
    };
    assert_int_equal(grpc_call_start_batch(call, ops, sizeof ops / sizeof *ops, call, NULL), GRPC_CALL_OK);
    grpc_completion_queue_pluck(cq, call, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    if (in)
        grpc_byte_buffer_destroy(in);
    grpc_byte_buffer_destroy(out);
    grpc_slice_unref(message);
    grpc_slice_unref(text);
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_call_unref(call);
    grpc_completion_queue_shutdown(cq);
    grpc_completion_queue_pluck(cq, NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_completion_queue_destroy(cq);
    grpc_channel_destroy(channel);
    grpc_channel_credentials_release(creds);
    return code;
}

/* Kilobytes that would be megabytes: inflated no further than to the limit. */
static void test_compressed(void **state)
{
    enum { LEN = 32 << 20 };
    grpc_slice zeros = grpc_slice_malloc(LEN);
    memset(GRPC_SLICE_START_PTR(zeros), 0, LEN);
    assert_int_equal(call_compressed(*state, "/crpc.test.v1.EchoService/Say", grpc_slice_ref(zeros)),
                     GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(call_compressed(*state, "/crpc.test.v1.EchoService/Sum", zeros), GRPC_STATUS_RESOURCE_EXHAUSTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compressed, echo_setup, echo_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
