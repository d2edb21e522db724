/* Handlers of TourService: a call that fails with details, a server stream, a stream in both directions. They run on
 * the server's workers, block nowhere and need no locks. See docs/grpc-in-c.md, which shows this file. */
#include <stdio.h>

#include "tour_handlers.h"

/* ---- Divide: errors with details, metadata, the deadline ---- */

static int divide(struct crpc_call *call, const ProtobufCMessage *message, ProtobufCMessage *ret_response,
                  struct err *ret_err)
{
    const Tour__V1__DivideRequest *request = (const Tour__V1__DivideRequest *)message;
    Tour__V1__DivideResponse *response = (Tour__V1__DivideResponse *)ret_response;
    if (request->divisor == 0) {
        err_set(ret_err, ERR_INVALID_ARGUMENT, "DIVISION_BY_ZERO", "%d cannot be divided by 0", request->dividend);
        snprintf(ret_err->field, sizeof ret_err->field, "divisor");
        return -ERR_INVALID_ARGUMENT;
    }
    struct span who = crpc_call_metadata(call, "x-tourist");
    if (who.len && crpc_call_add_metadata(call, "x-welcome", who, ret_err) != 0)
        return -(int)ret_err->code;
    if (crpc_call_time_left_ms(call) < 5)
        return err_set(ret_err, ERR_DEADLINE_EXCEEDED, NULL, "no time left to divide in");
    response->quotient = (int32_t)((int64_t)request->dividend / request->divisor);
    return 0;
}

/* ---- Countdown: a server stream that waits ----
 *
 *   start -> send -> (sent) sent -> (pause) send ... -> finish */

struct countdown {
    struct crpc_signal pause;
    int32_t left;
};

static enum crpc_next countdown_send(struct crpc_call *call);
static enum crpc_next countdown_sent(struct crpc_call *call);
static const struct crpc_step COUNTDOWN_SEND = {"countdown_send", countdown_send};
static const struct crpc_step COUNTDOWN_SENT = {"countdown_sent", countdown_sent};

static enum crpc_next countdown_start(struct crpc_call *call)
{
    struct countdown *c = crpc_call_state(call);
    crpc_signal_init(call, &c->pause);
    c->left = tour_v1_tour_service_countdown_request(call)->from;
    return crpc_goto(call, &COUNTDOWN_SEND);
}

static enum crpc_next countdown_send(struct crpc_call *call)
{
    struct countdown *c = crpc_call_state(call);
    Tour__V1__CountdownResponse response = TOUR__V1__COUNTDOWN_RESPONSE__INIT;
    response.left = c->left;
    return tour_v1_tour_service_countdown_send(call, &response, &COUNTDOWN_SENT);
}

static enum crpc_next countdown_sent(struct crpc_call *call)
{
    struct countdown *c = crpc_call_state(call);
    if (!crpc_call_sent(call) || c->left <= 0) /* the client is gone, or all is said */
        return crpc_finish(call, NULL);
    c->left--;
    return crpc_await_signal_for(call, &c->pause, tour_v1_tour_service_countdown_request(call)->step_ms,
                                 &COUNTDOWN_SEND);
}

/* ---- Chat: a stream in both directions ----
 *
 *   listen -> (received) answer -> (sent) listen ... -> finish */

static enum crpc_next chat_listen(struct crpc_call *call);
static enum crpc_next chat_answer(struct crpc_call *call);
static const struct crpc_step CHAT_LISTEN = {"chat_listen", chat_listen};
static const struct crpc_step CHAT_ANSWER = {"chat_answer", chat_answer};

static enum crpc_next chat_listen(struct crpc_call *call)
{
    return crpc_recv(call, &CHAT_ANSWER);
}

static enum crpc_next chat_answer(struct crpc_call *call)
{
    const Tour__V1__ChatRequest *request = tour_v1_tour_service_chat_received(call);
    if (!request)
        return crpc_finish(call, NULL);
    Tour__V1__ChatResponse response = TOUR__V1__CHAT_RESPONSE__INIT;
    response.text = request->text;
    return tour_v1_tour_service_chat_send(call, &response, &CHAT_LISTEN);
}

static const struct crpc_step COUNTDOWN_START = {"countdown_start", countdown_start};
const struct tour_v1_tour_service_handlers tour_handlers = {
    .divide = {.simple = divide},
    .countdown = {.first = &COUNTDOWN_START, .state_size = sizeof(struct countdown)},
    .chat = {.first = &CHAT_LISTEN},
};
