/* Two joblogd on one database: watches, waits and workers of one see what the other does; and a watch goes on from its
 * resume point, on whichever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/calls.h"
#include "support/replicas.h"
#include "support/server_fixture.h"

#define PENDING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
#define RUNNING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING
#define COMPLETED JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED
#define CANCELLED JOBLOG__V1__JOB_STATUS__JOB_STATUS_CANCELLED

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

static void expect_status(struct crpc_stream *watch, Joblog__V1__JobStatus status)
{
    struct err err = ERR_NONE;
    Joblog__V1__WatchJobResponse *m = watch_next(watch, &err);
    assert_non_null(m);
    assert_int_equal(m->job->status, status);
    crpc_message_free(&m->base);
}

static void a_watch_sees_what_the_other_replica_does(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__JobSpec spec = spec_of("mail", "there");
    int64_t id = must_dispatch(a, &spec);
    struct crpc_stream *watch = must_watch(a, id, 0, false);
    expect_status(watch, PENDING);
    struct test_worker *worker = worker_open(b, "on b", "there", 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, id);
    expect_status(watch, RUNNING);
    assert_int_equal(worker_answer(worker, worker_progress(worker, lease, 1, 2, "half", ""), NULL), 0);
    Joblog__V1__WatchJobResponse *m = watch_next(watch, &err);
    assert_non_null(m);
    assert_string_equal(m->job->progress->step, "half");
    crpc_message_free(&m->base);
    assert_int_equal(worker_answer(worker, worker_complete(worker, lease, "{}"), NULL), 0);
    expect_status(watch, COMPLETED);
    assert_null(watch_next(watch, &err));
    assert_int_equal(err.code, ERR_OK);
    crpc_stream_free(watch);
    worker_end(worker, true, NULL);
}

static Joblog__V1__Job *wait_for(struct crpc_channel *channel, int64_t id, int64_t seconds, bool full,
                                 struct err *ret_err)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    Joblog__V1__WaitJobRequest request = JOBLOG__V1__WAIT_JOB_REQUEST__INIT;
    Google__Protobuf__Duration timeout = GOOGLE__PROTOBUF__DURATION__INIT;
    Joblog__V1__Job *job = NULL;
    timeout.seconds = seconds;
    request.id = id;
    request.timeout = &timeout;
    request.view = full ? JOBLOG__V1__JOB_VIEW__JOB_VIEW_FULL : JOBLOG__V1__JOB_VIEW__JOB_VIEW_BASIC;
    joblog_v1_job_log_service_wait_job(channel, &options, &request, &job, ret_err);
    return job;
}

static void a_wait_ends_with_the_job(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__JobSpec spec = spec_of("mail", "wait");
    int64_t id = must_dispatch(a, &spec);
    /* Not at all: the job as it is. */
    Joblog__V1__Job *job = wait_for(b, id, 0, false, &err);
    assert_non_null(job);
    assert_int_equal(job->status, PENDING);
    job_free(job);
    /* A worker on the other replica ends it while we wait. */
    struct test_worker *worker = worker_open(b, "on b", "wait", 1);
    struct test_lease lease = worker_lease(worker);
    worker_complete(worker, lease, "{\"sent\": 3}");
    job = wait_for(a, id, 30, true, &err);
    assert_non_null(job);
    assert_int_equal(job->status, COMPLETED);
    assert_string_equal(job->result, "{\"sent\": 3}");
    assert_int_equal(job->n_attempts, 1);
    job_free(job);
    worker_end(worker, true, NULL);
    /* What is refused. */
    assert_null(wait_for(a, id + 1, 1, false, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_null(wait_for(a, 0, 1, false, &err));
    assert_string_equal(err.field, "id");
    assert_null(wait_for(a, id, 3601, false, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "timeout");
}

/* ---- resume points ---- */

static struct crpc_stream *watch_queue(struct crpc_channel *channel, const char *queue, const char *point)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    char *queues[] = {(char *)queue};
    filter.queues = queues;
    filter.n_queues = 1;
    request.filter = &filter;
    request.resume_point = (char *)point;
    struct crpc_stream *watch = joblog_v1_job_log_service_watch_jobs_open(channel, &options, &request, NULL);
    assert_non_null(watch);
    return watch;
}

static Joblog__V1__WatchJobsResponse *read_event(struct crpc_stream *watch)
{
    Joblog__V1__WatchJobsResponse *m = NULL;
    struct err err = ERR_NONE;
    if (joblog_v1_job_log_service_watch_jobs_read(watch, &m, &err) != 1)
        fail_msg("the watch has ended: %s %s", err_code_name((int)err.code), err.msg);
    return m;
}

/* What a watcher knows. A point may lie before what was sent last, so a change may come twice, and is dropped then. */
static struct {
    int64_t id, revision;
} known[16];
static size_t n_known;

static bool is_news(const Joblog__V1__Job *job)
{
    size_t i = 0;
    while (i < n_known && known[i].id != job->id)
        i++;
    bool news = i == n_known || job->revision > known[i].revision;
    assert_true(i < sizeof known / sizeof *known);
    if (i == n_known)
        n_known++;
    known[i].id = job->id;
    if (news)
        known[i].revision = job->revision;
    return news;
}

static void expect_job(struct crpc_stream *watch, int64_t id, Joblog__V1__JobStatus status)
{
    Joblog__V1__WatchJobsResponse *m = NULL;
    do {
        if (m)
            crpc_message_free(&m->base);
        m = read_event(watch);
        assert_int_equal(m->event_case, JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB);
    } while (!is_news(m->job));
    assert_int_equal(m->job->id, id);
    assert_int_equal(m->job->status, status);
    crpc_message_free(&m->base);
}

/* The next mark's resume point, into room. */
static void take_point(struct crpc_stream *watch, char *room, size_t size)
{
    Joblog__V1__WatchJobsResponse *m = read_event(watch);
    const char *point = m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END
                            ? m->snapshot_end->resume_point
                        : m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_IDLE ? m->idle->resume_point
                                                                                       : "";
    assert_in_range(strlen(point), 1, size - 1);
    strcpy(room, point);
    crpc_message_free(&m->base);
}

/* The first is run on b by a worker, the second cancelled on a. */
static void run_and_cancel(int64_t first, int64_t second)
{
    struct test_worker *worker = worker_open(b, "on b", "resume", 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, first);
    job_free(call_cancel(a, second, "", NULL)); /* before the worker has credit again */
    assert_int_equal(worker_answer(worker, worker_complete(worker, lease, ""), NULL), 0);
    worker_end(worker, true, NULL);
}

static void watch_end(struct crpc_stream *watch)
{
    crpc_stream_cancel(watch);
    crpc_stream_free(watch);
}

static void a_watch_goes_on_from_its_resume_point(void **state)
{
    (void)state;
    char point[200], later[200];
    Joblog__V1__JobSpec spec = spec_of("mail", "resume"), other = spec_of("mail", "elsewhere");
    int64_t first = must_dispatch(a, &spec);
    struct crpc_stream *watch = watch_queue(a, "resume", "");
    expect_job(watch, first, PENDING);
    take_point(watch, point, sizeof point);
    int64_t second = must_dispatch(b, &spec);
    expect_job(watch, second, PENDING);
    take_point(watch, point, sizeof point); /* the idle mark after it */
    watch_end(watch);

    /* Much happens while nobody watches: the states in between are told, by either replica. */
    must_dispatch(a, &other);
    run_and_cancel(first, second);
    for (int i = 0; i < 2; i++) {
        n_known = 0;
        watch = watch_queue(i ? b : a, "resume", point);
        expect_job(watch, first, RUNNING);
        expect_job(watch, first, COMPLETED);
        expect_job(watch, second, CANCELLED);
        take_point(watch, later, sizeof later);
        watch_end(watch);
    }

    /* From the end of that: jobs that nobody has shown yet, from their first state on; and then it lives. */
    first = must_dispatch(a, &spec);
    second = must_dispatch(b, &spec);
    run_and_cancel(first, second);
    watch = watch_queue(b, "resume", later);
    expect_job(watch, first, PENDING);
    expect_job(watch, first, RUNNING);
    expect_job(watch, first, COMPLETED);
    expect_job(watch, second, PENDING);
    expect_job(watch, second, CANCELLED);
    take_point(watch, later, sizeof later);
    int64_t third = must_dispatch(a, &spec);
    expect_job(watch, third, PENDING);
    watch_end(watch);
}

static void a_point_that_is_too_old_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *point;
        int code;
        const char *reason;
    } lines[] = {{"garbage!", ERR_INVALID_ARGUMENT, ""}, {"1.0-1", ERR_OUT_OF_RANGE, "RESUME_POINT_EXPIRED"}};
    for (size_t i = 0; i < 2; i++) {
        struct crpc_stream *watch = watch_queue(a, "old", lines[i].point);
        Joblog__V1__WatchJobsResponse *m = NULL;
        struct err err = ERR_NONE;
        assert_true(joblog_v1_job_log_service_watch_jobs_read(watch, &m, &err) < 0);
        assert_int_equal(err.code, lines[i].code);
        if (*lines[i].reason)
            assert_string_equal(err.reason, lines[i].reason);
        else
            assert_string_equal(err.field, "resume_point");
        crpc_stream_free(watch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watch_sees_what_the_other_replica_does),
        cmocka_unit_test(a_wait_ends_with_the_job),
        cmocka_unit_test(a_watch_goes_on_from_its_resume_point),
        cmocka_unit_test(a_point_that_is_too_old_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
