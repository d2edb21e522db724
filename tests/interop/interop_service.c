/* The handlers of grpc.testing.TestService; see interop_service.h. On the workers' threads; must not block.
 *
 * The three methods that answer with a stream share one chain:
 *
 *   StreamingOutputCall        next -> (pause) -> send -> next … -> finish
 *   FullDuplexCall     recv -> next -> (pause) -> send -> next … -> recv … -> finish
 *   HalfDuplexCall     recv … -> next -> (pause) -> send -> next … -> finish */
#include "interop_service.h"

#include <string.h>

#include "grpc/testing/test.crpc.h"
#include "interop_orca.h"

typedef Grpc__Testing__ResponseParameters parameters_t;
typedef Grpc__Testing__EchoStatus echo_status_t;

/* Bodies are zeros, whatever their size; a larger one would be over the usual limit of a message anyway. Requests of
 * one HalfDuplexCall are kept, so there is a cap on how much they may ask for. */
enum { BODY_MAX = 4 << 20, HALF_DUPLEX_MAX = 1024 };

static uint8_t zeros[BODY_MAX];

/* ---- what several methods can be asked for ---- */

static int make_payload(Grpc__Testing__Payload *ret, int type, int32_t size, struct err *ret_err)
{
    if (type != GRPC__TESTING__PAYLOAD_TYPE__COMPRESSABLE)
        return err_field(ret_err, "response_type", "there is no payload of type %d", type);
    if (size < 0 || size > BODY_MAX)
        return err_field(ret_err, "size", "%d is not from 0 to %d", size, BODY_MAX);
    grpc__testing__payload__init(ret);
    ret->body = (ProtobufCBinaryData){.len = (size_t)size, .data = zeros};
    return 0;
}

static int echo_metadata(struct crpc_call *call, struct err *ret_err)
{
    static const char initial[] = "x-grpc-test-echo-initial", trailing[] = "x-grpc-test-echo-trailing-bin";
    struct span value = crpc_call_metadata(call, initial);
    int rc = value.len ? crpc_call_add_metadata(call, initial, value, ret_err) : 0;
    value = crpc_call_metadata(call, trailing);
    return rc == 0 && value.len ? crpc_call_add_trailing_metadata(call, trailing, value, ret_err) : rc;
}

/* 0, or -code of the status that the client wants. */
static int echo_status(const echo_status_t *status, struct err *ret_err)
{
    if (!status || status->code == 0)
        return 0;
    return err_set(ret_err, (enum err_code)status->code, "ECHOED", "%s", status->message);
}

/* The message last received must have come as the client says. */
static int check_compressed(struct crpc_call *call, const Grpc__Testing__BoolValue *expected, struct err *ret_err)
{
    if (!expected || !expected->value == !crpc_call_received_compressed(call))
        return 0;
    return err_field(ret_err, "expect_compressed", "the message came %s",
                     expected->value ? "without compression" : "compressed");
}

/* ---- one answer ---- */

static int empty_call(struct crpc_call *call, const ProtobufCMessage *request, ProtobufCMessage *ret_response,
                      struct err *ret_err)
{
    (void)request;
    (void)ret_response; /* it has no fields */
    return echo_metadata(call, ret_err);
}

static int unary_call(struct crpc_call *call, const ProtobufCMessage *request, ProtobufCMessage *ret_response,
                      struct err *ret_err)
{
    const Grpc__Testing__SimpleRequest *q = (const Grpc__Testing__SimpleRequest *)request;
    Grpc__Testing__SimpleResponse *r = (Grpc__Testing__SimpleResponse *)ret_response;
    int rc = echo_metadata(call, ret_err);
    if (rc == 0)
        rc = echo_status(q->response_status, ret_err);
    if (rc == 0)
        rc = check_compressed(call, q->expect_compressed, ret_err);
    if (rc == 0 && q->response_compressed && q->response_compressed->value)
        rc = crpc_call_set_compression(call, CRPC_COMPRESSION_GZIP, ret_err);
    if (rc == 0)
        rc = interop_orca_attach(call, q->orca_per_query_report, ret_err);
    if (rc == 0)
        rc = interop_orca_set(q->orca_oob_report, ret_err);
    if (rc != 0)
        return rc;
    r->payload = arena_alloc(crpc_call_arena(call), sizeof *r->payload);
    if (!r->payload)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    return make_payload(r->payload, q->response_type, q->response_size, ret_err);
}

static int not_implemented(struct crpc_call *call, const ProtobufCMessage *request, ProtobufCMessage *ret_response,
                           struct err *ret_err)
{
    (void)call;
    (void)request;
    (void)ret_response;
    return err_set(ret_err, ERR_UNIMPLEMENTED, "NOT_IMPLEMENTED", "this method is not implemented");
}

/* ---- StreamingInputCall ---- */

struct input {
    int64_t size;
};

static enum crpc_next input_recv(struct crpc_call *call);
static const struct crpc_step INPUT_RECV = {"input_recv", input_recv};

static enum crpc_next input_got(struct crpc_call *call)
{
    struct input *in = crpc_call_state(call);
    const Grpc__Testing__StreamingInputCallRequest *q = grpc_testing_test_service_streaming_input_call_received(call);
    if (crpc_call_cancelled(call))
        return crpc_end(call);
    if (q) {
        struct err err = ERR_NONE;
        if (check_compressed(call, q->expect_compressed, &err) != 0)
            return crpc_finish(call, &err);
        in->size += q->payload ? (int64_t)q->payload->body.len : 0;
        return crpc_goto(call, &INPUT_RECV);
    }
    Grpc__Testing__StreamingInputCallResponse r = GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
    r.aggregated_payload_size = in->size > INT32_MAX ? INT32_MAX : (int32_t)in->size;
    return grpc_testing_test_service_streaming_input_call_reply(call, &r);
}

static enum crpc_next input_recv(struct crpc_call *call)
{
    static const struct crpc_step got = {"input_got", input_got};
    return crpc_recv(call, &got);
}

/* ---- StreamingOutputCall, FullDuplexCall, HalfDuplexCall ---- */

/* One answer. */
struct wanted {
    int32_t size, interval_us;
    bool compressed;
};

struct output {
    struct crpc_signal pause;  /* never raised: only its time passes */
    parameters_t **parameters; /* of the message received last */
    struct wanted *kept;       /* in their place when half: of all messages */
    size_t n, at;              /* of them, and the next one */
    int type;
    bool half;   /* answers once all has come */
    bool last;   /* nothing more will come */
    bool rested; /* the pause before the next one is over */
};

static enum crpc_next output_next(struct crpc_call *call);
static enum crpc_next output_recv(struct crpc_call *call);
static const struct crpc_step OUTPUT_NEXT = {"output_next", output_next};
static const struct crpc_step OUTPUT_RECV = {"output_recv", output_recv};

static enum crpc_next output_sent(struct crpc_call *call)
{
    return crpc_call_sent(call) ? crpc_goto(call, &OUTPUT_NEXT) : crpc_end(call);
}

static enum crpc_next output_send(struct crpc_call *call, struct wanted want)
{
    static const struct crpc_step sent = {"output_sent", output_sent};
    struct output *o = crpc_call_state(call);
    struct err err = ERR_NONE;
    Grpc__Testing__Payload payload;
    Grpc__Testing__StreamingOutputCallResponse r = GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
    if (make_payload(&payload, o->type, want.size, &err) != 0)
        return crpc_finish(call, &err);
    r.payload = &payload;
    crpc_call_compress(call, want.compressed);
    return crpc_send(call, &r.base, &sent); /* what the typed ones of the three methods come to */
}

static struct wanted wanted_of(const parameters_t *p)
{
    return (struct wanted){p->size, p->interval_us, p->compressed && p->compressed->value};
}

static enum crpc_next output_next(struct crpc_call *call)
{
    struct output *o = crpc_call_state(call);
    if (crpc_call_cancelled(call))
        return crpc_end(call);
    if (o->at == o->n)
        return o->last ? crpc_finish(call, NULL) : crpc_goto(call, &OUTPUT_RECV);
    struct wanted want = o->half ? o->kept[o->at] : wanted_of(o->parameters[o->at]);
    if (want.interval_us > 0 && !o->rested) {
        o->rested = true;
        return crpc_await_signal_for(call, &o->pause, (want.interval_us + 999LL) / 1000, &OUTPUT_NEXT);
    }
    o->rested = false;
    o->at++;
    return output_send(call, want);
}

/* HalfDuplexCall: copies what is asked for, as the message is gone with the next one. */
static int keep(struct crpc_call *call, const Grpc__Testing__StreamingOutputCallRequest *q, struct err *ret_err)
{
    struct output *o = crpc_call_state(call);
    if (!o->kept)
        o->kept = arena_alloc(crpc_call_arena(call), HALF_DUPLEX_MAX * sizeof *o->kept);
    if (!o->kept)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    if (q->n_response_parameters > HALF_DUPLEX_MAX - o->n)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "more than %d responses", HALF_DUPLEX_MAX);
    for (size_t i = 0; i < q->n_response_parameters; i++)
        o->kept[o->n++] = wanted_of(q->response_parameters[i]);
    return 0;
}

static enum crpc_next output_got(struct crpc_call *call)
{
    struct output *o = crpc_call_state(call);
    const Grpc__Testing__StreamingOutputCallRequest *q =
        (const Grpc__Testing__StreamingOutputCallRequest *)crpc_call_received(call);
    struct err err = ERR_NONE;
    if (!q) {
        o->last = true;
        return crpc_goto(call, &OUTPUT_NEXT);
    }
    o->type = q->response_type;
    if (echo_status(q->response_status, &err) != 0 || interop_orca_set(q->orca_oob_report, &err) != 0 ||
        (o->half && keep(call, q, &err) != 0))
        return crpc_finish(call, &err);
    if (o->half)
        return crpc_goto(call, &OUTPUT_RECV);
    o->parameters = q->response_parameters;
    o->n = q->n_response_parameters;
    o->at = 0;
    return crpc_goto(call, &OUTPUT_NEXT);
}

static enum crpc_next output_recv(struct crpc_call *call)
{
    static const struct crpc_step got = {"output_got", output_got};
    return crpc_recv(call, &got);
}

static enum crpc_next duplex_start(struct crpc_call *call)
{
    struct output *o = crpc_call_state(call);
    struct err err = ERR_NONE;
    o->half = crpc_call_method(call) == &grpc_testing_test_service.methods[GRPC_TESTING_TEST_SERVICE_HALF_DUPLEX_CALL];
    crpc_signal_init(call, &o->pause);
    if (echo_metadata(call, &err) != 0 || crpc_call_set_compression(call, CRPC_COMPRESSION_GZIP, &err) != 0)
        return crpc_finish(call, &err);
    return crpc_goto(call, &OUTPUT_RECV);
}

static enum crpc_next output_start(struct crpc_call *call)
{
    const Grpc__Testing__StreamingOutputCallRequest *q = grpc_testing_test_service_streaming_output_call_request(call);
    struct output *o = crpc_call_state(call);
    struct err err = ERR_NONE;
    crpc_signal_init(call, &o->pause);
    if (echo_metadata(call, &err) != 0 || echo_status(q->response_status, &err) != 0 ||
        crpc_call_set_compression(call, CRPC_COMPRESSION_GZIP, &err) != 0)
        return crpc_finish(call, &err);
    o->parameters = q->response_parameters;
    o->n = q->n_response_parameters;
    o->type = q->response_type;
    o->last = true;
    return crpc_goto(call, &OUTPUT_NEXT);
}

int interop_service_mount(struct crpc_server *server, struct err *ret_err)
{
    static const struct crpc_step output = {"output_start", output_start}, duplex = {"duplex_start", duplex_start};
    static const struct grpc_testing_test_service_handlers handlers = {
        .empty_call = {.simple = empty_call},
        .unary_call = {.simple = unary_call},
        .cacheable_unary_call = {.simple = not_implemented}, /* needs a proxy that caches: docs/interop.md */
        .streaming_output_call = {.first = &output, .state_size = sizeof(struct output)},
        .streaming_input_call = {.first = &INPUT_RECV, .state_size = sizeof(struct input)},
        .full_duplex_call = {.first = &duplex, .state_size = sizeof(struct output)},
        .half_duplex_call = {.first = &duplex, .state_size = sizeof(struct output)},
        .unimplemented_call = {.simple = not_implemented},
    };
    return grpc_testing_test_service_mount(server, &handlers, NULL, ret_err);
}
