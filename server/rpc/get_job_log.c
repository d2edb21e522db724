/* JobLogService.GetJobLog. On the call's worker.
 *
 *   start: check, with follow watch the hub --> read: ask the store --store--> loaded: send what it has
 *                                                ^                               | nothing to send
 *                                                |                               v
 *                                                +---- more lines there ------- sent: is that all?
 *                                                |                               | follow: the job goes on
 *                                                '---- wait <-------signal-------'
 *   end with OK when all is sent, and with follow when the job (or the attempt) has ended; ABORTED when cut off;
 *   UNAVAILABLE when the server goes down; UNAUTHENTICATED once the caller's credentials have ended
 *
 * The hub tells that something has happened to the job; what it is stands in the store alone. It is watched before the
 * store is read, so no line falls between. */
#include "joblog/v1/job_log.crpc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

enum {
    LINES_A_READ = 250, /* 4 MiB of the longest lines: what a client takes by default is no less */
    BYTES_A_MESSAGE = 1024 * 1024,
    TAIL_MAX = 1000000
};

struct get_job_log {
    struct crpc_signal wake;
    struct crpc_event stored;
    struct drain_link drain;
    struct hub_watch *watch; /* NULL: does not follow */
    struct store_log_read read;
    struct arena arena;
    size_t sent;     /* of the lines that were read */
    int64_t dropped; /* as last told */
    bool follow;
};

static enum crpc_next get_job_log_start(struct crpc_call *call);
static enum crpc_next get_job_log_read(struct crpc_call *call);
static enum crpc_next get_job_log_loaded(struct crpc_call *call);
static enum crpc_next get_job_log_sent(struct crpc_call *call);

static const struct crpc_step START = {"start", get_job_log_start};
static const struct crpc_step READ = {"read", get_job_log_read};
static const struct crpc_step LOADED = {"loaded", get_job_log_loaded};
static const struct crpc_step SENT = {"sent", get_job_log_sent};

static int check_request(const Joblog__V1__GetJobLogRequest *request, struct err *ret_err)
{
    int rc = check_id(request->id, "id", ret_err);
    if (rc == 0)
        rc = check_log_level(request->min_level, "", "min_level", ret_err);
    if (rc != 0)
        return rc;
    if (request->after_sequence < 0)
        return err_field(ret_err, "after_sequence", "after_sequence must not be negative, is %lld",
                         (long long)request->after_sequence);
    if (request->attempt < 0)
        return err_field(ret_err, "attempt", "attempt must not be negative, is %d", request->attempt);
    if (request->tail < 0 || request->tail > TAIL_MAX)
        return err_field(ret_err, "tail", "tail must be from 0 to %d, is %d", TAIL_MAX, request->tail);
    return 0;
}

static enum crpc_next get_job_log_start(struct crpc_call *call)
{
    struct get_job_log *g = crpc_call_state(call);
    struct service *service = service_of(call);
    const Joblog__V1__GetJobLogRequest *request = joblog_v1_job_log_service_get_job_log_request(call);
    struct err err = ERR_NONE;
    if (check_request(request, &err) != 0)
        return crpc_finish(call, &err);
    arena_init(&g->arena, NULL, 0, 0);
    g->follow = request->follow;
    g->read = (struct store_log_read){.cmd = {.op = STORE_LOG_READ},
                                      .job_id = request->id,
                                      .scope = &caller_of(call)->scope,
                                      .after = request->after_sequence,
                                      .attempt = request->attempt,
                                      .min_level = (enum log_line_level)request->min_level,
                                      .tail = request->tail,
                                      .limit = LINES_A_READ,
                                      .arena = &g->arena};
    crpc_signal_init(call, &g->wake);
    drain_join(&service->drain, &g->drain, &g->wake.tag);
    struct job_filter filter = {.ids = &g->read.job_id, .n_ids = 1};
    if (g->follow && hub_watch(service->hub, &filter, &g->wake.tag, &g->watch, &err) != 0)
        return crpc_finish(call, &err);
    return crpc_goto(call, &READ);
}

/* Takes what the hub has: whatever it is, the store is read after it. */
static bool take_all(struct get_job_log *g, struct hub *hub)
{
    bool cut = false;
    struct job_snapshot *snapshot = NULL;
    while (g->watch && (snapshot = hub_next(hub, g->watch, &cut)) != NULL)
        job_snapshot_unref(snapshot);
    return !cut;
}

static enum crpc_next get_job_log_read(struct crpc_call *call)
{
    struct get_job_log *g = crpc_call_state(call);
    struct err err = ERR_NONE;
    enum crpc_next end;
    if (service_stops(call, &end))
        return end;
    if (!take_all(g, service_of(call)->hub)) {
        err_set(&err, ERR_ABORTED, "WATCH_TOO_SLOW", "too many changes wait for this reader: call again");
        return crpc_finish(call, &err);
    }
    arena_reset(&g->arena);
    return service_submit(call, &g->read.cmd, &g->stored, &LOADED);
}

static Joblog__V1__LogLine *convert_log_line(struct arena *arena, const struct log_line *line)
{
    Joblog__V1__LogLine *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__log_line__init(m);
    m->sequence = line->sequence;
    m->attempt = line->attempt;
    m->level = (Joblog__V1__LogLevel)line->level;
    m->time = convert_time(arena, line->time_us);
    m->text = (char *)line->text.data; /* ends in NUL: the store has copied it */
    return m->time ? m : NULL;
}

/* Sends as many of the lines as fit into a message. */
static enum crpc_next get_job_log_send(struct crpc_call *call)
{
    struct get_job_log *g = crpc_call_state(call);
    Joblog__V1__GetJobLogResponse response = JOBLOG__V1__GET_JOB_LOG_RESPONSE__INIT;
    size_t bytes = 0;
    response.lines = arena_alloc(&g->arena, (g->read.n_lines + 1) * sizeof *response.lines);
    if (!response.lines)
        return service_no_memory(call);
    for (; g->sent < g->read.n_lines && bytes < BYTES_A_MESSAGE; g->sent++) {
        Joblog__V1__LogLine *m = convert_log_line(&g->arena, &g->read.lines[g->sent]);
        if (!m)
            return service_no_memory(call);
        bytes += g->read.lines[g->sent].text.len + LOG_LINE_EXTRA;
        g->read.after = m->sequence;
        response.lines[response.n_lines++] = m;
    }
    response.dropped_lines = g->dropped = g->read.dropped;
    return joblog_v1_job_log_service_get_job_log_send(call, &response, &SENT);
}

/* Will there be no more lines? */
static bool is_over(const struct get_job_log *g)
{
    const struct store_log_read *r = &g->read;
    if (!g->follow || job_status_is_final(r->status))
        return true;
    return r->attempt && (r->job_attempt > r->attempt || (r->job_attempt == r->attempt && r->status != JOB_RUNNING));
}

static enum crpc_next get_job_log_go_on(struct crpc_call *call)
{
    struct get_job_log *g = crpc_call_state(call);
    if (g->sent < g->read.n_lines)
        return get_job_log_send(call);
    if (g->read.n_lines == LINES_A_READ)
        return crpc_goto(call, &READ);
    if (is_over(g))
        return crpc_finish(call, NULL);
    return caller_await(call, &g->wake, &READ);
}

static enum crpc_next get_job_log_loaded(struct crpc_call *call)
{
    struct get_job_log *g = crpc_call_state(call);
    if (g->read.cmd.err.code != ERR_OK)
        return crpc_finish(call, &g->read.cmd.err);
    g->read.tail = 0;
    g->sent = 0;
    if (g->read.dropped != g->dropped)
        return get_job_log_send(call);
    return get_job_log_go_on(call);
}

static enum crpc_next get_job_log_sent(struct crpc_call *call)
{
    if (!crpc_call_sent(call))
        return crpc_finish(call, NULL);
    return get_job_log_go_on(call);
}

static void get_job_log_done(struct crpc_call *call)
{
    struct get_job_log *g = crpc_call_state(call);
    hub_unwatch(service_of(call)->hub, g->watch);
    drain_leave(&service_of(call)->drain, &g->drain);
    arena_done(&g->arena);
}

const struct crpc_handler get_job_log_handler = {
    .first = &START, .state_size = sizeof(struct get_job_log), .done = get_job_log_done};
