/* JobLogService.WatchJobs. On the call's worker.
 *
 *   start    check, watch the hub                              --> page
 *   page     ask the store for the next page          --store--> loaded
 *            no more --> mark; with a resume point: ask what has changed since --store--> changed
 *   loaded, row        send each job of the page (with a resume point: note it)   --> page
 *   changed, change    send each job that has changed                             --> mark
 *   mark     send snapshot_end                         --sent--> next
 *   next     send what the hub has                     --sent--> next
 *            with payloads in the filter: ask about them first --store--> looked --> next (or change)
 *            nothing there: wait                     --signal--> next
 *            nothing there, and it is time: send idle, with a resume point --sent--> next
 *
 *   ends: OK once all is final (until_final); ABORTED when cut off as too slow; UNAVAILABLE when the server goes down;
 *   UNAUTHENTICATED once the caller's credentials have ended
 *
 * The hub is watched before the store is read, so no change falls between. A change that the snapshot showed already is
 * known by its revision. With until_final the watch ends as soon as no job that it showed is open: a batch without jobs
 * ends right after the snapshot. */
#include "base/alloc.h"
#include "base/clock.h"
#include "core/seen.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"
#include "rpc/watch_payload.h"

enum {
    SNAPSHOT_PAGE = 200,          /* jobs a query: about 100 KB of memory */
    SNAPSHOT_MAX = HUB_SHOWN_MAX, /* jobs in a snapshot, each remembered; more: RESOURCE_EXHAUSTED */
    STATUSES_OPEN = 1 << JOB_PENDING | 1 << JOB_RUNNING,
    MARK_MS = 1000,           /* a resume point this long after a change at the earliest */
    MARK_IDLE_MS = 240 * 1000 /* and when nothing happens: a point holds for 600 s */
};

/* Apart, so that the thousands of watches on which nothing happens do not keep it. */
struct reading {
    struct arena page; /* of the list, or of the changes */
    union {
        struct store_list list;
        struct store_changes changes; /* once the list has no more */
    };
    size_t row;
    size_t asked; /* the payloads of the changes before this one have been asked about */
};

struct watch_jobs {
    struct crpc_signal wake;
    struct crpc_event stored;
    struct drain_link drain;
    struct hub_watch *watch;
    struct job_filter filter;
    bool until_final, snapshot_ended;
    struct span resume_point;  /* of the request; empty: none */
    struct buf first_point;    /* taken before the store was read */
    int64_t mark_ms;           /* monotonic: when the next resume point is due */
    struct reading *reading;   /* until the snapshot's end */
    struct payload_look *look; /* of a filter with payloads only */
    struct seen seen;
};

static enum crpc_next watch_jobs_start(struct crpc_call *call);
static enum crpc_next watch_jobs_page(struct crpc_call *call);
static enum crpc_next watch_jobs_loaded(struct crpc_call *call);
static enum crpc_next watch_jobs_row(struct crpc_call *call);
static enum crpc_next watch_jobs_changed(struct crpc_call *call);
static enum crpc_next watch_jobs_change(struct crpc_call *call);
static enum crpc_next watch_jobs_looked(struct crpc_call *call);
static enum crpc_next watch_jobs_next(struct crpc_call *call);

static const struct crpc_step START = {"start", watch_jobs_start};
static const struct crpc_step PAGE = {"page", watch_jobs_page};
static const struct crpc_step LOADED = {"loaded", watch_jobs_loaded};
static const struct crpc_step ROW = {"row", watch_jobs_row};
static const struct crpc_step CHANGED = {"changed", watch_jobs_changed};
static const struct crpc_step CHANGE = {"change", watch_jobs_change};
static const struct crpc_step LOOKED = {"looked", watch_jobs_looked};
static const struct crpc_step NEXT = {"next", watch_jobs_next};

static int watch_jobs_check(struct crpc_call *call, struct watch_jobs *w, struct err *ret_err)
{
    const Joblog__V1__WatchJobsRequest *request = joblog_v1_job_log_service_watch_jobs_request(call);
    int rc = check_filter(request->filter, crpc_call_arena(call), &w->filter, ret_err);
    if (rc != 0)
        return rc;
    if (request->until_final && w->filter.n_ids == 0 && w->filter.batch.len == 0)
        return err_field(ret_err, "until_final", "until_final needs ids or a batch in the filter");
    w->resume_point = span_str(request->resume_point);
    w->until_final = request->until_final;
    w->filter.scope = caller_of(call)->scope;
    return 0;
}

static enum crpc_next watch_jobs_start(struct crpc_call *call)
{
    struct watch_jobs *w = crpc_call_state(call);
    struct service *service = service_of(call);
    struct err err = ERR_NONE;
    if (watch_jobs_check(call, w, &err) != 0)
        return crpc_finish(call, &err);
    crpc_signal_init(call, &w->wake);
    drain_join(&service->drain, &w->drain, &w->wake.tag);
    /* A job that matched is followed to its end, whatever statuses it goes through. */
    struct job_filter filter = w->filter;
    if (w->until_final)
        job_filter_forget_now(&filter);
    store_point(service->store, &w->first_point);
    if (w->first_point.failed)
        return service_no_memory(call);
    if (hub_watch(service->hub, &filter, &w->wake.tag, &w->watch, &err) != 0)
        return crpc_finish(call, &err);
    struct reading *r = w->reading = mem_zalloc(sizeof *w->reading);
    if (w->filter.n_payload)
        w->look = payload_look_new(&w->filter, w->until_final);
    if (!r || (w->filter.n_payload && !w->look))
        return service_no_memory(call);
    arena_init(&r->page, NULL, 0, 0);
    r->list = (struct store_list){
        .cmd = {.op = STORE_LIST}, .filter = w->filter, .limit = SNAPSHOT_PAGE, .arena = &r->page, .more = true};
    if (!w->until_final) {
        unsigned asked = w->filter.status_mask;
        r->list.filter.status_mask = asked ? asked & STATUSES_OPEN : STATUSES_OPEN;
        /* Only final statuses were asked for: nothing that is not final matches. Who resumes has seen what matches, and
         * needs it only to be told when it ceases to. */
        r->list.more = r->list.filter.status_mask != 0 &&
                       (job_filter_is_fickle(&w->filter) || w->look || w->resume_point.len == 0);
    }
    return crpc_goto(call, &PAGE);
}

static void reading_end(struct watch_jobs *w)
{
    if (w->reading)
        arena_done(&w->reading->page);
    mem_free(w->reading);
    w->reading = NULL;
}

static enum crpc_next watch_jobs_mark(struct crpc_call *call)
{
    struct watch_jobs *w = crpc_call_state(call);
    Joblog__V1__WatchJobsResponse response = JOBLOG__V1__WATCH_JOBS_RESPONSE__INIT;
    Joblog__V1__WatchJobsResponse__SnapshotEnd end = JOBLOG__V1__WATCH_JOBS_RESPONSE__SNAPSHOT_END__INIT;
    response.event_case = JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END;
    response.snapshot_end = &end;
    end.resume_point = w->first_point.data;
    reading_end(w);
    w->snapshot_ended = true;
    w->mark_ms = clock_mono_ms() + MARK_MS;
    hub_settle(service_of(call)->hub, w->watch);
    return joblog_v1_job_log_service_watch_jobs_send(call, &response, &NEXT);
}

/* A point was taken, and the hub had nothing after that: everything up to it has been sent. */
static enum crpc_next watch_jobs_idle(struct crpc_call *call, char *point)
{
    struct watch_jobs *w = crpc_call_state(call);
    Joblog__V1__WatchJobsResponse response = JOBLOG__V1__WATCH_JOBS_RESPONSE__INIT;
    Joblog__V1__WatchJobsResponse__Idle idle = JOBLOG__V1__WATCH_JOBS_RESPONSE__IDLE__INIT;
    response.event_case = JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_IDLE;
    response.idle = &idle;
    idle.resume_point = point;
    w->mark_ms = clock_mono_ms() + MARK_IDLE_MS;
    return joblog_v1_job_log_service_watch_jobs_send(call, &response, &NEXT);
}

static enum crpc_next watch_jobs_page(struct crpc_call *call)
{
    struct watch_jobs *w = crpc_call_state(call);
    enum crpc_next end;
    if (service_stops(call, &end))
        return end;
    arena_reset(&w->reading->page);
    if (w->reading->list.more)
        return service_submit(call, &w->reading->list.cmd, &w->stored, &LOADED);
    if (w->resume_point.len == 0)
        return watch_jobs_mark(call);
    w->reading->changes =
        (struct store_changes){.cmd = {.op = STORE_CHANGES}, .point = w->resume_point, .arena = &w->reading->page};
    return service_submit(call, &w->reading->changes.cmd, &w->stored, &CHANGED);
}

static enum crpc_next watch_jobs_changed(struct crpc_call *call)
{
    struct watch_jobs *w = crpc_call_state(call);
    if (w->reading->changes.cmd.err.code != ERR_OK)
        return crpc_finish(call, &w->reading->changes.cmd.err);
    w->reading->row = 0;
    return crpc_goto(call, &CHANGE);
}

/* The next changes that the filter means, statuses and payloads apart; asks about the payloads. */
static enum crpc_next watch_jobs_ask_changes(struct crpc_call *call, const struct job_filter *filter)
{
    struct watch_jobs *w = crpc_call_state(call);
    struct reading *r = w->reading;
    for (; r->asked < r->changes.n_jobs && w->look->n_ids < PAYLOAD_LOOK_MAX; r->asked++)
        if (job_filter_matches(filter, &r->changes.jobs[r->asked]))
            payload_look_add(w->look, r->changes.jobs[r->asked].id);
    if (w->look->n_ids == 0)
        return crpc_goto(call, &CHANGE);
    return service_submit(call, payload_look_ask(w->look), &w->stored, &LOOKED);
}

static bool watch_jobs_shows(const struct watch_jobs *w, const struct job_filter *filter, const struct job *job)
{
    return job_filter_matches(filter, job) && (!w->look || payload_look_fits(w->look, job->id));
}

/* What matches now, and what may have matched when the former watch was cut: statuses apart. */
static enum crpc_next watch_jobs_change(struct crpc_call *call)
{
    struct watch_jobs *w = crpc_call_state(call);
    struct reading *r = w->reading;
    Joblog__V1__WatchJobsResponse response = JOBLOG__V1__WATCH_JOBS_RESPONSE__INIT;
    struct job_filter filter = w->filter;
    size_t end = w->look ? r->asked : r->changes.n_jobs;
    job_filter_forget_now(&filter);
    if (crpc_call_cancelled(call))
        return crpc_finish(call, NULL);
    while (r->row < end && !watch_jobs_shows(w, &filter, &r->changes.jobs[r->row]))
        r->row++;
    if (r->row == r->changes.n_jobs)
        return watch_jobs_mark(call);
    if (r->row == end)
        return watch_jobs_ask_changes(call, &filter);
    const struct job *job = &r->changes.jobs[r->row++];
    bool matches = job_filter_matches(&w->filter, job);
    hub_shown(service_of(call)->hub, w->watch, job->id, matches);
    if (w->look && matches)
        payload_look_sent(w->look, job);
    response.event_case = JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB;
    response.job = convert_job(&r->page, job, VIEW_BASIC, clock_wall_us());
    if (!response.job || !seen_put(&w->seen, job->id, job->revision, job_status_is_final(job->status)))
        return service_no_memory(call);
    return joblog_v1_job_log_service_watch_jobs_send(call, &response, &CHANGE);
}

static enum crpc_next watch_jobs_looked(struct crpc_call *call)
{
    struct watch_jobs *w = crpc_call_state(call);
    if (w->look->list.cmd.err.code != ERR_OK)
        return crpc_finish(call, &w->look->list.cmd.err);
    return crpc_goto(call, w->reading ? &CHANGE : &NEXT);
}

static enum crpc_next watch_jobs_loaded(struct crpc_call *call)
{
    struct watch_jobs *w = crpc_call_state(call);
    struct err err = ERR_NONE;
    if (w->reading->list.cmd.err.code != ERR_OK)
        return crpc_finish(call, &w->reading->list.cmd.err);
    size_t most = service_of(call)->snapshot_max ? service_of(call)->snapshot_max : SNAPSHOT_MAX;
    if (w->seen.n_jobs + w->reading->list.n_jobs > most) {
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "WATCH_TOO_WIDE",
                "more than %zu jobs match now, too many to begin a watch with: narrow the filter by status (RUNNING "
                "leaves out what waits), batch, owner or time of dispatch",
                most);
        return crpc_finish(call, &err);
    }
    w->reading->row = 0;
    return crpc_goto(call, &ROW);
}

static enum crpc_next watch_jobs_row(struct crpc_call *call)
{
    struct watch_jobs *w = crpc_call_state(call);
    Joblog__V1__WatchJobsResponse response = JOBLOG__V1__WATCH_JOBS_RESPONSE__INIT;
    if (crpc_call_cancelled(call))
        return crpc_finish(call, NULL);
    if (w->reading->row == w->reading->list.n_jobs) {
        w->reading->list.before_id = w->reading->list.next_before_id;
        return crpc_goto(call, &PAGE);
    }
    const struct job *job = &w->reading->list.jobs[w->reading->row++];
    hub_shown(service_of(call)->hub, w->watch, job->id, true);
    if (w->look)
        payload_look_sent(w->look, job);
    if (w->resume_point.len > 0) {
        if (w->until_final && !seen_put(&w->seen, job->id, 0, job_status_is_final(job->status)))
            return service_no_memory(call);
        return crpc_goto(call, &ROW);
    }
    response.event_case = JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB;
    response.job = convert_job(&w->reading->page, job, VIEW_BASIC, clock_wall_us());
    if (!response.job || !seen_put(&w->seen, job->id, job->revision, job_status_is_final(job->status)))
        return service_no_memory(call);
    return joblog_v1_job_log_service_watch_jobs_send(call, &response, &ROW);
}

/* Has the snapshot shown this already, or does it not match? Keeps the record of what has been shown. */
static bool watch_jobs_skips(struct watch_jobs *w, const struct job *job, bool *ret_failed)
{
    int64_t seen = seen_revision(&w->seen, job->id);
    if (job->revision <= seen)
        return true;
    bool matches = job_filter_matches_now(&w->filter, job);
    if (w->until_final && !matches && seen == 0)
        return true;
    bool is_final = job_status_is_final(job->status);
    /* The hub's order is each job's order: once a newer change came, revisions need no more watching. */
    if (w->until_final && !is_final)
        *ret_failed = !seen_put(&w->seen, job->id, job->revision, false);
    else
        seen_remove(&w->seen, job->id);
    return false;
}

static enum crpc_next watch_jobs_send(struct crpc_call *call, struct job_snapshot *snapshot)
{
    struct watch_jobs *w = crpc_call_state(call);
    bool failed = false;
    if (watch_jobs_skips(w, &snapshot->job, &failed))
        return crpc_goto(call, &NEXT);
    if (w->mark_ms > clock_mono_ms() + MARK_MS)
        w->mark_ms = clock_mono_ms() + MARK_MS;
    struct crpc_frame *frame = failed ? NULL : convert_snapshot_frame(snapshot);
    if (!frame)
        return service_no_memory(call);
    enum crpc_next next = crpc_send_frame(call, frame, &NEXT);
    crpc_frame_unref(frame);
    return next;
}

/* The next change, or NULL when there is none: then *point is filled if it is time for a mark. *ret_ask: the hub had
 * some whose payloads must be asked about first. */
static struct job_snapshot *watch_jobs_take(struct crpc_call *call, struct buf *point, bool *ret_cut, bool *ret_ask)
{
    struct watch_jobs *w = crpc_call_state(call);
    struct hub *hub = service_of(call)->hub;
    struct job_snapshot *snapshot = w->look ? payload_look_next(w->look) : NULL;
    if (snapshot)
        return snapshot;
    /* Taken before the hub is asked: what it tells of has gone to the hub already. */
    if (clock_mono_ms() >= w->mark_ms)
        store_point(service_of(call)->store, point);
    snapshot = hub_next(hub, w->watch, ret_cut);
    if (!w->look || !snapshot)
        return snapshot;
    payload_look_take(w->look, hub, w->watch, snapshot);
    *ret_ask = true;
    return NULL;
}

static enum crpc_next watch_jobs_next(struct crpc_call *call)
{
    struct watch_jobs *w = crpc_call_state(call);
    struct err err = ERR_NONE;
    enum crpc_next next;
    bool cut = false, asks = false;
    if (service_stops(call, &next))
        return next;
    struct buf point = BUF_INIT;
    struct job_snapshot *snapshot = watch_jobs_take(call, &point, &cut, &asks);
    if (asks) {
        next = service_submit(call, payload_look_ask(w->look), &w->stored, &LOOKED);
    } else if (cut) {
        err_set(&err, ERR_ABORTED, "WATCH_TOO_SLOW", "too many changes wait for this watcher: call again");
        next = crpc_finish(call, &err);
    } else if (snapshot) {
        next = watch_jobs_send(call, snapshot);
    } else if (w->until_final && w->seen.n_open == 0) {
        next = crpc_finish(call, NULL);
    } else if (point.len > 0 && !point.failed) {
        next = watch_jobs_idle(call, point.data);
    } else {
        next = caller_await(call, &w->wake, &NEXT);
    }
    job_snapshot_unref(snapshot);
    buf_done(&point);
    return next;
}

static void watch_jobs_done(struct crpc_call *call)
{
    struct watch_jobs *w = crpc_call_state(call);
    struct service *service = service_of(call);
    hub_unwatch(service->hub, w->watch);
    drain_leave(&service->drain, &w->drain);
    reading_end(w);
    payload_look_free(w->look);
    buf_done(&w->first_point);
    seen_done(&w->seen);
}

const struct crpc_handler watch_jobs_handler = {
    .first = &START, .state_size = sizeof(struct watch_jobs), .done = watch_jobs_done};
