/* Interop cases of one request and one answer, and what all cases share. Main thread, but for what the header says. */
#include <string.h>

#include "interop_cases.h"

static uint8_t zeros[BODY_MAX];

void interop_payload(Grpc__Testing__Payload *ret, size_t size)
{
    INTEROP_CHECK(size <= sizeof zeros);
    grpc__testing__payload__init(ret);
    ret->body = (ProtobufCBinaryData){.len = size, .data = zeros};
}

void interop_check_payload(const Grpc__Testing__Payload *payload, size_t size)
{
    INTEROP_CHECK(payload);
    INTEROP_CHECK(payload->type == GRPC__TESTING__PAYLOAD_TYPE__COMPRESSABLE);
    if (payload->body.len != size)
        interop_fail("a payload of %zu bytes, not %zu", payload->body.len, size);
    INTEROP_CHECK(size <= sizeof zeros && (size == 0 || memcmp(payload->body.data, zeros, size) == 0));
}

int interop_unary(struct crpc_channel *channel, const struct crpc_call_options *options, simple_request_t *request,
                  simple_response_t **ret_response, struct err *ret_err)
{
    Grpc__Testing__Payload payload;
    interop_payload(&payload, LARGE_REQUEST);
    request->payload = &payload;
    int rc = grpc_testing_test_service_unary_call(channel, options, request, ret_response, ret_err);
    request->payload = NULL;
    return rc;
}

void interop_large_unary(struct crpc_channel *channel, size_t response_size)
{
    simple_request_t q = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    simple_response_t *r = NULL;
    struct err err = ERR_NONE;
    q.response_size = LARGE_RESPONSE;
    interop_want_code(interop_unary(channel, NULL, &q, &r, &err), ERR_OK, &err);
    interop_check_payload(r->payload, response_size);
    crpc_message_free(&r->base);
}

static void empty_unary(const struct interop *t)
{
    Grpc__Testing__Empty q = GRPC__TESTING__EMPTY__INIT, *r = NULL;
    struct err err = ERR_NONE;
    interop_want_code(grpc_testing_test_service_empty_call(t->channel, NULL, &q, &r, &err), ERR_OK, &err);
    INTEROP_CHECK(r && grpc__testing__empty__get_packed_size(r) == 0);
    crpc_message_free(&r->base);
}

static void large_unary(const struct interop *t)
{
    interop_large_unary(t->channel, LARGE_RESPONSE);
}

const struct interop_case interop_unary_cases[] = {
    {"empty_unary", empty_unary},
    {"large_unary", large_unary},
    {NULL, NULL},
};
