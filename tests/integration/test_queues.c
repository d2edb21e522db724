/* PauseQueue, ResumeQueue and ListQueues against two joblogd on one database. Each test has queues of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/calls.h"
#include "support/replicas.h"
#include "support/server_fixture.h"

#define PENDING JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
#define RUNNING JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING

static struct replicas replicas;
static struct crpc_channel *a, *b;

static int setup(void **state)
{
    (void)state;
    int rc = replicas_start(&replicas, NULL);
    a = replicas.channels[0];
    b = replicas.channels[1];
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    return replicas_stop(&replicas);
}

static Joblog__V1__Queue *pause_at(struct crpc_channel *at, const char *queue, const char *reason)
{
    Joblog__V1__PauseQueueRequest request = JOBLOG__V1__PAUSE_QUEUE_REQUEST__INIT;
    Joblog__V1__Queue *q = NULL;
    struct err err = ERR_NONE;
    request.queue = (char *)queue;
    request.reason = (char *)reason;
    joblog_v1_job_log_service_pause_queue(at, NULL, &request, &q, &err);
    assert_non_null(q);
    return q;
}

static void resume_at(struct crpc_channel *at, const char *queue)
{
    Joblog__V1__ResumeQueueRequest request = JOBLOG__V1__RESUME_QUEUE_REQUEST__INIT;
    Joblog__V1__Queue *q = NULL;
    struct err err = ERR_NONE;
    request.queue = (char *)queue;
    joblog_v1_job_log_service_resume_queue(at, NULL, &request, &q, &err);
    assert_non_null(q);
    assert_string_equal(q->name, queue);
    assert_false(q->paused);
    assert_null(q->pause_time);
    crpc_message_free(&q->base);
}

static Joblog__V1__JobStatus dispatched(struct crpc_channel *at, const char *queue, int64_t *ret_id)
{
    Joblog__V1__JobSpec spec = spec_of("mail", queue);
    struct err err = ERR_NONE;
    Joblog__V1__Job *job = call_dispatch(at, &spec, "", &err);
    assert_non_null(job);
    Joblog__V1__JobStatus status = job->status;
    *ret_id = job->id;
    job_free(job);
    return status;
}

/* A worker that waits gets a new job within the dispatch; none of a paused queue. What it runs goes on. */
static void a_paused_queue_gives_nothing_to_workers(void **state)
{
    (void)state;
    int64_t first, second;
    struct test_worker *worker = worker_open(a, "w", "pause", 2);
    dispatched(a, "pause", &first);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, first);
    Joblog__V1__Queue *q = pause_at(a, "pause", "mail server is down");
    assert_true(q->paused);
    assert_string_equal(q->pause_reason, "mail server is down");
    assert_string_equal(q->pause_actor, server_fixture_actor(replicas.servers[0]));
    assert_true(q->pause_time->seconds > 0);
    assert_int_equal(q->running, 1);
    assert_int_equal(q->waiting, 0);
    crpc_message_free(&q->base);
    assert_int_equal(dispatched(a, "pause", &second), PENDING);
    assert_int_equal(worker_answer(worker, worker_progress(worker, lease, 1, 2, "half", ""), NULL), 0);
    assert_int_equal(worker_answer(worker, worker_complete(worker, lease, ""), NULL), 0);
    /* More credit changes nothing: the answer to a later write would come after a lease. */
    worker_credit(worker, 5);
    int64_t other;
    struct test_worker *beside = worker_open(a, "v", "beside", 1);
    dispatched(a, "beside", &other);
    assert_int_equal(worker_lease(beside).job_id, other);
    worker_cut(beside);
    assert_int_equal(must_status(a, second), PENDING);
    assert_int_equal(worker_leases_read(worker), 0);
    /* Paused once more: it stays as it is. */
    q = pause_at(b, "pause", "again");
    assert_string_equal(q->pause_reason, "mail server is down");
    assert_int_equal(q->waiting, 1);
    assert_non_null(q->oldest_time);
    crpc_message_free(&q->base);
    resume_at(b, "pause");
    resume_at(a, "pause");
    assert_int_equal(worker_lease(worker).job_id, second);
    worker_cut(worker);
}

/* Paused at one replica, the other follows within a second; resumed likewise. */
static void the_other_replica_follows(void **state)
{
    (void)state;
    enum { MANY = 10000 };
    int64_t id = 0, last, end = clock_mono_ms() + 30000;
    struct test_worker *worker = worker_open(b, "w", "both", MANY);
    crpc_message_free(&pause_at(a, "both", "")->base);
    while (dispatched(b, "both", &last) != PENDING)
        assert_true(clock_mono_ms() < end);
    assert_int_equal(must_status(b, last), PENDING);
    resume_at(a, "both");
    while (id != last)
        id = worker_lease(worker).job_id;
    worker_cut(worker);
}

static const Joblog__V1__Queue *find(const Joblog__V1__ListQueuesResponse *response, const char *name)
{
    for (size_t i = 0; i < response->n_queues; i++) {
        if (strcmp(response->queues[i]->name, name) == 0)
            return response->queues[i];
        assert_true(i == 0 || strcmp(response->queues[i - 1]->name, response->queues[i]->name) < 0);
    }
    return NULL;
}

static Joblog__V1__ListQueuesResponse *list(const char *only)
{
    Joblog__V1__ListQueuesRequest request = JOBLOG__V1__LIST_QUEUES_REQUEST__INIT;
    Joblog__V1__ListQueuesResponse *response = NULL;
    struct err err = ERR_NONE;
    char *names[] = {(char *)only};
    request.queues = names;
    request.n_queues = only ? 1 : 0;
    joblog_v1_job_log_service_list_queues(b, NULL, &request, &response, &err);
    assert_non_null(response);
    return response;
}

static void queues_are_listed_with_what_they_hold(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("mail", "held");
    Google__Protobuf__Timestamp later = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    int64_t before = clock_wall_us() / 1000000 - 1;
    must_dispatch(a, &spec);
    spec.job_name = (char *)"sms";
    must_dispatch(b, &spec);
    later.seconds = time(NULL) + 3600;
    spec.run_time = &later;
    must_dispatch(a, &spec);
    crpc_message_free(&pause_at(a, "never met", "for later")->base);
    Joblog__V1__ListQueuesResponse *response = list(NULL);
    const Joblog__V1__Queue *q = find(response, "held");
    assert_non_null(q);
    assert_int_equal(q->waiting, 2);
    assert_int_equal(q->scheduled, 1);
    assert_int_equal(q->running, 0);
    assert_false(q->paused);
    assert_true(q->oldest_time->seconds >= before && q->oldest_time->seconds <= later.seconds - 3590);
    q = find(response, "never met");
    assert_true(q && q->paused && q->waiting == 0 && !q->oldest_time);
    assert_string_equal(q->pause_reason, "for later");
    crpc_message_free(&response->base);
    response = list("held");
    assert_int_equal(response->n_queues, 1);
    crpc_message_free(&response->base);
    response = list("nowhere");
    assert_int_equal(response->n_queues, 0);
    crpc_message_free(&response->base);
}

/* It is in the database: a server that starts knows it. */
static void a_pause_outlives_the_server(void **state)
{
    (void)state;
    int64_t id;
    crpc_message_free(&pause_at(a, "kept", "")->base);
    assert_int_equal(server_fixture_stop(replicas.servers[0]), 0);
    assert_true(server_fixture_restart(replicas.servers[0]));
    struct test_worker *worker = worker_open(a, "w", "kept", 1);
    assert_int_equal(dispatched(a, "kept", &id), PENDING);
    resume_at(a, "kept");
    assert_int_equal(worker_lease(worker).job_id, id);
    worker_cut(worker);
}

static void expect_bad(const char *queue, const char *reason, const char *field)
{
    Joblog__V1__PauseQueueRequest request = JOBLOG__V1__PAUSE_QUEUE_REQUEST__INIT;
    Joblog__V1__Queue *q = NULL;
    struct err err = ERR_NONE;
    request.queue = (char *)queue;
    request.reason = (char *)reason;
    joblog_v1_job_log_service_pause_queue(a, NULL, &request, &q, &err);
    assert_null(q);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, field);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static char text[502];
    memset(text, 'x', 501);
    expect_bad("", "", "queue");
    expect_bad(text + 300, "", "queue");
    expect_bad("q", text, "reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_paused_queue_gives_nothing_to_workers), cmocka_unit_test(the_other_replica_follows),
        cmocka_unit_test(queues_are_listed_with_what_they_hold),   cmocka_unit_test(a_pause_outlives_the_server),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
