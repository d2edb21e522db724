/* A worker of libjoblog whose ends are refused, for the time being or for good. The server is one of the test's own: it
 * leases five jobs, and answers about each as its script says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "crpc/server.h"
#include "joblog/v1/worker.crpc.h"

enum { METHODS_MAX = 64, JOBS = 5, ENDS_MAX = 6, PATIENCE_MS = 60000 };
enum { ONCE = 1, BUSY = 2, ILL_RESULT = 3, ILL_ERROR = 4, LOST = 5 }; /* the jobs, by their ids */

/* ---- the server ---- */

/* Codes of the answers to a job's ends, in turn; then it is accepted. */
static const int scripts[JOBS + 1][ENDS_MAX] = {
    [ONCE] = {JOBLOG_UNAVAILABLE},
    [BUSY] = {JOBLOG_ABORTED, JOBLOG_RESOURCE_EXHAUSTED, JOBLOG_UNAVAILABLE, JOBLOG_DEADLINE_EXCEEDED},
    [ILL_RESULT] = {JOBLOG_INVALID_ARGUMENT},
    [ILL_ERROR] = {JOBLOG_INVALID_ARGUMENT},
    [LOST] = {JOBLOG_FAILED_PRECONDITION}};

/* What the worker said of a job's end, each time. */
struct end {
    Joblog__V1__WorkerWrite__WriteCase kind;
    int64_t token;
    char type[32], message[600];
    bool has_trace, no_retry;
};

static struct {
    struct crpc_server *server;
    char address[32];
    pthread_mutex_t lock;
    struct end ends[JOBS + 1][ENDS_MAX];
    int n_ends[JOBS + 1];
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct stream {
    int n_leased;
    bool draining;
};

/* Notes an end. Code of the answer. */
static int take_end(const Joblog__V1__WorkerWrite *write)
{
    int code = JOBLOG_OK;
    pthread_mutex_lock(&fake.lock);
    int n = fake.n_ends[write->job_id];
    if (n < ENDS_MAX) {
        struct end *end = &fake.ends[write->job_id][n];
        *end = (struct end){.kind = write->write_case, .token = write->lease_token};
        if (write->write_case == JOBLOG__V1__WORKER_WRITE__WRITE_FAIL) {
            snprintf(end->type, sizeof end->type, "%s", write->fail->error->type);
            snprintf(end->message, sizeof end->message, "%s", write->fail->error->message);
            end->has_trace = *write->fail->error->stack_trace != '\0';
            end->no_retry = write->fail->no_retry;
        }
        code = scripts[write->job_id][n];
    }
    fake.n_ends[write->job_id]++;
    pthread_mutex_unlock(&fake.lock);
    return code;
}

static enum crpc_next stream_read(struct crpc_call *call);
static enum crpc_next stream_received(struct crpc_call *call);

static const struct crpc_step READ = {"read", stream_read};
static const struct crpc_step RECEIVED = {"received", stream_received};

static enum crpc_next stream_read(struct crpc_call *call)
{
    const struct stream *s = crpc_call_state(call);
    return s->draining ? crpc_finish(call, NULL) : crpc_recv(call, &RECEIVED);
}

/* To each message one of its own: a welcome, leases for the credit, answers. */
static enum crpc_next stream_received(struct crpc_call *call)
{
    struct stream *s = crpc_call_state(call);
    const Joblog__V1__WorkRequest *request = joblog_v1_worker_service_work_received(call);
    Joblog__V1__WorkResponse response = JOBLOG__V1__WORK_RESPONSE__INIT;
    Joblog__V1__WorkerWelcome welcome = JOBLOG__V1__WORKER_WELCOME__INIT;
    Joblog__V1__Job jobs[JOBS];
    Joblog__V1__Lease leases[JOBS], *lease_list[JOBS];
    Joblog__V1__WriteResult results[64], *result_list[64];
    if (!request)
        return crpc_finish(call, NULL);
    if (request->hello)
        response.welcome = &welcome;
    response.leases = lease_list;
    for (int i = 0; i < request->add_credit && s->n_leased < JOBS; i++, s->n_leased++) {
        joblog__v1__job__init(&jobs[i]);
        joblog__v1__lease__init(&leases[i]);
        jobs[i].id = s->n_leased + 1;
        jobs[i].job_name = (char *)"job";
        jobs[i].status = JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING;
        leases[i].job = &jobs[i];
        leases[i].lease_token = 1000 + jobs[i].id;
        lease_list[response.n_leases++] = &leases[i];
    }
    response.results = result_list;
    for (size_t i = 0; i < request->n_writes && i < 64; i++) {
        const Joblog__V1__WorkerWrite *write = request->writes[i];
        joblog__v1__write_result__init(&results[i]);
        results[i].write_id = write->write_id;
        results[i].job_id = write->job_id;
        results[i].code = take_end(write);
        results[i].accepted = results[i].code == JOBLOG_OK;
        results[i].message = (char *)(results[i].accepted ? "" : "not so");
        results[i].status = write->write_case == JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE
                                ? JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED
                                : JOBLOG__V1__JOB_STATUS__JOB_STATUS_FAILED;
        result_list[response.n_results++] = &results[i];
    }
    s->draining = request->draining;
    if (!response.welcome && response.n_leases == 0 && response.n_results == 0)
        return crpc_goto(call, &READ);
    return joblog_v1_worker_service_work_send(call, &response, &READ);
}

static enum crpc_next refuse(struct crpc_call *call)
{
    struct err e;
    err_set(&e, ERR_UNIMPLEMENTED, NULL, "only Work is there");
    return crpc_finish(call, &e);
}

static int setup(void **state)
{
    static const struct crpc_step REFUSE = {"refuse", refuse};
    static const struct crpc_handler refusing = {.first = &REFUSE},
                                     working = {.first = &READ, .state_size = sizeof(struct stream)};
    static const struct crpc_handler *handlers[METHODS_MAX];
    const struct crpc_service *service = &joblog_v1_worker_service;
    int port = 0;
    (void)state;
    assert_true(service->n_methods <= METHODS_MAX);
    for (size_t i = 0; i < service->n_methods; i++)
        handlers[i] = strcmp(service->methods[i].name, "Work") == 0 ? &working : &refusing;
    fake.server = crpc_server_new(NULL, NULL);
    if (!fake.server || crpc_server_mount(fake.server, service, handlers, NULL, NULL) != 0 ||
        crpc_server_listen(fake.server, "127.0.0.1:0", &port, NULL) != 0 || crpc_server_start(fake.server, NULL) != 0)
        return -1;
    snprintf(fake.address, sizeof fake.address, "127.0.0.1:%d", port);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crpc_server_drain(fake.server, 0);
    crpc_server_free(fake.server);
    return 0;
}

/* ---- the worker ---- */

struct told {
    int n[JOBS + 1];
    enum joblog_status status[JOBS + 1];
};

static void on_finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    struct told *told = user;
    told->n[job->id]++;
    told->status[job->id] = status;
}

static bool next_event(struct joblog_worker *worker, struct joblog_event *ret_event)
{
    struct pollfd p = {.fd = joblog_worker_fd(worker), .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    return joblog_worker_next(worker, ret_event) == 1;
}

static int end_of(struct joblog_context *context)
{
    switch (joblog_job_info(context)->id) {
    case ILL_RESULT:
        assert_int_equal(joblog_job_set_result(context, "{\"rows\": 7}", NULL), 0);
        return 0;
    case ILL_ERROR: {
        char message[2000];
        memset(message, 'x', sizeof message - 1);
        message[sizeof message - 1] = '\0';
        return joblog_job_fail_for_good(context, "Broken", "%s", message);
    }
    default:
        return 0;
    }
}

static void assert_end(int id, int n, Joblog__V1__WorkerWrite__WriteCase kind)
{
    assert_int_equal(fake.ends[id][n].kind, kind);
    assert_int_equal(fake.ends[id][n].token, 1000 + id);
}

/* All jobs are run, and the worker leaves when each end is accepted, or not its own any more. */
static void run_worker(struct told *told)
{
    const struct joblog_options options = {.no_token = true};
    struct joblog_worker_options how = {
        .name = "w", .concurrency = JOBS, .prefetch = -1, .on_finished = on_finished, .hook_user = told};
    struct joblog_client *client = joblog_connect(fake.address, &options, NULL);
    struct joblog_worker *worker = client ? joblog_worker_new(client, &how, NULL) : NULL;
    struct joblog_event event = {.kind = JOBLOG_EVENT_JOB};
    assert_non_null(worker);
    assert_int_equal(joblog_worker_start(worker, NULL), 0);
    for (int n = 0; n < JOBS;) {
        if (!next_event(worker, &event))
            continue;
        assert_int_equal(event.kind, JOBLOG_EVENT_JOB);
        joblog_job_end(event.context, end_of(event.context));
        n++;
    }
    /* Four are answered to; of the fifth nobody hears. */
    while (told->n[ONCE] + told->n[BUSY] + told->n[ILL_RESULT] + told->n[ILL_ERROR] < 4)
        assert_false(next_event(worker, &event));
    joblog_worker_stop(worker);
    while (event.kind != JOBLOG_EVENT_OVER)
        (void)next_event(worker, &event);
    assert_int_equal(event.error.code, JOBLOG_OK);
    joblog_worker_free(worker);
    joblog_close(client);
}

static void test_refused_ends(void **state)
{
    const Joblog__V1__WorkerWrite__WriteCase complete = JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE,
                                             fail = JOBLOG__V1__WORKER_WRITE__WRITE_FAIL;
    struct told told = {.n = {0}};
    (void)state;
    run_worker(&told);
    for (int id = 1; id <= JOBS; id++)
        assert_int_equal(told.n[id], id != LOST);
    /* For the time being: the same again, until it is taken. */
    assert_int_equal(fake.n_ends[ONCE], 2);
    assert_int_equal(fake.n_ends[BUSY], 5);
    for (int n = 0; n < 5; n++)
        assert_end(BUSY, n, complete);
    assert_end(ONCE, 1, complete);
    assert_int_equal(told.status[ONCE], JOBLOG_COMPLETED);
    assert_int_equal(told.status[BUSY], JOBLOG_COMPLETED);
    /* For good: the attempt has failed, by this lease. */
    assert_int_equal(fake.n_ends[ILL_RESULT], 2);
    assert_end(ILL_RESULT, 0, complete);
    assert_end(ILL_RESULT, 1, fail);
    assert_string_equal(fake.ends[ILL_RESULT][1].type, "ResultRefused");
    assert_string_equal(fake.ends[ILL_RESULT][1].message, "not so");
    assert_int_equal(told.status[ILL_RESULT], JOBLOG_FAILED);
    /* Or says so in fewer words. */
    assert_int_equal(fake.n_ends[ILL_ERROR], 2);
    assert_end(ILL_ERROR, 0, fail);
    assert_true(fake.ends[ILL_ERROR][0].has_trace);
    assert_end(ILL_ERROR, 1, fail);
    assert_string_equal(fake.ends[ILL_ERROR][1].type, "Broken");
    assert_int_equal(strlen(fake.ends[ILL_ERROR][1].message), 500);
    assert_false(fake.ends[ILL_ERROR][1].has_trace);
    assert_true(fake.ends[ILL_ERROR][1].no_retry);
    /* Not its own any more: not a word about it. */
    assert_int_equal(fake.n_ends[LOST], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused_ends)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
