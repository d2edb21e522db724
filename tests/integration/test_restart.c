/* joblogd is killed in the middle of work and started again on the same directory: no acknowledged job is lost. One
 * thread dispatches, one works; the main thread kills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

enum { JOBS = 2000, KILL_AFTER = 700 };

struct scene {
    struct server_fixture *server;
    struct crpc_channel *channel;
    int64_t acknowledged[JOBS];
    atomic_int n_acknowledged, n_completed;
    pthread_mutex_t lock;
    pthread_cond_t reached; /* KILL_AFTER jobs have been acknowledged */
    atomic_bool all_dispatched;
};

/* Dispatches until JOBS are acknowledged; a call that fails says nothing of its job and is made again, with the same
 * request id. */
static void *dispatcher(void *arg)
{
    struct scene *s = arg;
    Joblog__V1__JobSpec spec = spec_of("survive", "restart");
    Google__Protobuf__Duration backoff = GOOGLE__PROTOBUF__DURATION__INIT;
    Joblog__V1__RetryPolicy policy = JOBLOG__V1__RETRY_POLICY__INIT;
    backoff.nanos = 1000000;
    policy.max_attempts = 10;
    policy.initial_backoff = &backoff;
    spec.retry_policy = &policy;
    for (int i = 0; i < JOBS;) {
        char request_id[32];
        snprintf(request_id, sizeof request_id, "restart-%d", i);
        Joblog__V1__Job *job = call_dispatch(s->channel, &spec, request_id, NULL);
        if (!job)
            continue;
        s->acknowledged[i++] = job->id;
        job_free(job);
        pthread_mutex_lock(&s->lock);
        if (atomic_fetch_add(&s->n_acknowledged, 1) + 1 == KILL_AFTER)
            pthread_cond_signal(&s->reached);
        pthread_mutex_unlock(&s->lock);
    }
    atomic_store(&s->all_dispatched, true);
    return NULL;
}

/* One connection's worth of work. Ends with the stream. */
static void work_once(struct scene *s)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS, .wait_for_ready = true};
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    Joblog__V1__WorkerHello hello = JOBLOG__V1__WORKER_HELLO__INIT;
    Joblog__V1__WorkResponse *m = NULL;
    char *queue = (char *)"restart";
    struct crpc_stream *stream = joblog_v1_worker_service_work_open(s->channel, &options, NULL);
    assert_non_null(stream);
    hello.name = (char *)"survivor";
    hello.queues = &queue;
    hello.n_queues = 1;
    request.hello = &hello;
    request.add_credit = 50;
    bool alive = joblog_v1_worker_service_work_write(stream, &request, NULL) == 0;
    while (alive && joblog_v1_worker_service_work_read(stream, &m, NULL) == 1) {
        Joblog__V1__WorkRequest answer = JOBLOG__V1__WORK_REQUEST__INIT;
        Joblog__V1__WorkerWrite writes[64], *pointers[64];
        Joblog__V1__CompleteWrite complete = JOBLOG__V1__COMPLETE_WRITE__INIT;
        answer.writes = pointers;
        for (size_t i = 0; i < m->n_leases && i < 64; i++) {
            joblog__v1__worker_write__init(&writes[i]);
            writes[i].write_id = 1;
            writes[i].job_id = m->leases[i]->job->id;
            writes[i].lease_token = m->leases[i]->lease_token;
            writes[i].write_case = JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE;
            writes[i].complete = &complete;
            pointers[answer.n_writes++] = &writes[i];
        }
        for (size_t i = 0; i < m->n_results; i++)
            atomic_fetch_add(&s->n_completed, m->results[i]->accepted);
        answer.add_credit = (int32_t)answer.n_writes;
        crpc_message_free(&m->base);
        if (answer.n_writes > 0)
            alive = joblog_v1_worker_service_work_write(stream, &answer, NULL) == 0;
    }
    crpc_stream_free(stream);
}

struct worker_thread {
    struct scene *scene;
    atomic_bool stop;
};

static void *worker(void *arg)
{
    struct worker_thread *w = arg;
    while (!atomic_load(&w->stop))
        work_once(w->scene);
    return NULL;
}

/* Waits until every job of the batch is final, by watching each. */
static void expect_all_completed(struct scene *s)
{
    for (int i = 0; i < JOBS; i++) {
        struct err err = ERR_NONE;
        struct crpc_stream *watch = must_watch(s->channel, s->acknowledged[i], 0, false);
        Joblog__V1__WatchJobResponse *m;
        Joblog__V1__JobStatus last = JOBLOG__V1__JOB_STATUS__JOB_STATUS_UNSPECIFIED;
        while ((m = watch_next(watch, &err))) {
            last = m->job->status;
            crpc_message_free(&m->base);
        }
        if (last != JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED)
            print_error("job %d id %lld status %d: %s %s\n", i, (long long)s->acknowledged[i], (int)last,
                        err_code_name((int)err.code), err.msg);
        assert_int_equal(last, JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED);
        assert_int_equal(err.code, ERR_OK);
        crpc_stream_free(watch);
    }
}

static void a_killed_server_loses_no_acknowledged_job(void **state)
{
    (void)state;
    static const char *const args[] = {"--lease-timeout-ms=1000", NULL};
    static struct scene s = {.lock = PTHREAD_MUTEX_INITIALIZER, .reached = PTHREAD_COND_INITIALIZER};
    struct worker_thread w = {.scene = &s};
    pthread_t dispatching, working;
    s.server = server_fixture_start(&(struct server_fixture_options){.args = args});
    assert_non_null(s.server);
    s.channel = channel_open(s.server, &(struct crpc_channel_options){.max_reconnect_ms = 200});
    assert_int_equal(pthread_create(&working, NULL, worker, &w), 0);
    assert_int_equal(pthread_create(&dispatching, NULL, dispatcher, &s), 0);

    pthread_mutex_lock(&s.lock);
    while (atomic_load(&s.n_acknowledged) < KILL_AFTER)
        pthread_cond_wait(&s.reached, &s.lock);
    pthread_mutex_unlock(&s.lock);
    server_fixture_kill(s.server);
    assert_false(atomic_load(&s.all_dispatched)); /* it was in the middle */
    assert_true(server_fixture_restart(s.server));

    pthread_join(dispatching, NULL);
    expect_all_completed(&s);
    /* Each request id made one job. */
    for (int i = 1; i < JOBS; i++)
        assert_true(s.acknowledged[i] != s.acknowledged[i - 1]);
    Joblog__V1__GetJobStatsRequest request = JOBLOG__V1__GET_JOB_STATS_REQUEST__INIT;
    Joblog__V1__JobStats *stats = NULL;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(s.channel, NULL, &request, &stats, NULL), 0);
    assert_int_equal(stats->total->counts->completed, JOBS);
    assert_int_equal(stats->total->dispatched, JOBS);
    crpc_message_free(&stats->base);

    atomic_store(&w.stop, true);
    assert_int_equal(server_fixture_stop(s.server), 0);
    pthread_join(working, NULL);
    crpc_channel_free(s.channel);
    server_fixture_free(s.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_killed_server_loses_no_acknowledged_job)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
