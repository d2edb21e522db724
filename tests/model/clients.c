/* Clients of the model check: dispatch by both RPCs, repeat requests, cancel, retry, read. Each on a thread of its own;
 * own_work.c has the jobs that clients run themselves. */
#include "clients.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

enum { TRIES = 12, BULK_MESSAGES = 2, BULK_ITEMS = 12 };

const struct crpc_call_options model_call_options = {.timeout_ms = CALL_MS};

bool answer_is_definite(int code)
{
    return code == ERR_INVALID_ARGUMENT || code == ERR_NOT_FOUND || code == ERR_ALREADY_EXISTS ||
           code == ERR_PERMISSION_DENIED || code == ERR_FAILED_PRECONDITION || code == ERR_OUT_OF_RANGE;
}

void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

struct call_fact *call_new(struct actor *actor, bool own)
{
    struct facts *facts = &actor->facts;
    struct call_fact *fact = list_add(&facts->calls);
    fact->call = (uint64_t)(actor->number + 1) * 10000000 + facts->calls.n;
    fact->own = own;
    fact->has_request_id = chance_percent(&actor->chance, 85);
    if (!own && call_is_delayed(actor->model->seed, fact->call))
        fact->run_us = clock_wall_us() + 200000;
    return fact;
}

void call_answered(struct actor *actor, struct call_fact *fact, int64_t id, bool existing)
{
    if (fact->answer == ANSWER_OK && fact->id != id)
        model_complain(actor->model, "call %llu was answered with job %lld, and when repeated with %lld",
                       (unsigned long long)fact->call, (long long)fact->id, (long long)id);
    if (fact->answer != ANSWER_OK && !existing)
        model_know(actor->model, id);
    fact->answer = ANSWER_OK;
    fact->id = id;
    fact->existing = existing;
}

void call_refused(struct actor *actor, struct call_fact *fact, const struct err *err)
{
    if (fact->answer == ANSWER_OK)
        model_complain(actor->model, "call %llu was answered with job %lld, and when repeated refused: %s",
                       (unsigned long long)fact->call, (long long)fact->id, err->msg);
    else
        fact->answer = ANSWER_REFUSED;
}

/* ---- one at a time ---- */

struct request {
    struct call_spec spec;
    Joblog__V1__DispatchJobRequest message;
    char request_id[40];
};

static void request_make(struct request *r, const struct actor *actor, const struct call_fact *fact)
{
    joblog__v1__dispatch_job_request__init(&r->message);
    call_spec_make(&r->spec, actor->model->seed, fact->call, fact->run_us);
    r->message.job = &r->spec.spec;
    if (fact->has_request_id) {
        snprintf(r->request_id, sizeof r->request_id, "call-%llu", (unsigned long long)fact->call);
        r->message.request_id = r->request_id;
    }
}

/* Sends it until there is an answer that says something; without a request id once. */
static void dispatch(struct actor *actor, size_t index)
{
    struct call_fact *fact = &actor->facts.calls.at[index];
    struct request r;
    request_make(&r, actor, fact);
    for (int i = 0; i < (fact->has_request_id ? TRIES : 1); i++) {
        Joblog__V1__Job *job = NULL;
        struct err err = ERR_NONE;
        if (joblog_v1_job_log_service_dispatch_job(actor_channel(actor), &model_call_options, &r.message, &job, &err) ==
            0) {
            call_answered(actor, fact, job->id, call_of_job(job) != fact->call);
            crpc_message_free(&job->base);
            return;
        }
        if (answer_is_definite((int)err.code)) {
            call_refused(actor, fact, &err);
            return;
        }
        pause_ms(20);
    }
}

/* The same request id again: the same answer. With another body: refused. */
static void replay(struct actor *actor)
{
    if (actor->facts.calls.n == 0)
        return;
    size_t index = (size_t)chance_below(&actor->chance, (int)actor->facts.calls.n);
    struct call_fact *fact = &actor->facts.calls.at[index];
    if (!fact->has_request_id || fact->own || fact->answer == ANSWER_REFUSED)
        return;
    if (fact->answer == ANSWER_UNKNOWN || chance_percent(&actor->chance, 70)) {
        dispatch(actor, index);
        return;
    }
    struct request r;
    struct err err = ERR_NONE;
    Joblog__V1__Job *job = NULL;
    request_make(&r, actor, fact);
    r.spec.spec.payload = (char *)"{\"another\": \"body\"}";
    if (joblog_v1_job_log_service_dispatch_job(actor_channel(actor), &model_call_options, &r.message, &job, &err) == 0)
        model_complain(actor->model, "call %llu: its request id was taken with another body",
                       (unsigned long long)fact->call);
    else if (answer_is_definite((int)err.code) && strcmp(err.reason, "REQUEST_ID_REUSED") != 0)
        model_complain(actor->model, "call %llu: another body was refused with %s %s", (unsigned long long)fact->call,
                       err.reason, err.msg);
    if (job)
        crpc_message_free(&job->base);
}

/* ---- in bulk ---- */

/* Notes what became of the items of one message, which are the calls from `first` on; `again` repeats items, or is the
 * item's own index. */
static void bulk_outcomes(struct actor *actor, size_t first, const size_t *again,
                          const Joblog__V1__DispatchJobsResponse *response)
{
    if (response->n_outcomes != BULK_ITEMS) {
        model_complain(actor->model, "%zu outcomes for %d jobs", response->n_outcomes, BULK_ITEMS);
        return;
    }
    for (size_t i = 0; i < BULK_ITEMS; i++) {
        const Joblog__V1__DispatchOutcome *o = response->outcomes[i];
        struct call_fact *fact = &actor->facts.calls.at[first + again[i]];
        struct err err = {.code = (enum err_code)o->code};
        snprintf(err.msg, sizeof err.msg, "%s", o->message);
        if (o->code == 0)
            call_answered(actor, fact, o->id, o->existing);
        else if (answer_is_definite(o->code) && again[i] == i)
            call_refused(actor, fact, &err);
    }
}

static void bulk_message(struct actor *actor, size_t first, const size_t *again, struct request *rs,
                         struct crpc_stream *stream)
{
    Joblog__V1__DispatchJobsRequest message = JOBLOG__V1__DISPATCH_JOBS_REQUEST__INIT;
    Joblog__V1__DispatchJobRequest *items[BULK_ITEMS];
    for (size_t i = 0; i < BULK_ITEMS; i++) {
        request_make(&rs[i], actor, &actor->facts.calls.at[first + again[i]]);
        items[i] = &rs[i].message;
    }
    message.jobs = items;
    message.n_jobs = BULK_ITEMS;
    joblog_v1_job_log_service_dispatch_jobs_write(stream, &message, NULL);
}

/* Some items of a message repeat the one before: the same request twice at once. What got no answer is sent again by
 * the other RPC. */
static void bulk(struct actor *actor)
{
    size_t first = actor->facts.calls.n, again[BULK_MESSAGES][BULK_ITEMS];
    struct request *rs = calloc(BULK_ITEMS, sizeof *rs);
    struct crpc_stream *stream =
        joblog_v1_job_log_service_dispatch_jobs_open(actor_channel(actor), &model_call_options, NULL);
    Joblog__V1__DispatchJobsResponse *response = NULL;
    for (size_t m = 0; m < BULK_MESSAGES; m++)
        for (size_t i = 0; i < BULK_ITEMS; i++) {
            call_new(actor, false);
            bool repeat = i > 0 && actor->facts.calls.at[first + m * BULK_ITEMS + i - 1].has_request_id &&
                          again[m][i - 1] == i - 1 && chance_percent(&actor->chance, 15);
            again[m][i] = repeat ? i - 1 : i;
            if (repeat) /* its own number is never sent */
                actor->facts.calls.at[first + m * BULK_ITEMS + i].answer = ANSWER_REFUSED;
        }
    for (size_t m = 0; m < BULK_MESSAGES && stream; m++)
        bulk_message(actor, first + m * BULK_ITEMS, again[m], rs, stream);
    if (stream)
        crpc_stream_close_write(stream, NULL);
    for (size_t m = 0; m < BULK_MESSAGES && stream; m++) {
        if (joblog_v1_job_log_service_dispatch_jobs_read(stream, &response, NULL) != 1)
            break;
        bulk_outcomes(actor, first + m * BULK_ITEMS, again[m], response);
        crpc_message_free(&response->base);
    }
    crpc_stream_free(stream);
    free(rs);
    for (size_t i = first; i < actor->facts.calls.n; i++)
        if (actor->facts.calls.at[i].answer == ANSWER_UNKNOWN && actor->facts.calls.at[i].has_request_id)
            dispatch(actor, i);
}

/* ---- what is done to jobs ---- */

static void steer(struct actor *actor, enum steer kind)
{
    int64_t id = model_choose(actor->model, &actor->chance, kind == STEER_CANCEL ? 30 : 0);
    char request_id[40];
    struct err err = ERR_NONE;
    Joblog__V1__Job *job = NULL;
    if (id == 0)
        return;
    struct steer_fact *fact = list_add(&actor->facts.steers);
    fact->call = (uint64_t)(actor->number + 1) * 10000000 + actor->facts.steers.n;
    fact->id = id;
    fact->kind = kind;
    snprintf(request_id, sizeof request_id, "steer-%llu", (unsigned long long)fact->call);
    if (kind == STEER_CANCEL) {
        Joblog__V1__CancelJobRequest request = JOBLOG__V1__CANCEL_JOB_REQUEST__INIT;
        request.id = id;
        request.request_id = request_id;
        joblog_v1_job_log_service_cancel_job(actor_channel(actor), &model_call_options, &request, &job, &err);
    } else {
        Joblog__V1__RetryJobRequest request = JOBLOG__V1__RETRY_JOB_REQUEST__INIT;
        request.id = id;
        request.request_id = request_id;
        joblog_v1_job_log_service_retry_job(actor_channel(actor), &model_call_options, &request, &job, &err);
    }
    fact->answer = job ? ANSWER_OK : answer_is_definite((int)err.code) ? ANSWER_REFUSED : ANSWER_UNKNOWN;
    if (fact->answer == ANSWER_REFUSED && err.code != ERR_FAILED_PRECONDITION && err.code != ERR_ALREADY_EXISTS)
        model_complain(actor->model, "job %lld, which there is: %s", (long long)id, err.msg);
    if (job)
        crpc_message_free(&job->base);
}

/* A job that was acknowledged is there, on whichever replica. */
static void look(struct actor *actor)
{
    int64_t id = model_choose(actor->model, &actor->chance, 5);
    Joblog__V1__GetJobRequest request = JOBLOG__V1__GET_JOB_REQUEST__INIT;
    Joblog__V1__Job *job = NULL;
    struct err err = ERR_NONE;
    request.id = id;
    if (id == 0)
        return;
    joblog_v1_job_log_service_get_job(actor_channel(actor), &model_call_options, &request, &job, &err);
    if (!job && answer_is_definite((int)err.code))
        model_complain(actor->model, "job %lld was acknowledged, and then: %s", (long long)id, err.msg);
    if (job)
        crpc_message_free(&job->base);
}

void *client_run(void *arg)
{
    struct actor *actor = arg;
    for (int i = 0; i < actor->model->ops; i++) {
        int what = chance_below(&actor->chance, 100);
        if (what < 45) {
            call_new(actor, false);
            dispatch(actor, actor->facts.calls.n - 1);
        } else if (what < 52)
            bulk(actor);
        else if (what < 62)
            replay(actor);
        else if (what < 76)
            steer(actor, STEER_CANCEL);
        else if (what < 86)
            steer(actor, STEER_RETRY);
        else if (what < 92)
            own_work(actor);
        else
            look(actor);
        pause_ms(chance_below(&actor->chance, 8));
    }
    /* What is still unknown is asked for once more. */
    for (size_t i = 0; i < actor->facts.calls.n; i++)
        if (actor->facts.calls.at[i].answer == ANSWER_UNKNOWN && actor->facts.calls.at[i].has_request_id &&
            !actor->facts.calls.at[i].own)
            dispatch(actor, i);
    return NULL;
}
