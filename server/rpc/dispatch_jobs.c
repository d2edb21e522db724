/* JobLogService.DispatchJobs. On the call's worker; two chains.
 *
 *   read:  wait while all slots are in use --room--> receive --> received: check the jobs, hand them to the store -->
 * read write: wait for the oldest slot --store--> send its outcomes --sent--> free the slot, raise room --> write ends:
 * OK when the client has closed its half and all is answered; the error of a message that was refused, after the
 * answers to those before it; UNAVAILABLE when the server goes down, UNAUTHENTICATED once the caller's credentials have
 * ended
 *
 * A slot is a message on its way through the store. Several are under way, so that the store commits one while the next
 * is read; a client that does not read its answers is not read from. */
#include "base/clock.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/body_hash.h"
#include "rpc/check.h"
#include "rpc/convert.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

enum {
    SLOTS = 4,      /* a message in the store, one behind it, one being read, one being answered */
    JOBS_MAX = 1000 /* a message; as many as a commit takes */
};

struct slot {
    struct crpc_event stored;
    struct store_dispatch dispatch;
    struct arena arena;
    bool submitted;
    struct err *errs; /* of each job of the message: what its check said */
    size_t n_jobs;
};

struct dispatch_jobs {
    struct crpc_signal room, work; /* for the reading chain, for the writing one */
    struct drain_link drain;
    struct slot slots[SLOTS];
    unsigned oldest, n_used;
    bool read_all;
    struct err err; /* of a message that was refused */
};

static enum crpc_next dispatch_jobs_start(struct crpc_call *call);
static enum crpc_next dispatch_jobs_read(struct crpc_call *call);
static enum crpc_next dispatch_jobs_received(struct crpc_call *call);
static enum crpc_next dispatch_jobs_write(struct crpc_call *call);
static enum crpc_next dispatch_jobs_stored(struct crpc_call *call);
static enum crpc_next dispatch_jobs_sent(struct crpc_call *call);

static const struct crpc_step START = {"start", dispatch_jobs_start};
static const struct crpc_step READ = {"read", dispatch_jobs_read};
static const struct crpc_step RECEIVED = {"received", dispatch_jobs_received};
static const struct crpc_step WRITE = {"write", dispatch_jobs_write};
static const struct crpc_step STORED = {"stored", dispatch_jobs_stored};
static const struct crpc_step SENT = {"sent", dispatch_jobs_sent};

static enum crpc_next dispatch_jobs_start(struct crpc_call *call)
{
    struct dispatch_jobs *d = crpc_call_state(call);
    crpc_signal_init(call, &d->room);
    crpc_signal_init(call, &d->work);
    for (unsigned i = 0; i < SLOTS; i++)
        arena_init(&d->slots[i].arena, NULL, 0, 0);
    drain_join(&service_of(call)->drain, &d->drain, &d->work.tag);
    crpc_fork(call, &WRITE);
    return crpc_goto(call, &READ);
}

/* ---- reading ---- */

static enum crpc_next dispatch_jobs_read(struct crpc_call *call)
{
    struct dispatch_jobs *d = crpc_call_state(call);
    if (crpc_call_ended(call))
        return crpc_end(call);
    if (d->n_used == SLOTS)
        return crpc_await_signal(call, &d->room, &READ);
    return crpc_recv(call, &RECEIVED);
}

/* Nothing more is read; *d->err may say why. The other chain goes on until all is answered. */
static enum crpc_next dispatch_jobs_close(struct crpc_call *call)
{
    struct dispatch_jobs *d = crpc_call_state(call);
    d->read_all = true;
    crpc_signal_raise(&d->work);
    return crpc_end(call);
}

static int check_one(struct crpc_call *call, const Joblog__V1__DispatchJobRequest *request, struct arena *arena,
                     struct dispatch_item *item, struct err *ret_err)
{
    struct job job = {.id = 0};
    int rc = check_job_spec(request->job, arena, &job, ret_err);
    if (rc != 0 || (rc = rights_make_job(&caller_of(call)->scope, &job, ret_err)) != 0 ||
        (rc = check_text(request->request_id, REQUEST_ID_MAX_BYTES, "", "request_id", &job.request_id, ret_err)) != 0)
        return rc;
    job.creator = caller_of(call)->actor;
    item->scope = &caller_of(call)->scope;
    item->on_conflict = check_on_conflict(request->job);
    /* The message is gone when the next one is read. */
    if (!job_copy(arena, &job, &item->job))
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    if (job.request_id.len > 0)
        body_hash(&item->job, item->on_conflict, false, item->body_hash);
    return 0;
}

/* The jobs that pass become items of the slot's command. False: out of memory. */
static bool slot_fill(struct crpc_call *call, struct slot *slot, const Joblog__V1__DispatchJobsRequest *request)
{
    arena_reset(&slot->arena);
    slot->n_jobs = request->n_jobs;
    slot->errs = arena_zalloc(&slot->arena, (slot->n_jobs + 1) * sizeof *slot->errs);
    struct dispatch_item *items = arena_zalloc(&slot->arena, (slot->n_jobs + 1) * sizeof *items);
    slot->dispatch = (struct store_dispatch){.cmd = {.op = STORE_DISPATCH}, .items = items};
    for (size_t i = 0; slot->errs && items && i < slot->n_jobs; i++)
        if (check_one(call, request->jobs[i], &slot->arena, &items[slot->dispatch.n_items], &slot->errs[i]) == 0)
            slot->dispatch.n_items++;
    return slot->errs && items;
}

static void slot_submit(struct crpc_call *call, struct slot *slot)
{
    struct err err = ERR_NONE;
    slot->submitted = slot->dispatch.n_items > 0;
    if (!slot->submitted)
        return;
    slot->dispatch.cmd.done = &slot->stored.tag;
    crpc_event_arm(call, &slot->stored);
    if (store_submit(service_of(call)->store, &slot->dispatch.cmd, &err) == 0)
        return;
    crpc_event_disarm(&slot->stored);
    slot->submitted = false;
    slot->dispatch.cmd.err = err;
}

static enum crpc_next dispatch_jobs_received(struct crpc_call *call)
{
    struct dispatch_jobs *d = crpc_call_state(call);
    const Joblog__V1__DispatchJobsRequest *request = joblog_v1_job_log_service_dispatch_jobs_received(call);
    if (!request)
        return dispatch_jobs_close(call);
    if (request->n_jobs > JOBS_MAX) {
        err_field(&d->err, "jobs", "jobs must be at most %d, are %zu", JOBS_MAX, request->n_jobs);
        return dispatch_jobs_close(call);
    }
    struct slot *slot = &d->slots[(d->oldest + d->n_used) % SLOTS];
    if (!slot_fill(call, slot, request)) {
        err_set(&d->err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        return dispatch_jobs_close(call);
    }
    slot_submit(call, slot);
    d->n_used++;
    crpc_signal_raise(&d->work);
    return crpc_goto(call, &READ);
}

/* ---- writing ---- */

static enum crpc_next dispatch_jobs_write(struct crpc_call *call)
{
    struct dispatch_jobs *d = crpc_call_state(call);
    struct slot *slot = &d->slots[d->oldest];
    enum crpc_next end;
    if (crpc_call_cancelled(call))
        return crpc_finish(call, NULL);
    if (d->n_used > 0)
        return slot->submitted ? crpc_await(call, &slot->stored, &STORED) : crpc_goto(call, &STORED);
    if (d->read_all)
        return crpc_finish(call, d->err.code == ERR_OK ? NULL : &d->err);
    return service_stops(call, &end) ? end : caller_await(call, &d->work, &WRITE);
}

static bool outcome_error(struct arena *arena, const struct err *err, Joblog__V1__DispatchOutcome *outcome)
{
    struct error_parts parts;
    if (!convert_error(arena, err, &parts))
        return false;
    outcome->code = parts.code;
    outcome->message = parts.message;
    outcome->reason = parts.reason;
    outcome->field = parts.field;
    outcome->retry_after = parts.retry_after;
    return true;
}

/* What became of the slot's job i; *item is the place of the next one that went to the store. */
static Joblog__V1__DispatchOutcome *outcome_of(struct slot *slot, size_t i, size_t *item)
{
    Joblog__V1__DispatchOutcome *outcome = arena_alloc(&slot->arena, sizeof *outcome);
    if (!outcome)
        return NULL;
    joblog__v1__dispatch_outcome__init(outcome);
    const struct err *err = &slot->errs[i];
    if (err->code == ERR_OK) {
        const struct dispatch_item *it = &slot->dispatch.items[(*item)++];
        err = slot->dispatch.cmd.err.code != ERR_OK ? &slot->dispatch.cmd.err : &it->err;
        outcome->id = err->code == ERR_OK ? it->job.id : 0;
        outcome->replayed = err->code == ERR_OK && it->replayed;
        outcome->existing = err->code == ERR_OK && it->existing;
    }
    return err->code == ERR_OK || outcome_error(&slot->arena, err, outcome) ? outcome : NULL;
}

static enum crpc_next dispatch_jobs_stored(struct crpc_call *call)
{
    struct dispatch_jobs *d = crpc_call_state(call);
    struct slot *slot = &d->slots[d->oldest];
    Joblog__V1__DispatchJobsResponse response = JOBLOG__V1__DISPATCH_JOBS_RESPONSE__INIT;
    size_t item = 0;
    response.outcomes = arena_alloc(&slot->arena, (slot->n_jobs + 1) * sizeof *response.outcomes);
    for (size_t i = 0; response.outcomes && i < slot->n_jobs; i++) {
        response.outcomes[i] = outcome_of(slot, i, &item);
        if (!response.outcomes[i])
            return service_no_memory(call);
    }
    if (!response.outcomes)
        return service_no_memory(call);
    response.n_outcomes = slot->n_jobs;
    return joblog_v1_job_log_service_dispatch_jobs_send(call, &response, &SENT);
}

static enum crpc_next dispatch_jobs_sent(struct crpc_call *call)
{
    struct dispatch_jobs *d = crpc_call_state(call);
    if (!crpc_call_sent(call))
        return crpc_finish(call, NULL);
    d->oldest = (d->oldest + 1) % SLOTS;
    d->n_used--;
    crpc_signal_raise(&d->room);
    return crpc_goto(call, &WRITE);
}

static void dispatch_jobs_done(struct crpc_call *call)
{
    struct dispatch_jobs *d = crpc_call_state(call);
    drain_leave(&service_of(call)->drain, &d->drain);
    for (unsigned i = 0; i < SLOTS; i++)
        arena_done(&d->slots[i].arena);
}

const struct crpc_handler dispatch_jobs_handler = {
    .first = &START, .state_size = sizeof(struct dispatch_jobs), .done = dispatch_jobs_done};
