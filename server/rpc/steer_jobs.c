/* JobLogService.CancelJobs and RetryJobs. On the call's worker.
 *
 *   start     check                                               --> page
 *   page      ask the store for the next jobs            --store--> loaded
 *   loaded    dry run: count them, go on like steered; else       --> steer
 *   steer     a command for each job                 --all stored--> steered
 *   steered   some met another replica --> steer, with these alone
 *             limit or end             --reply--> end
 *             else                     --> page
 *
 * Every job is a command of its own, so that batches mix them with those of other callers and one that is refused hurts
 * no other. A page is under way at a time: that is the share of a batch that a bulk may have. The list holds the
 * caller's scope; queue, name and owner of a job never change, so what was seen holds at the commit. */
#include "base/clock.h"
#include "joblog/v1/job_log.crpc.h"
#include "rpc/body_hash.h"
#include "rpc/check.h"
#include "rpc/convert.h"
#include "rpc/export_common.h"
#include "rpc/handlers.h"
#include "rpc/page_token.h"
#include "rpc/service.h"

#include <stdio.h>

enum {
    STEER_PAGE = 100,        /* commands under way at once: a tenth of a batch */
    COUNT_PAGE = 1000,       /* of a dry run */
    STEER_MAX = 10000,       /* jobs a call: a second or so */
    REFUSALS_MAX = 20,       /* told in the answer */
    BULK_ID_MAX_BYTES = 100, /* with "/" and the job's id it is the key of each job: 128 */
    TRIES = 3                /* of a job that another replica has in its hands */
};

/* What the two RPCs differ in. */
struct steer_kind {
    const char *name;
    enum store_op op;
    unsigned possible, usual; /* statuses */
    const char *statuses_text;
};

struct steer_item {
    struct tag done;
    struct steer_jobs *of;
    union {
        struct store_cmd cmd;
        struct store_cancel cancel;
        struct store_retry retry;
    };
};

struct steer_jobs {
    struct crpc_event stored;
    const struct steer_kind *kind;
    bool dry_run;
    int32_t left; /* of the limit */
    struct span reason, request_id;
    uint8_t body_hash[16];
    uint64_t hash; /* of the filter, for page tokens */
    struct arena page;
    struct store_list list;
    struct steer_item *items; /* of the page; those that must be sent are the first n_items */
    size_t n_items;
    int tries;
    atomic_size_t open;
    Joblog__V1__BulkOutcome outcome;
};

static enum crpc_next steer_jobs_page(struct crpc_call *call);
static enum crpc_next steer_jobs_loaded(struct crpc_call *call);
static enum crpc_next steer_jobs_steer(struct crpc_call *call);
static enum crpc_next steer_jobs_steered(struct crpc_call *call);

static const struct crpc_step PAGE = {"page", steer_jobs_page};
static const struct crpc_step LOADED = {"loaded", steer_jobs_loaded};
static const struct crpc_step STEER = {"steer", steer_jobs_steer};
static const struct crpc_step STEERED = {"steered", steer_jobs_steered};

/* The two requests have the same fields. */
struct steer_request {
    const Joblog__V1__JobFilter *filter;
    const char *reason, *request_id, *page_token;
    int32_t limit;
    bool dry_run;
};

static int check_statuses(const struct steer_kind *kind, struct job_filter *f, struct err *ret_err)
{
    if (f->status_mask & ~kind->possible)
        return err_field(ret_err, "filter.statuses", "filter.statuses: only %s jobs can be %s", kind->statuses_text,
                         kind->op == STORE_CANCEL ? "cancelled" : "retried");
    if (!f->status_mask)
        f->status_mask = kind->usual;
    return 0;
}

static int steer_jobs_check(struct crpc_call *call, struct steer_jobs *s, const struct steer_request *r,
                            struct err *ret_err)
{
    struct job_filter *f = &s->list.filter;
    int rc = check_filter(r->filter, crpc_call_arena(call), f, ret_err);
    if (rc != 0)
        return rc;
    if (job_filter_is_empty(f))
        return err_field(ret_err, "filter", "filter must restrict something: name statuses to mean all jobs");
    if ((rc = check_statuses(s->kind, f, ret_err)) != 0 ||
        (rc = check_text(r->reason, REASON_MAX_BYTES, "", "reason", &s->reason, ret_err)) != 0 ||
        (rc = check_text(r->request_id, BULK_ID_MAX_BYTES, "", "request_id", &s->request_id, ret_err)) != 0)
        return rc;
    if (r->limit < 0)
        return err_field(ret_err, "limit", "limit must not be negative, is %d", r->limit);
    s->left = r->limit == 0 || r->limit > STEER_MAX ? STEER_MAX : r->limit;
    s->dry_run = r->dry_run;
    f->scope = caller_of(call)->scope;
    s->hash = job_filter_hash(f);
    steer_hash(s->kind->name, 0, s->reason, s->hash, s->body_hash);
    return page_token_read(r->page_token, s->hash, &s->list.before_id, ret_err);
}

static enum crpc_next steer_jobs_start(struct crpc_call *call, const struct steer_kind *kind,
                                       const struct steer_request *request)
{
    struct steer_jobs *s = crpc_call_state(call);
    struct err err = ERR_NONE;
    s->kind = kind;
    s->list = (struct store_list){.cmd = {.op = STORE_LIST}, .arena = &s->page, .more = true};
    arena_init(&s->page, NULL, 0, 0);
    joblog__v1__bulk_outcome__init(&s->outcome);
    if (steer_jobs_check(call, s, request, &err) != 0)
        return crpc_finish(call, &err);
    return crpc_goto(call, &PAGE);
}

static enum crpc_next steer_jobs_reply(struct crpc_call *call)
{
    struct steer_jobs *s = crpc_call_state(call);
    if (s->list.more) {
        s->outcome.next_page_token = page_token_make(crpc_call_arena(call), s->hash, s->list.before_id);
        if (!s->outcome.next_page_token)
            return service_no_memory(call);
    }
    return s->kind->op == STORE_CANCEL ? joblog_v1_job_log_service_cancel_jobs_reply(call, &s->outcome)
                                       : joblog_v1_job_log_service_retry_jobs_reply(call, &s->outcome);
}

static enum crpc_next steer_jobs_page(struct crpc_call *call)
{
    struct steer_jobs *s = crpc_call_state(call);
    struct err err = ERR_NONE;
    int32_t page = s->dry_run ? COUNT_PAGE : STEER_PAGE;
    if (crpc_call_cancelled(call))
        return crpc_finish(call, NULL);
    if (caller_check(call, &err) != 0)
        return crpc_finish(call, &err);
    if (s->left == 0 || !s->list.more)
        return steer_jobs_reply(call);
    arena_reset(&s->page);
    s->list.limit = s->left < page ? s->left : page;
    return service_submit(call, &s->list.cmd, &s->stored, &LOADED);
}

/* Of a job that the filter means; the server's own only by the name of their queue. */
static bool is_meant(const struct job_filter *f, const struct job *job)
{
    return f->n_queues > 0 || !queue_is_reserved(job->queue);
}

static void item_done(struct tag *tag, bool ok)
{
    struct steer_item *item = (struct steer_item *)((char *)tag - offsetof(struct steer_item, done));
    struct steer_jobs *s = item->of;
    if (atomic_fetch_sub(&s->open, 1) == 1)
        tag_post(&s->stored.tag, ok);
}

/* Whose rows and types an export may have is to be looked at for each: RetryJob does. For administrators in their own
 * name there is nothing to look at. */
static bool needs_a_look(struct crpc_call *call, const struct steer_jobs *s, const struct job *job)
{
    return s->kind->op == STORE_RETRY && caller_of(call)->scope.bounded &&
           span_eq(job->queue, span_str(EXPORT_JOB_QUEUE));
}

/* False: out of memory. */
static bool item_fill(struct crpc_call *call, struct steer_jobs *s, struct steer_item *item, int64_t id)
{
    struct steer_key key = {.id = {NULL, 0}};
    if (s->request_id.len > 0) {
        key.id =
            span_str(arena_printf(&s->page, "%.*s/%lld", (int)s->request_id.len, s->request_id.data, (long long)id));
        if (!key.id.data)
            return false;
        memcpy(key.body_hash, s->body_hash, sizeof key.body_hash);
    }
    item->of = s;
    item->done.post = item_done;
    if (s->kind->op == STORE_CANCEL)
        item->cancel = (struct store_cancel){.job_id = id,
                                             .actor = caller_of(call)->actor,
                                             .reason = s->reason,
                                             .request_id = s->request_id,
                                             .key = key};
    else
        item->retry = (struct store_retry){.job_id = id,
                                           .actor = caller_of(call)->actor,
                                           .reason = s->reason,
                                           .request_id = s->request_id,
                                           .key = key};
    item->cmd.op = s->kind->op;
    item->cmd.done = &item->done;
    return true;
}

static int64_t item_id(const struct steer_jobs *s, const struct steer_item *item)
{
    return s->kind->op == STORE_CANCEL ? item->cancel.job_id : item->retry.job_id;
}

/* False: out of memory. */
static bool note_refusal(struct crpc_call *call, struct steer_jobs *s, const struct steer_item *item)
{
    struct arena *arena = crpc_call_arena(call);
    struct error_parts parts;
    Joblog__V1__BulkOutcome__Refusal *r;
    s->outcome.refused++;
    if (s->outcome.n_refusals == REFUSALS_MAX)
        return true;
    if (!s->outcome.refusals)
        s->outcome.refusals = arena_alloc(arena, REFUSALS_MAX * sizeof *s->outcome.refusals);
    r = arena_alloc(arena, sizeof *r);
    if (!s->outcome.refusals || !r || !convert_error(arena, &item->cmd.err, &parts))
        return false;
    joblog__v1__bulk_outcome__refusal__init(r);
    r->id = item_id(s, item);
    r->code = parts.code;
    r->message = parts.message;
    r->reason = parts.reason;
    r->retry_after = parts.retry_after;
    s->outcome.refusals[s->outcome.n_refusals++] = r;
    return true;
}

/* False: out of memory. */
static bool refuse_export(struct crpc_call *call, struct steer_jobs *s, int64_t id)
{
    struct steer_item item = {0};
    if (!item_fill(call, s, &item, id))
        return false;
    err_set(&item.cmd.err, ERR_PERMISSION_DENIED, "EXPORT_RETRY_ALONE",
            "exports are retried one at a time, by RetryJob");
    return note_refusal(call, s, &item);
}

static enum crpc_next steer_jobs_loaded(struct crpc_call *call)
{
    struct steer_jobs *s = crpc_call_state(call);
    if (s->list.cmd.err.code != ERR_OK)
        return crpc_finish(call, &s->list.cmd.err);
    s->list.before_id = s->list.next_before_id;
    s->n_items = 0;
    s->tries = 0;
    s->items = arena_zalloc(&s->page, (s->dry_run ? 0 : s->list.n_jobs) * sizeof *s->items + 1);
    if (!s->items)
        return service_no_memory(call);
    for (size_t i = 0; i < s->list.n_jobs; i++) {
        if (!is_meant(&s->list.filter, &s->list.jobs[i]))
            continue;
        s->outcome.matched++;
        s->left--;
        if (s->dry_run)
            continue;
        bool ok = needs_a_look(call, s, &s->list.jobs[i])
                      ? refuse_export(call, s, s->list.jobs[i].id)
                      : item_fill(call, s, &s->items[s->n_items++], s->list.jobs[i].id);
        if (!ok)
            return service_no_memory(call);
    }
    return crpc_goto(call, s->n_items ? &STEER : &PAGE);
}

static enum crpc_next steer_jobs_steer(struct crpc_call *call)
{
    struct steer_jobs *s = crpc_call_state(call);
    atomic_store(&s->open, s->n_items + 1);
    crpc_event_arm(call, &s->stored);
    for (size_t i = 0; i < s->n_items; i++) {
        struct store_cmd *cmd = &s->items[i].cmd;
        if (store_submit(service_of(call)->store, cmd, &cmd->err) != 0)
            atomic_fetch_sub(&s->open, 1);
    }
    if (atomic_fetch_sub(&s->open, 1) == 1)
        tag_post(&s->stored.tag, true);
    return crpc_await(call, &s->stored, &STEERED);
}

static enum crpc_next steer_jobs_steered(struct crpc_call *call)
{
    struct steer_jobs *s = crpc_call_state(call);
    size_t n_again = 0;
    s->tries++;
    for (size_t i = 0; i < s->n_items; i++) {
        struct steer_item *item = &s->items[i];
        bool changed = s->kind->op == STORE_CANCEL ? item->cancel.changed : item->retry.changed;
        if (item->cmd.err.code == ERR_UNAVAILABLE)
            return crpc_finish(call, &item->cmd.err);
        if (item->cmd.err.code == ERR_ABORTED && s->tries < TRIES)
            s->items[n_again++] = *item;
        else if (item->cmd.err.code != ERR_OK && !note_refusal(call, s, item))
            return service_no_memory(call);
        else if (item->cmd.err.code == ERR_OK)
            s->outcome.changed += changed;
    }
    for (size_t i = 0; i < n_again; i++)
        s->items[i].cmd.done = &s->items[i].done;
    s->n_items = n_again;
    return crpc_goto(call, n_again ? &STEER : &PAGE);
}

static void steer_jobs_done(struct crpc_call *call)
{
    struct steer_jobs *s = crpc_call_state(call);
    arena_done(&s->page);
}

static enum crpc_next cancel_jobs_start(struct crpc_call *call)
{
    static const struct steer_kind kind = {"cancel jobs", STORE_CANCEL, 1 << JOB_PENDING | 1 << JOB_RUNNING,
                                           1 << JOB_PENDING | 1 << JOB_RUNNING, "pending and running"};
    const Joblog__V1__CancelJobsRequest *m = joblog_v1_job_log_service_cancel_jobs_request(call);
    const struct steer_request request = {m->filter, m->reason, m->request_id, m->page_token, m->limit, m->dry_run};
    return steer_jobs_start(call, &kind, &request);
}

static enum crpc_next retry_jobs_start(struct crpc_call *call)
{
    static const struct steer_kind kind = {"retry jobs", STORE_RETRY, 1 << JOB_FAILED | 1 << JOB_CANCELLED,
                                           1 << JOB_FAILED, "failed and cancelled"};
    const Joblog__V1__RetryJobsRequest *m = joblog_v1_job_log_service_retry_jobs_request(call);
    const struct steer_request request = {m->filter, m->reason, m->request_id, m->page_token, m->limit, m->dry_run};
    return steer_jobs_start(call, &kind, &request);
}

static const struct crpc_step CANCEL_START = {"start", cancel_jobs_start};
static const struct crpc_step RETRY_START = {"start", retry_jobs_start};

const struct crpc_handler cancel_jobs_handler = {
    .first = &CANCEL_START, .state_size = sizeof(struct steer_jobs), .done = steer_jobs_done};
const struct crpc_handler retry_jobs_handler = {
    .first = &RETRY_START, .state_size = sizeof(struct steer_jobs), .done = steer_jobs_done};
