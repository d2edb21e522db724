/* Cancels and retries by filter: unary calls one after the other, on the caller's thread. */
#include "joblog/bulk.h"

#include "box.h"
#include "convert.h"

enum { CALL_JOBS = 500, REFUSALS_MAX = 20 }; /* a call is over within a second or so */

/* Copies a text of a message into the outcome. */
static const char *keep(struct joblog_bulk_outcome *outcome, const char *text)
{
    return arena_printf(box_arena(outcome), "%s", text_of(text));
}

static bool add_refusals(struct joblog_bulk_outcome *outcome, const Joblog__V1__BulkOutcome *m)
{
    struct joblog_refusal *all = (struct joblog_refusal *)outcome->refusals;
    if (m->n_refusals > 0 && !all)
        all = arena_alloc(box_arena(outcome), REFUSALS_MAX * sizeof *all);
    if (m->n_refusals > 0 && !all)
        return false;
    outcome->refusals = all;
    for (size_t i = 0; i < m->n_refusals && outcome->n_refusals < REFUSALS_MAX; i++) {
        const Joblog__V1__BulkOutcome__Refusal *from = m->refusals[i];
        struct joblog_refusal *to = &all[outcome->n_refusals++];
        *to = (struct joblog_refusal){.id = from->id,
                                      .code = from->code,
                                      .message = keep(outcome, from->message),
                                      .reason = keep(outcome, from->reason),
                                      .retry_after_ms = retry_ms_of(from->retry_after)};
        if (!to->message || !to->reason)
            return false;
    }
    return true;
}

/* The two requests have the same fields. */
union request {
    ProtobufCMessage base;
    Joblog__V1__CancelJobsRequest cancel;
    Joblog__V1__RetryJobsRequest retry;
};

static void request_fill(union request *r, bool cancels, Joblog__V1__JobFilter *filter, const struct joblog_bulk *bulk,
                         char *request_id)
{
    if (cancels) {
        joblog__v1__cancel_jobs_request__init(&r->cancel);
        r->cancel.filter = filter;
        r->cancel.reason = text_for_message(bulk->reason);
        r->cancel.request_id = request_id;
        r->cancel.dry_run = bulk->dry_run;
    } else {
        joblog__v1__retry_jobs_request__init(&r->retry);
        r->retry.filter = filter;
        r->retry.reason = text_for_message(bulk->reason);
        r->retry.request_id = request_id;
        r->retry.dry_run = bulk->dry_run;
    }
}

static void request_page(union request *r, bool cancels, char *token, int64_t limit)
{
    int32_t n = (int32_t)(limit < CALL_JOBS ? limit : CALL_JOBS);
    if (cancels) {
        r->cancel.page_token = token;
        r->cancel.limit = n;
    } else {
        r->retry.page_token = token;
        r->retry.limit = n;
    }
}

static void run_calls(struct joblog_client *client, union request *request, bool cancels, int64_t limit,
                      struct joblog_bulk_outcome *outcome, struct err *e)
{
    const struct crpc_method *method = cancels ? JOB_LOG_METHOD(CANCEL_JOBS) : JOB_LOG_METHOD(RETRY_JOBS);
    char *token = text_for_message("");
    bool more = true;
    ProtobufCMessage *last = NULL;
    while (more && outcome->matched < limit) {
        ProtobufCMessage *response = NULL;
        request_page(request, cancels, token, limit - outcome->matched);
        if (call_unary(client, method, &request->base, NULL, &response, e) < 0)
            break;
        crpc_message_free(last); /* the token of which was needed until now */
        last = response;
        const Joblog__V1__BulkOutcome *m = (const Joblog__V1__BulkOutcome *)response;
        outcome->matched += m->matched;
        outcome->changed += m->changed;
        outcome->refused += m->refused;
        token = m->next_page_token;
        more = token[0] != 0;
        if (!add_refusals(outcome, m)) {
            error_no_memory(e);
            break;
        }
    }
    crpc_message_free(last);
}

static int steer(struct joblog_client *client, bool cancels, const struct joblog_filter *filter,
                 const struct joblog_bulk *bulk, struct joblog_bulk_outcome **ret_outcome, struct joblog_error *error)
{
    static const struct joblog_filter nothing = {0};
    static const struct joblog_bulk usual = {0};
    struct err e = ERR_NONE;
    struct arena arena;
    char made_id[REQUEST_ID_SIZE];
    union request request;
    bulk = bulk ? bulk : &usual;
    arena_init(&arena, NULL, 0, 0);
    struct joblog_bulk_outcome *outcome = box_new(NULL, sizeof *outcome);
    Joblog__V1__JobFilter *message = convert_filter(&arena, filter ? filter : &nothing, &e);
    if (!outcome)
        error_no_memory(&e);
    if (!bulk->request_id)
        request_id_make(made_id);
    if (outcome && message) {
        request_fill(&request, cancels, message, bulk, bulk->request_id ? text_for_message(bulk->request_id) : made_id);
        run_calls(client, &request, cancels, bulk->limit > 0 ? bulk->limit : INT64_MAX, outcome, &e);
    }
    arena_done(&arena);
    if (outcome && ret_outcome)
        *ret_outcome = outcome;
    else
        box_free(outcome);
    return error_give(error, &e);
}

int joblog_cancel_jobs(struct joblog_client *client, const struct joblog_filter *filter, const struct joblog_bulk *bulk,
                       struct joblog_bulk_outcome **ret_outcome, struct joblog_error *error)
{
    return steer(client, true, filter, bulk, ret_outcome, error);
}

int joblog_retry_jobs(struct joblog_client *client, const struct joblog_filter *filter, const struct joblog_bulk *bulk,
                      struct joblog_bulk_outcome **ret_outcome, struct joblog_error *error)
{
    return steer(client, false, filter, bulk, ret_outcome, error);
}

void joblog_bulk_outcome_free(struct joblog_bulk_outcome *outcome)
{
    box_free(outcome);
}
