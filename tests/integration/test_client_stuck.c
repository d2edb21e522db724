/* A dispatcher whose stream stands still while its server lives: what is added goes by another stream. The server is
 * one of the test's own, whose first stream answers once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "crpc/server.h"
#include "joblog/v1/job_log.crpc.h"

/* ---- the server ---- */

enum { METHODS_MAX = 64 };

static struct {
    struct crpc_server *server;
    char address[32];
    atomic_int n_streams;
    sem_t received; /* a message of a stream */
} fake;

struct stream {
    int number;
    int64_t n_answered;
};

static enum crpc_next stream_start(struct crpc_call *call);
static enum crpc_next stream_read(struct crpc_call *call);
static enum crpc_next stream_received(struct crpc_call *call);

static const struct crpc_step START = {"start", stream_start};
static const struct crpc_step READ = {"read", stream_read};
static const struct crpc_step RECEIVED = {"received", stream_received};

static enum crpc_next stream_start(struct crpc_call *call)
{
    struct stream *s = crpc_call_state(call);
    s->number = atomic_fetch_add(&fake.n_streams, 1);
    return crpc_goto(call, &READ);
}

static enum crpc_next stream_read(struct crpc_call *call)
{
    return crpc_recv(call, &RECEIVED);
}

static enum crpc_next stream_received(struct crpc_call *call)
{
    struct stream *s = crpc_call_state(call);
    const Joblog__V1__DispatchJobsRequest *request = joblog_v1_job_log_service_dispatch_jobs_received(call);
    Joblog__V1__DispatchJobsResponse response = JOBLOG__V1__DISPATCH_JOBS_RESPONSE__INIT;
    Joblog__V1__DispatchOutcome outcome = JOBLOG__V1__DISPATCH_OUTCOME__INIT, *outcomes[] = {&outcome};
    if (!request)
        return crpc_finish(call, NULL);
    sem_post(&fake.received);
    if (s->number == 0 && s->n_answered > 0)
        return crpc_goto(call, &READ);
    outcome.id = ++s->n_answered;
    response.outcomes = outcomes;
    response.n_outcomes = 1; /* a message here is a job */
    return joblog_v1_job_log_service_dispatch_jobs_send(call, &response, &READ);
}

/* Any other call lasts as long as its client waits. */
static enum crpc_next stand(struct crpc_call *call)
{
    static const struct crpc_step STAND = {"stand", stand};
    struct crpc_signal *never = crpc_call_state(call);
    if (crpc_call_cancelled(call))
        return crpc_finish(call, NULL);
    if (!never->call)
        crpc_signal_init(call, never);
    return crpc_await_signal(call, never, &STAND);
}

static int setup(void **state)
{
    static const struct crpc_step STAND = {"stand", stand};
    static const struct crpc_handler standing = {.first = &STAND, .state_size = sizeof(struct crpc_signal)},
                                     streaming = {.first = &START, .state_size = sizeof(struct stream)};
    static const struct crpc_handler *handlers[METHODS_MAX];
    const struct crpc_service *service = &joblog_v1_job_log_service;
    int port = 0;
    (void)state;
    assert_true(service->n_methods <= METHODS_MAX);
    for (size_t i = 0; i < service->n_methods; i++)
        handlers[i] = strcmp(service->methods[i].name, "DispatchJobs") == 0 ? &streaming : &standing;
    sem_init(&fake.received, 0, 0);
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
    sem_destroy(&fake.received);
    return 0;
}

/* ---- the client ---- */

enum { TIMEOUT_MS = 4000, APART_MS = 500 };

struct waiter {
    sem_t told;
    int code, add_code;
    struct joblog_dispatcher *add_to; /* NULL: nobody is added then */
    struct waiter *next;
};

static const struct joblog_spec spec = {.job_name = "job"};

static void tell(void *user, const struct joblog_outcome *outcome)
{
    struct waiter *w = user;
    w->code = outcome->code;
    if (w->add_to)
        w->add_code = joblog_dispatcher_add(w->add_to, &spec, tell, w->next, NULL);
    sem_post(&w->told);
}

static struct joblog_client *client_with(int64_t timeout_ms)
{
    const struct joblog_options options = {.timeout_ms = timeout_ms, .no_retry = true, .no_token = true};
    struct joblog_error error;
    struct joblog_client *c = joblog_connect(fake.address, &options, &error);
    if (!c)
        fail_msg("%s", error.message);
    return c;
}

/* The first job has had its time while the second, under way on the same stream, still has some: the third, added at
 * that moment, is not sent into the stream that has let the first one's time pass. */
static void test_what_is_added_waits_for_another_stream(void **state)
{
    struct joblog_client *c = client_with(TIMEOUT_MS), *meanwhile = client_with(APART_MS);
    struct joblog_dispatcher *d = joblog_dispatcher_new(c, 0, NULL);
    struct waiter first = {.add_to = d}, second = {.code = -1}, third = {.code = -1};
    struct joblog_job *job = NULL;
    (void)state;
    assert_non_null(d);
    first.next = &third;
    sem_init(&first.told, 0, 0);
    sem_init(&second.told, 0, 0);
    sem_init(&third.told, 0, 0);
    assert_int_equal(joblog_dispatcher_dispatch(d, &spec, NULL, NULL), 0); /* messages of this size may go together */
    sem_wait(&fake.received);
    assert_int_equal(joblog_dispatcher_add(d, &spec, tell, &first, NULL), 0);
    sem_wait(&fake.received);
    /* As long as this call lasts is how far apart their times end. */
    assert_int_equal(joblog_get(meanwhile, 1, &job, NULL), -JOBLOG_DEADLINE_EXCEEDED);
    assert_int_equal(joblog_dispatcher_add(d, &spec, tell, &second, NULL), 0);
    sem_wait(&second.told);
    assert_int_equal(second.code, JOBLOG_DEADLINE_EXCEEDED);
    assert_int_equal(sem_trywait(&first.told), 0);
    assert_int_equal(first.code, JOBLOG_DEADLINE_EXCEEDED);
    assert_int_equal(first.add_code, 0);
    sem_wait(&third.told);
    assert_int_equal(third.code, JOBLOG_OK);
    assert_int_equal(fake.n_streams, 2);
    joblog_dispatcher_free(d);
    joblog_close(meanwhile);
    joblog_close(c);
    sem_destroy(&first.told);
    sem_destroy(&second.told);
    sem_destroy(&third.told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_added_waits_for_another_stream)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
