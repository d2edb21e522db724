/* WorkerService.Work: the chain that sends. On the call's worker.
 *
 *   write: pack what waits (welcome, answers, leases, cancels, drain) --send--> write
 *     |                       | nothing waits: wait for the signal --> write
 *     | the stream is over, and nothing is left to send; or the worker's credentials have ended
 *     '--> close (work.c)
 *
 * Everything that waits goes into one message, up to MESSAGE_BYTES_MAX: the busier the stream, the larger the messages.
 */
#include <string.h>

#include "base/clock.h"
#include "rpc/convert.h"
#include "rpc/service.h"
#include "rpc/work.h"
#include "store/workers.h"

enum {
    MESSAGE_ITEMS_MAX = 1024, /* of each kind, so that the arrays have a size */
    DRAIN_LOOK_MS = 100       /* the store's count of leases may lag behind the last answer */
};

static enum crpc_next work_write(struct crpc_call *call);

const struct crpc_step WORK_WRITE = {"write", work_write};

/* A message under way. */
struct pack {
    struct arena *arena;
    Joblog__V1__WorkResponse message;
    size_t bytes;
    bool failed; /* out of memory */
};

static void *pack_new(struct pack *p, const ProtobufCMessageDescriptor *type)
{
    void *m = arena_alloc(p->arena, type->sizeof_message);
    if (m)
        protobuf_c_message_init(type, m);
    else
        p->failed = true;
    return m;
}

static void pack_welcome(struct work_call *w, struct pack *p)
{
    int64_t timeout_us = store_lease_timeout_ms(w->service->store) * 1000;
    Joblog__V1__WorkerWelcome *m = pack_new(p, &joblog__v1__worker_welcome__descriptor);
    if (!m)
        return;
    m->session_id = w->open.session_id;
    m->lease_timeout = convert_duration(p->arena, timeout_us);
    m->heartbeat_interval = convert_duration(p->arena, timeout_us / 3);
    p->failed = p->failed || !m->lease_timeout || !m->heartbeat_interval;
    p->message.welcome = m;
    w->welcomed = true;
}

static void pack_refusal(struct pack *p, Joblog__V1__WriteResult *m, const struct err *err)
{
    m->message = convert_text(p->arena, span_str(err->msg));
    m->reason = convert_text(p->arena, span_str(err->reason[0] ? err->reason : err_code_name(err->code)));
    p->failed = p->failed || !m->message || !m->reason;
    p->bytes += strlen(err->msg) + sizeof err->reason;
}

static void pack_answers(struct work_call *w, struct pack *p)
{
    if (!w->answers)
        return;
    p->message.results = arena_alloc(p->arena, MESSAGE_ITEMS_MAX * sizeof *p->message.results);
    p->failed = p->failed || !p->message.results;
    while (w->answers && !p->failed && p->message.n_results < MESSAGE_ITEMS_MAX && p->bytes < MESSAGE_BYTES_MAX) {
        struct work_write *write = w->answers;
        Joblog__V1__WriteResult *m = pack_new(p, &joblog__v1__write_result__descriptor);
        if (!m)
            return;
        m->write_id = write->write_id;
        m->job_id = write->job_id;
        m->accepted = write->cmd.err.code == ERR_OK;
        m->code = (int32_t)write->cmd.err.code;
        if (m->accepted && write->cmd.op == STORE_FINISH)
            m->status = (Joblog__V1__JobStatus)write->finish.status;
        if (!m->accepted)
            pack_refusal(p, m, &write->cmd.err);
        p->bytes += 32;
        p->message.results[p->message.n_results++] = m;
        w->answers = write->next;
        if (!w->answers)
            w->answers_end = &w->answers;
        work_write_free(write);
    }
    crpc_signal_raise(&w->room);
}

static void pack_lease(struct work_call *w, struct pack *p, const struct delivery *d)
{
    Joblog__V1__Lease *m = pack_new(p, &joblog__v1__lease__descriptor);
    if (!m)
        return;
    m->job = convert_job(p->arena, &d->snapshot->job, VIEW_LEASE, clock_wall_us());
    m->lease_token = d->token;
    if (!m->job) {
        p->failed = true;
        return;
    }
    p->bytes += protobuf_c_message_get_packed_size(&m->base);
    p->message.leases[p->message.n_leases++] = m;
    w->credit_left -= w->credit_left > 0;
}

static void pack_cancel(struct pack *p, const struct delivery *d)
{
    Joblog__V1__CancelLease *m = pack_new(p, &joblog__v1__cancel_lease__descriptor);
    if (!m)
        return;
    m->job_id = d->job_id;
    m->lease_token = d->token;
    if (d->kind == DELIVERY_CANCEL && d->snapshot &&
        !(m->cancel_request = convert_cancel_request(p->arena, &d->snapshot->job.cancel)))
        p->failed = p->failed || d->snapshot->job.cancel.time_us != 0;
    p->bytes += 1024;
    p->message.cancels[p->message.n_cancels++] = m;
}

static void pack_deliveries(struct work_call *w, struct pack *p)
{
    struct delivery *d = w->held ? w->held : store_session_take(w->session);
    w->held = NULL;
    if (!d)
        return;
    p->message.leases = arena_alloc(p->arena, MESSAGE_ITEMS_MAX * sizeof *p->message.leases);
    p->message.cancels = arena_alloc(p->arena, MESSAGE_ITEMS_MAX * sizeof *p->message.cancels);
    p->failed = p->failed || !p->message.leases || !p->message.cancels;
    for (; d && !p->failed; d = store_session_take(w->session)) {
        /* The size of a lease is known only once it is made; one may go over the limit by its own size. */
        if (p->bytes >= MESSAGE_BYTES_MAX || p->message.n_leases + p->message.n_cancels >= MESSAGE_ITEMS_MAX) {
            w->held = d;
            return;
        }
        if (d->kind == DELIVERY_LEASE)
            pack_lease(w, p, d);
        else
            pack_cancel(p, d);
        delivery_free(d);
    }
    if (d)
        delivery_free(d);
}

static bool pack_is_empty(const struct pack *p)
{
    const Joblog__V1__WorkResponse *m = &p->message;
    return !m->welcome && m->n_leases == 0 && m->n_results == 0 && m->n_cancels == 0 && !m->drain && !m->pause;
}

/* Nothing more will be sent: is the stream over? */
static bool work_is_over(const struct work_call *w)
{
    if (w->error.code != ERR_OK)
        return true;
    if (w->n_under_way > 0 || w->answers)
        return false;
    if (w->reader_done)
        return true;
    return w->drain_handed && !w->credit_busy && store_session_leases(w->session) == 0;
}

static enum crpc_next work_wait(struct crpc_call *call, bool handed)
{
    struct work_call *w = crpc_call_state(call);
    if (!handed)
        return crpc_await_signal_for(call, &w->wake, RETRY_MS, &WORK_WRITE);
    if (w->drain_handed)
        return crpc_await_signal_for(call, &w->wake, DRAIN_LOOK_MS, &WORK_WRITE);
    return caller_await(call, &w->wake, &WORK_WRITE);
}

static enum crpc_next work_write(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    struct pack pack = {.arena = &w->message_arena, .message = JOBLOG__V1__WORK_RESPONSE__INIT};
    if (crpc_call_ended(call) || (w->error.code == ERR_OK && caller_check(call, &w->error) != 0))
        return crpc_goto(call, &WORK_CLOSE);
    w->sending_since_ms = 0; /* the last one is gone */
    arena_reset(&w->message_arena);
    if (!w->server_draining && (drain_begun(&w->service->drain) || store_session_must_leave(w->session))) {
        w->server_draining = true;
        pack.message.drain = true;
        pack.message.leave = store_session_must_leave(w->session);
    }
    if (w->pause_told != store_session_is_paused(w->session)) {
        w->pause_told = !w->pause_told;
        pack.message.pause = w->pause_told ? JOBLOG__V1__WORKER_PAUSE__WORKER_PAUSE_PAUSED
                                           : JOBLOG__V1__WORKER_PAUSE__WORKER_PAUSE_RESUMED;
    }
    bool handed = work_hand_credit(w);
    if (!w->welcomed)
        pack_welcome(w, &pack);
    pack_answers(w, &pack);
    pack_deliveries(w, &pack);
    if (pack.failed) {
        err_set(&w->error, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        return crpc_goto(call, &WORK_CLOSE);
    }
    if (!pack_is_empty(&pack)) {
        work_note_sent(w, pack.message.n_leases);
        return joblog_v1_worker_service_work_send(call, &pack.message, &WORK_WRITE);
    }
    return work_is_over(w) ? crpc_goto(call, &WORK_CLOSE) : work_wait(call, handed);
}
