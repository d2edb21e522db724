/* A job that a client of the model check runs itself: StartJob, reports, an end. Every call is repeated until it is
 * answered, or abandoned. On the client's thread. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "clients.h"
#include "joblog/v1/worker.crpc.h"

enum { TRIES = 6 };

struct own {
    struct actor *actor;
    int64_t id, token;
    int32_t attempt;
};

/* Another run comes with the same request, at whichever replica: the job is the same, and the lease is not its. */
static void come_again(const struct own *own, Joblog__V1__StartJobRequest *request)
{
    Joblog__V1__StartJobResponse *response = NULL;
    struct err err = ERR_NONE;
    request->run_id = (char *)"another";
    if (joblog_v1_worker_service_start_job(actor_channel(own->actor), &model_call_options, request, &response, &err) !=
        0) {
        if (answer_is_definite((int)err.code))
            model_complain(own->actor->model, "another run of job %lld was refused: %s", (long long)own->id, err.msg);
        return;
    }
    if (response->job->id != own->id || response->lease_token != 0 || !response->replayed || response->same_run)
        model_complain(own->actor->model, "another run of job %lld got job %lld, token %lld, replayed %d, its own %d",
                       (long long)own->id, (long long)response->job->id, (long long)response->lease_token,
                       response->replayed, response->same_run);
    crpc_message_free(&response->base);
}

static bool start(struct own *own, size_t index)
{
    struct actor *actor = own->actor;
    struct call_fact *fact = &actor->facts.calls.at[index];
    Joblog__V1__StartJobRequest request = JOBLOG__V1__START_JOB_REQUEST__INIT;
    struct call_spec spec;
    char request_id[40];
    bool lost = false, named = fact->has_request_id && chance_percent(&actor->chance, 50);
    call_spec_make(&spec, actor->model->seed, fact->call, 0);
    spec.unique.on_conflict = JOBLOG__V1__UNIQUE_KEY__ON_CONFLICT__ON_CONFLICT_REJECT;
    snprintf(request_id, sizeof request_id, "call-%llu", (unsigned long long)fact->call);
    request.job = &spec.spec;
    request.worker = actor->name;
    if (fact->has_request_id)
        request.request_id = request_id;
    if (named)
        request.run_id = (char *)"one";
    for (int i = 0; i < (fact->has_request_id ? TRIES : 1); i++) {
        Joblog__V1__StartJobResponse *response = NULL;
        struct err err = ERR_NONE;
        if (joblog_v1_worker_service_start_job(actor_channel(actor), &model_call_options, &request, &response, &err) ==
            0) {
            call_answered(actor, fact, response->job->id, false);
            *own = (struct own){actor, fact->id, response->lease_token, response->job->attempt};
            crpc_message_free(&response->base);
            if (named && chance_percent(&actor->chance, 30))
                come_again(own, &request);
            return own->token != 0;
        }
        if (answer_is_definite((int)err.code)) {
            if (!lost)
                call_refused(actor, fact, &err);
            return false;
        }
        lost = true; /* it may run, or have run */
        pause_ms(20);
    }
    return false;
}

static struct write_fact *write_new(const struct own *own, enum write_kind kind)
{
    struct write_fact *fact = list_add(&own->actor->facts.writes);
    fact->id = own->id;
    fact->token = own->token;
    fact->attempt = own->attempt;
    fact->kind = kind;
    fact->sent_us = clock_wall_us();
    snprintf(fact->worker, sizeof fact->worker, "%s", own->actor->name);
    return fact;
}

static void report(const struct own *own, int mark)
{
    Joblog__V1__ReportProgressRequest request = JOBLOG__V1__REPORT_PROGRESS_REQUEST__INIT;
    Joblog__V1__ReportProgressResponse *response = NULL;
    Joblog__V1__ProgressWrite progress = JOBLOG__V1__PROGRESS_WRITE__INIT;
    struct write_fact *fact = write_new(own, WRITE_PROGRESS);
    struct err err = ERR_NONE;
    char patch[40];
    snprintf(patch, sizeof patch, "{\"p%d\": %d}", own->attempt, mark);
    fact->mark = mark;
    progress.payload_patch = patch;
    request.job_id = own->id;
    request.lease_token = own->token;
    request.progress = &progress;
    joblog_v1_worker_service_report_progress(actor_channel(own->actor), &model_call_options, &request, &response, &err);
    fact->answer = response ? ANSWER_OK : answer_is_definite((int)err.code) ? ANSWER_REFUSED : ANSWER_UNKNOWN;
    if (response)
        crpc_message_free(&response->base);
}

/* Once. True: there is an answer. */
static bool end(const struct own *own, bool well)
{
    struct write_fact *fact = write_new(own, well ? WRITE_COMPLETE : WRITE_FAIL);
    Joblog__V1__CompleteWrite complete = JOBLOG__V1__COMPLETE_WRITE__INIT;
    Joblog__V1__FailWrite fail = JOBLOG__V1__FAIL_WRITE__INIT;
    Joblog__V1__JobError error = JOBLOG__V1__JOB_ERROR__INIT;
    Joblog__V1__Job *job = NULL;
    struct err err = ERR_NONE;
    error.type = (char *)"Model";
    fail.error = &error;
    if (well) {
        Joblog__V1__CompleteJobRequest request = JOBLOG__V1__COMPLETE_JOB_REQUEST__INIT;
        request.job_id = own->id;
        request.lease_token = own->token;
        request.complete = &complete;
        joblog_v1_worker_service_complete_job(actor_channel(own->actor), &model_call_options, &request, &job, &err);
    } else {
        Joblog__V1__FailJobRequest request = JOBLOG__V1__FAIL_JOB_REQUEST__INIT;
        request.job_id = own->id;
        request.lease_token = own->token;
        request.fail = &fail;
        joblog_v1_worker_service_fail_job(actor_channel(own->actor), &model_call_options, &request, &job, &err);
    }
    fact->answer = job ? ANSWER_OK : answer_is_definite((int)err.code) ? ANSWER_REFUSED : ANSWER_UNKNOWN;
    if (job)
        crpc_message_free(&job->base);
    return fact->answer != ANSWER_UNKNOWN;
}

void own_work(struct actor *actor)
{
    struct own own = {.actor = actor};
    call_new(actor, true);
    size_t index = actor->facts.calls.n - 1;
    if (!start(&own, index))
        return;
    struct lease_fact *lease = list_add(&actor->facts.leases);
    *lease = (struct lease_fact){.id = own.id, .token = own.token, .attempt = own.attempt, .got_us = clock_wall_us()};
    snprintf(lease->worker, sizeof lease->worker, "%s", actor->name);
    int n_reports = chance_below(&actor->chance, 4);
    for (int i = 1; i <= n_reports; i++)
        report(&own, i);
    if (chance_percent(&actor->chance, 10))
        return; /* vanishes: the lease ends by its time */
    if (chance_percent(&actor->chance, 10))
        pause_ms(LEASE_TIMEOUT_MS + 300); /* too late */
    bool well = chance_percent(&actor->chance, 70);
    for (int i = 0; i < TRIES && !end(&own, well); i++)
        pause_ms(20);
}
