/* JobLogService.WatchJob. On the call's worker.
 *
 *   start: check, watch the hub, ask the store --store--> loaded: newer than what the caller has seen, or final?
 *     | yes: send                                            | no
 *     v                                                      v
 *   sent --> next: take what the hub has <--signal-- wait (nothing there)
 *     |        | a newer revision: BASIC sends the frame shared by all watchers;
 *     |        |                   FULL progress is sent from memory, a FULL transition when its history is loaded
 *     v        v
 *   end with OK after a final state; ABORTED when cut off as too slow; UNAVAILABLE when the server goes down;
 *   UNAUTHENTICATED once the caller's credentials have ended
 *
 * The hub is watched before the store is read, so no change falls between; revisions drop what comes twice. */
#include "base/clock.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/watch_one.h"

struct watch_job {
    struct watch_one one;
    struct crpc_event stored;
    struct store_get get;
    struct job_snapshot *snapshot; /* FULL view: the transition whose history is being loaded */
    enum job_view view;
    int64_t id;
    bool final; /* the message under way tells a final state */
    /* FULL view: attempts and transitions of the last load, which changes in memory come without. */
    struct arena arenas[2]; /* of the last load and of the one under way */
    unsigned loaded;        /* which is the last */
    struct job job;
};

static enum crpc_next watch_job_start(struct crpc_call *call);
static enum crpc_next watch_job_loaded(struct crpc_call *call);
static enum crpc_next watch_job_sent(struct crpc_call *call);
static enum crpc_next watch_job_next(struct crpc_call *call);

static const struct crpc_step START = {"start", watch_job_start};
static const struct crpc_step LOADED = {"loaded", watch_job_loaded};
static const struct crpc_step SENT = {"sent", watch_job_sent};
static const struct crpc_step NEXT = {"next", watch_job_next};

static enum crpc_next watch_job_load(struct crpc_call *call)
{
    struct watch_job *w = crpc_call_state(call);
    struct arena *arena = &w->arenas[!w->loaded];
    arena_reset(arena);
    w->get = (struct store_get){.cmd = {.op = STORE_GET},
                                .id = w->id,
                                .full = w->view == VIEW_FULL,
                                .scope = w->job.id == 0 ? &caller_of(call)->scope : NULL, /* once is enough */
                                .arena = arena};
    return service_submit(call, &w->get.cmd, &w->stored, &LOADED);
}

static enum crpc_next watch_job_start(struct crpc_call *call)
{
    struct watch_job *w = crpc_call_state(call);
    const Joblog__V1__WatchJobRequest *request = joblog_v1_job_log_service_watch_job_request(call);
    struct err err = ERR_NONE;
    if (check_id(request->id, "id", &err) != 0 || check_view(request->view, &w->view, &err) != 0)
        return crpc_finish(call, &err);
    w->id = request->id;
    arena_init(&w->arenas[0], NULL, 0, 0);
    arena_init(&w->arenas[1], NULL, 0, 0);
    if (watch_one_begin(call, &w->one, w->id, request->after_revision, &err) != 0)
        return crpc_finish(call, &err);
    return watch_job_load(call);
}

/* Sends the job as it is in memory. */
static enum crpc_next watch_job_send(struct crpc_call *call, const struct job *job)
{
    struct watch_job *w = crpc_call_state(call);
    Joblog__V1__WatchJobResponse response = JOBLOG__V1__WATCH_JOB_RESPONSE__INIT;
    struct arena arena;
    char room[4096];
    arena_init(&arena, room, sizeof room, 0);
    response.job = convert_job(&arena, job, w->view, clock_wall_us());
    w->one.revision = job->revision;
    w->final = job_status_is_final(job->status);
    enum crpc_next next =
        response.job ? joblog_v1_job_log_service_watch_job_send(call, &response, &SENT) : service_no_memory(call);
    arena_done(&arena);
    /* A BASIC watch needs nothing of it any more: an idle watcher should be small. */
    if (w->view == VIEW_BASIC)
        arena_reset(&w->arenas[w->loaded]);
    return next;
}

/* FULL view: sends the job as a snapshot has it, with what was loaded up to then: the store may know later attempts. */
static enum crpc_next watch_job_send_then(struct crpc_call *call, const struct job *then)
{
    struct watch_job *w = crpc_call_state(call);
    struct job job = *then; /* without history: that is the store's */
    struct arena arena;
    char room[2048];
    arena_init(&arena, room, sizeof room, 0);
    struct attempt *attempts = arena_alloc(&arena, w->job.n_attempts * sizeof *attempts);
    for (size_t i = 0; attempts && i < w->job.n_attempts && w->job.attempts[i].number <= then->attempt; i++) {
        attempts[i] = w->job.attempts[i];
        if (attempts[i].number == then->attempt && then->status == JOB_RUNNING) {
            attempts[i].end_us = 0;
            attempts[i].outcome = ATTEMPT_RUNNING;
            attempts[i].error = (struct job_error){.type = {NULL, 0}};
        }
        job.n_attempts = i + 1;
    }
    job.attempts = attempts;
    job.transitions = w->job.transitions;
    while (job.n_transitions < w->job.n_transitions && job.transitions[job.n_transitions].revision <= then->revision)
        job.n_transitions++;
    if (job.payload.len == 0)
        job.payload = w->job.payload;
    enum crpc_next next = attempts ? watch_job_send(call, &job) : service_no_memory(call);
    arena_done(&arena);
    return next;
}

static enum crpc_next watch_job_loaded(struct crpc_call *call)
{
    struct watch_job *w = crpc_call_state(call);
    bool is_first = w->job.id == 0;
    struct err err = ERR_NONE;
    if (caller_check_got(call, &w->get, &err) != 0)
        return crpc_finish(call, &err);
    w->loaded = !w->loaded;
    w->job = w->get.job;
    struct job_snapshot *snapshot = w->snapshot;
    w->snapshot = NULL;
    if (snapshot && w->job.revision >= job_revision_transition(snapshot->job.revision)) {
        enum crpc_next next = watch_job_send_then(call, &snapshot->job);
        job_snapshot_unref(snapshot);
        return next;
    }
    job_snapshot_unref(snapshot);
    if (w->job.revision > w->one.revision || (is_first && job_status_is_final(w->job.status)))
        return watch_job_send(call, &w->job);
    return crpc_goto(call, &NEXT);
}

static enum crpc_next watch_job_sent(struct crpc_call *call)
{
    struct watch_job *w = crpc_call_state(call);
    if (!crpc_call_sent(call) || w->final)
        return crpc_finish(call, NULL);
    return crpc_goto(call, &NEXT);
}

/* A change, BASIC view: the same bytes for everybody. */
static enum crpc_next watch_job_send_frame(struct crpc_call *call, struct job_snapshot *snapshot)
{
    struct watch_job *w = crpc_call_state(call);
    struct crpc_frame *frame = convert_snapshot_frame(snapshot);
    if (!frame)
        return service_no_memory(call);
    w->one.revision = snapshot->job.revision;
    w->final = job_status_is_final(snapshot->job.status);
    enum crpc_next next = crpc_send_frame(call, frame, &SENT);
    crpc_frame_unref(frame);
    return next;
}

/* A change, FULL view. A transition brings attempts and transitions that only the store has. */
static enum crpc_next watch_job_send_full(struct crpc_call *call, struct job_snapshot *snapshot)
{
    struct watch_job *w = crpc_call_state(call);
    const struct job *job = &snapshot->job;
    bool is_transition = (job->revision & (((int64_t)1 << JOB_REVISION_SHIFT) - 1)) == 0;
    if (is_transition) {
        w->snapshot = job_snapshot_ref(snapshot);
        return watch_job_load(call);
    }
    return watch_job_send_then(call, job);
}

static enum crpc_next watch_job_next(struct crpc_call *call)
{
    struct watch_job *w = crpc_call_state(call);
    struct job_snapshot *snapshot;
    enum crpc_next next = watch_one_next(call, &w->one, &NEXT, &snapshot);
    if (!snapshot)
        return next;
    next = w->view == VIEW_BASIC ? watch_job_send_frame(call, snapshot) : watch_job_send_full(call, snapshot);
    job_snapshot_unref(snapshot);
    return next;
}

static void watch_job_done(struct crpc_call *call)
{
    struct watch_job *w = crpc_call_state(call);
    watch_one_done(call, &w->one);
    job_snapshot_unref(w->snapshot);
    arena_done(&w->arenas[0]);
    arena_done(&w->arenas[1]);
}

const struct crpc_handler watch_job_handler = {
    .first = &START, .state_size = sizeof(struct watch_job), .done = watch_job_done};
