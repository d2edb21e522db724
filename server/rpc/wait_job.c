/* JobLogService.WaitJob. On the call's worker.
 *
 *   start: check, watch the hub, ask the store --store--> loaded: final, or the time is over? reply with it
 *                                                            | no
 *            ask the store again <-- changed: is it final now? <--signal, or the time is over-- wait
 *
 *   ends: UNAVAILABLE when the server goes down, UNAUTHENTICATED once the caller's credentials have ended
 *
 * The hub is watched before the store is read, so no change falls between. */
#include "base/clock.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

enum { TIMEOUT_DEFAULT_MS = 60 * 1000, TIMEOUT_MAX_MS = 3600 * 1000 };

struct wait_job {
    struct crpc_signal wake;
    struct crpc_event stored;
    struct drain_link drain;
    struct hub_watch *watch;
    struct store_get get;
    struct arena arena; /* of the answer */
    enum job_view view;
    int64_t id, until_ms; /* monotonic */
    bool over;            /* the time is: the next load is the answer */
};

static enum crpc_next wait_job_start(struct crpc_call *call);
static enum crpc_next wait_job_loaded(struct crpc_call *call);
static enum crpc_next wait_job_changed(struct crpc_call *call);

static const struct crpc_step START = {"start", wait_job_start};
static const struct crpc_step LOADED = {"loaded", wait_job_loaded};
static const struct crpc_step CHANGED = {"changed", wait_job_changed};

static enum crpc_next wait_job_load(struct crpc_call *call)
{
    struct wait_job *w = crpc_call_state(call);
    arena_reset(&w->arena);
    w->get = (struct store_get){.cmd = {.op = STORE_GET},
                                .id = w->id,
                                .full = w->view == VIEW_FULL,
                                .scope = &caller_of(call)->scope,
                                .arena = &w->arena};
    return service_submit(call, &w->get.cmd, &w->stored, &LOADED);
}

static int wait_job_check(struct crpc_call *call, struct wait_job *w, struct err *ret_err)
{
    const Joblog__V1__WaitJobRequest *request = joblog_v1_job_log_service_wait_job_request(call);
    int64_t timeout_us = 0;
    int rc = check_id(request->id, "id", ret_err);
    if (rc != 0 || (rc = check_view(request->view, &w->view, ret_err)) != 0)
        return rc;
    rc = check_duration(request->timeout, (int64_t)TIMEOUT_DEFAULT_MS * 1000, (int64_t)TIMEOUT_MAX_MS * 1000, "",
                        "timeout", &timeout_us, ret_err);
    if (rc != 0)
        return rc;
    w->id = request->id;
    w->until_ms = clock_mono_ms() + (timeout_us + 999) / 1000;
    return 0;
}

static enum crpc_next wait_job_start(struct crpc_call *call)
{
    struct wait_job *w = crpc_call_state(call);
    struct service *service = service_of(call);
    struct err err = ERR_NONE;
    arena_init(&w->arena, NULL, 0, 0);
    if (wait_job_check(call, w, &err) != 0)
        return crpc_finish(call, &err);
    crpc_signal_init(call, &w->wake);
    drain_join(&service->drain, &w->drain, &w->wake.tag);
    struct job_filter filter = {.ids = &w->id, .n_ids = 1};
    if (hub_watch(service->hub, &filter, &w->wake.tag, &w->watch, &err) != 0)
        return crpc_finish(call, &err);
    return wait_job_load(call);
}

static enum crpc_next wait_job_loaded(struct crpc_call *call)
{
    struct wait_job *w = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (caller_check_got(call, &w->get, &err) != 0)
        return crpc_finish(call, &err);
    if (!w->over && !job_status_is_final(w->get.job.status)) {
        arena_reset(&w->arena); /* who waits should be small */
        return crpc_goto(call, &CHANGED);
    }
    Joblog__V1__Job *message = convert_job(&w->arena, &w->get.job, w->view, clock_wall_us());
    return message ? joblog_v1_job_log_service_wait_job_reply(call, message) : service_no_memory(call);
}

/* Takes what has been told. True: it is final. */
static bool wait_job_take(struct crpc_call *call, bool *ret_cut)
{
    struct wait_job *w = crpc_call_state(call);
    bool is_final = false;
    struct job_snapshot *snapshot;
    while ((snapshot = hub_next(service_of(call)->hub, w->watch, ret_cut)) != NULL) {
        is_final = job_status_is_final(snapshot->job.status);
        job_snapshot_unref(snapshot);
    }
    return is_final;
}

static enum crpc_next wait_job_changed(struct crpc_call *call)
{
    struct wait_job *w = crpc_call_state(call);
    struct err err = ERR_NONE;
    enum crpc_next end;
    bool cut = false;
    if (service_stops(call, &end))
        return end;
    int64_t left_ms = w->until_ms - clock_mono_ms();
    bool is_final = wait_job_take(call, &cut);
    if (cut) {
        err_set(&err, ERR_ABORTED, "WATCH_TOO_SLOW", "changes of the job were lost: call again");
        return crpc_finish(call, &err);
    }
    w->over = left_ms <= 0;
    if (is_final || w->over) /* somebody may put it back before it is loaded: then it is waited for again */
        return wait_job_load(call);
    return crpc_await_signal_for(call, &w->wake, left_ms < CALLER_LOOK_MS ? left_ms : CALLER_LOOK_MS, &CHANGED);
}

static void wait_job_done(struct crpc_call *call)
{
    struct wait_job *w = crpc_call_state(call);
    struct service *service = service_of(call);
    hub_unwatch(service->hub, w->watch);
    drain_leave(&service->drain, &w->drain);
    arena_done(&w->arena);
}

const struct crpc_handler wait_job_handler = {
    .first = &START, .state_size = sizeof(struct wait_job), .done = wait_job_done};
