/* Interop case custom_metadata: what the client sends comes back with the first answer and with the status. Main
 * thread. */
#include <string.h>

#include "interop_cases.h"

#define INITIAL_KEY  "x-grpc-test-echo-initial"
#define TRAILING_KEY "x-grpc-test-echo-trailing-bin"

static const struct crpc_metadata sent[] = {{INITIAL_KEY, SPAN_LIT("test_initial_metadata_value")},
                                            {TRAILING_KEY, SPAN_LIT("\xab\xab\xab")}};

static void check_came(const struct crpc_metadata_list *list, const struct crpc_metadata *want)
{
    const struct crpc_metadata *got = crpc_metadata_find(list, want->key);
    if (!got)
        interop_fail("no %s came", want->key);
    if (!span_eq(got->value, want->value))
        interop_fail("%s came with another value", want->key);
}

static void with_unary(const struct interop *t)
{
    struct crpc_response response = {0};
    struct crpc_call_options options = {.metadata = sent, .n_metadata = 2, .response = &response};
    simple_request_t q = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    simple_response_t *r = NULL;
    struct err err = ERR_NONE;
    q.response_size = LARGE_RESPONSE;
    interop_want_code(interop_unary(t->channel, &options, &q, &r, &err), ERR_OK, &err);
    check_came(&response.initial, &sent[0]);
    check_came(&response.trailing, &sent[1]);
    crpc_message_free(&r->base);
    crpc_response_done(&response);
}

static void with_stream(const struct interop *t)
{
    struct crpc_call_options options = {.metadata = sent, .n_metadata = 2};
    struct crpc_metadata_list list;
    struct err err = ERR_NONE;
    struct crpc_stream *s = interop_duplex(t, &options);
    interop_duplex_write(s, LARGE_REQUEST, LARGE_RESPONSE);
    interop_want_code(crpc_stream_close_write(s, &err), ERR_OK, &err);
    interop_want_code(crpc_stream_initial(s, &list, &err), ERR_OK, &err);
    check_came(&list, &sent[0]);
    interop_duplex_read(s, LARGE_RESPONSE);
    interop_want_code(interop_duplex_end(s, &err), ERR_OK, &err);
    interop_want_code(crpc_stream_trailing(s, &list, &err), ERR_OK, &err);
    check_came(&list, &sent[1]);
    crpc_stream_free(s);
}

static void custom_metadata(const struct interop *t)
{
    with_unary(t);
    with_stream(t);
}

const struct interop_case interop_metadata_cases[] = {
    {"custom_metadata", custom_metadata},
    {NULL, NULL},
};
