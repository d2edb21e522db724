/* Chains: which step of a call runs next and what it waits for; events and signals. Worker's thread only, but for the
 * posts. See crpc/server.h. */
#include <assert.h>
#include <limits.h>

#include "base/clock.h"
#include "base/log.h"
#include "call.h"
#include "server_priv.h"

/* A chain that never waits gives other calls a turn after so many steps. */
enum { STEPS_A_TURN = 64 };
/* Timers beyond this are as good as none; keeps the sum from overflowing. */
#define TIMER_MAX_MS ((int64_t)1 << 40)

static enum crpc_next lane_set(struct crpc_call *call, enum wait wait, const void *on, const struct crpc_step *step)
{
    struct lane *lane = call->lane;
    assert(lane && lane->wait == LANE_OFF); /* a step starts at most one awaited operation, on its own call */
    lane->wait = wait;
    lane->on = on;
    lane->step = step;
    return wait == LANE_READY ? CRPC_MORE : CRPC_WAIT;
}

enum crpc_next crpc_goto(struct crpc_call *call, const struct crpc_step *step)
{
    return lane_set(call, LANE_READY, NULL, step);
}

enum crpc_next crpc_recv(struct crpc_call *call, const struct crpc_step *step)
{
    enum crpc_kind kind = call->method->desc->kind;
    assert(kind == CRPC_CLIENT_STREAM || kind == CRPC_BIDI_STREAM);
    call->received = NULL;
    arena_reset(&call->recv_arena);
    charge_drop(&call->recv_charge);
    if (crpc_call_ended(call))
        return lane_set(call, LANE_READY, NULL, step);
    call_recv_start(call);
    return lane_set(call, LANE_RECV, NULL, step);
}

static bool may_send(struct crpc_call *call)
{
    enum crpc_kind kind = call->method->desc->kind;
    assert(kind == CRPC_SERVER_STREAM || kind == CRPC_BIDI_STREAM);
    assert(!call->sending);
    call->sent = false;
    return !crpc_call_ended(call);
}

enum crpc_next crpc_send(struct crpc_call *call, const ProtobufCMessage *msg, const struct crpc_step *step)
{
    if (!may_send(call))
        return lane_set(call, LANE_READY, NULL, step);
    call_put_message(call, msg);
    call_send_out(call);
    return lane_set(call, LANE_SEND, NULL, step);
}

enum crpc_next crpc_send_bytes(struct crpc_call *call, const ProtobufCMessage *msg, uint32_t field,
                               const struct crpc_bytes *bytes, const struct crpc_step *step)
{
    if (!may_send(call)) {
        bytes->release(bytes->user);
        return lane_set(call, LANE_READY, NULL, step);
    }
    call_put_with(call, msg, field, bytes);
    call_send_out(call);
    return lane_set(call, LANE_SEND, NULL, step);
}

enum crpc_next crpc_send_frame(struct crpc_call *call, struct crpc_frame *frame, const struct crpc_step *step)
{
    if (!may_send(call))
        return lane_set(call, LANE_READY, NULL, step);
    call_put_frame(call, frame);
    call_send_out(call);
    return lane_set(call, LANE_SEND, NULL, step);
}

enum crpc_next crpc_reply(struct crpc_call *call, const ProtobufCMessage *msg)
{
    call_end(call, NULL, msg);
    return CRPC_DONE;
}

enum crpc_next crpc_finish(struct crpc_call *call, const struct err *err)
{
    call_end(call, err, NULL);
    return CRPC_DONE;
}

enum crpc_next crpc_cut(struct crpc_call *call, const struct err *err, int64_t still_ms)
{
    bool cuts = call->sending && !crpc_call_ended(call);
    assert(err->code != ERR_OK);
    call_end(call, err, NULL);
    if (cuts) {
        call->cut = true;
        grpc_call_cancel_with_status(call->core, (grpc_status_code)err->code, err->msg, NULL);
        if (connections_end_stuck(call->server->connections, crpc_call_peer(call), still_ms))
            log_info("connection ended peer=%s reason=its-peer-does-not-read", crpc_call_peer(call));
    }
    return CRPC_DONE;
}

enum crpc_next crpc_end(struct crpc_call *call)
{
    (void)call;
    return CRPC_DONE;
}

void crpc_fork(struct crpc_call *call, const struct crpc_step *step)
{
    struct lane *second = &call->lanes[1];
    assert(!second->step); /* at most one fork a call */
    second->step = step;
    second->wait = LANE_READY;
}

void chain_start(struct crpc_call *call, const struct crpc_step *first)
{
    call->lanes[0].step = first;
    call->lanes[0].wait = LANE_READY;
}

static void lane_wake(struct lane *lane)
{
    worker_timer_clear(lane->call->worker, &lane->timer);
    lane->wait = LANE_READY;
    lane->on = NULL;
    worker_ready(lane->call->worker, &lane->call->ready);
}

void chain_wake(struct crpc_call *call, enum wait what)
{
    for (size_t i = 0; i < CALL_LANES; i++)
        if (call->lanes[i].wait == what)
            lane_wake(&call->lanes[i]);
}

void chain_wake_signals(struct crpc_call *call)
{
    chain_wake(call, LANE_SIGNAL);
}

void chain_drop(struct crpc_call *call, enum wait what)
{
    for (size_t i = 0; i < CALL_LANES; i++)
        if (call->lanes[i].wait == what)
            call->lanes[i].wait = LANE_OFF;
}

static struct lane *next_lane(struct crpc_call *call, unsigned turn)
{
    for (unsigned i = 0; i < CALL_LANES; i++) {
        struct lane *lane = &call->lanes[(turn + i) % CALL_LANES];
        if (lane->wait == LANE_READY)
            return lane;
    }
    return NULL;
}

static void run_step(struct crpc_call *call, struct lane *lane)
{
    lane->wait = LANE_OFF;
    call->lane = lane;
    enum crpc_next next = lane->step->run(call);
    call->lane = NULL;
    /* What the step returned is what the last function it called returned. */
    assert((next == CRPC_DONE) == (lane->wait == LANE_OFF));
    (void)next;
}

void call_run(struct ready *ready)
{
    struct crpc_call *call = CONTAINER_OF(ready, struct crpc_call, ready);
    struct lane *lane;
    unsigned steps = 0;
    for (; (lane = next_lane(call, steps)); steps++) {
        if (steps == STEPS_A_TURN) {
            worker_ready(call->worker, &call->ready);
            return;
        }
        run_step(call, lane);
    }
    for (size_t i = 0; i < CALL_LANES; i++)
        if (call->lanes[i].wait != LANE_OFF)
            return;
    if (!crpc_call_ended(call) && !call->held) {
        struct err err;
        err_set(&err, ERR_INTERNAL, "NO_STATUS", "the handler ended without an answer");
        call_end(call, &err, NULL);
    }
    if (call->pending)
        return;
    if (!call->closed)
        call_finalize(call);
    if (chain_signals_at_rest(call) && !call->ready.queued)
        call_give_back(call);
}

/* ---- events ---- */

static void event_post(struct tag *tag, bool ok)
{
    struct crpc_event *ev = CONTAINER_OF(tag, struct crpc_event, tag);
    ev->posted_ok = ok;
    worker_post(ev->call->worker, &ev->mail);
}

static void event_open(struct crpc_mail *mail)
{
    struct crpc_event *ev = CONTAINER_OF(mail, struct crpc_event, mail);
    struct crpc_call *call = ev->call;
    struct lane *waiting = NULL;
    for (size_t i = 0; i < CALL_LANES; i++)
        if (call->lanes[i].wait == LANE_EVENT && call->lanes[i].on == ev)
            waiting = &call->lanes[i];
    ev->done = true;
    ev->ok = ev->posted_ok;
    call->pending--;
    if (ev->on_done)
        ev->on_done(ev, ev->ok);
    if (waiting && ev->done) /* else armed again: the wait goes on */
        lane_wake(waiting);
    worker_ready(call->worker, &call->ready);
}

void crpc_event_arm(struct crpc_call *call, struct crpc_event *ev)
{
    ev->tag.post = event_post;
    ev->mail.open = event_open;
    ev->call = call;
    ev->done = ev->ok = false;
    call->pending++;
}

void crpc_event_disarm(struct crpc_event *ev)
{
    struct crpc_call *call = ev->call;
    assert(call->pending > 0);
    call->pending--;
    worker_ready(call->worker, &call->ready);
}

enum crpc_next crpc_await(struct crpc_call *call, struct crpc_event *ev, const struct crpc_step *step)
{
    return ev->done ? lane_set(call, LANE_READY, NULL, step) : lane_set(call, LANE_EVENT, ev, step);
}

/* ---- signals ---- */

static void signal_post(struct tag *tag, bool ok)
{
    (void)ok;
    struct crpc_signal *sig = CONTAINER_OF(tag, struct crpc_signal, tag);
    struct worker *w = sig->call->worker;
    if (atomic_exchange_explicit(&sig->posted, 1, memory_order_acq_rel) == 0)
        worker_post(w, &sig->mail);
}

static void signal_open(struct crpc_mail *mail)
{
    struct crpc_signal *sig = CONTAINER_OF(mail, struct crpc_signal, mail);
    struct crpc_call *call = sig->call;
    atomic_exchange_explicit(&sig->posted, 0, memory_order_acq_rel);
    if (call->closed)
        worker_ready(call->worker, &call->ready); /* it waits for this mail only */
    else
        crpc_signal_raise(sig);
}

void crpc_signal_init(struct crpc_call *call, struct crpc_signal *sig)
{
    sig->tag.post = signal_post;
    sig->mail.open = signal_open;
    sig->call = call;
    sig->raised = false;
    atomic_init(&sig->posted, 0);
    sig->next = call->signals;
    call->signals = sig;
}

void crpc_signal_raise(struct crpc_signal *sig)
{
    struct crpc_call *call = sig->call;
    for (size_t i = 0; i < CALL_LANES; i++) {
        if (call->lanes[i].wait == LANE_SIGNAL && call->lanes[i].on == sig) {
            lane_wake(&call->lanes[i]);
            return;
        }
    }
    sig->raised = true;
}

bool chain_signals_at_rest(const struct crpc_call *call)
{
    for (const struct crpc_signal *s = call->signals; s; s = s->next)
        if (atomic_load_explicit(&s->posted, memory_order_acquire))
            return false;
    return true;
}

enum crpc_next crpc_await_signal(struct crpc_call *call, struct crpc_signal *sig, const struct crpc_step *step)
{
    if (sig->raised || crpc_call_ended(call)) {
        sig->raised = false;
        return lane_set(call, LANE_READY, NULL, step);
    }
    return lane_set(call, LANE_SIGNAL, sig, step);
}

static void lane_timer_fired(struct timer *timer)
{
    lane_wake(CONTAINER_OF(timer, struct lane, timer));
}

enum crpc_next crpc_await_signal_for(struct crpc_call *call, struct crpc_signal *sig, int64_t ms,
                                     const struct crpc_step *step)
{
    if (ms <= 0) {
        sig->raised = false;
        return lane_set(call, LANE_READY, NULL, step);
    }
    enum crpc_next next = crpc_await_signal(call, sig, step);
    if (next == CRPC_WAIT) {
        struct timer *timer = &call->lane->timer;
        timer->fire = lane_timer_fired;
        worker_timer_set(call->worker, timer, clock_mono_ms() + (ms < TIMER_MAX_MS ? ms : TIMER_MAX_MS));
    }
    return next;
}
