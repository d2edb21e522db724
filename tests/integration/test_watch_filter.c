/* WatchJobs by what changes in a job's life: its payload, and when it was started and ended. Two joblogd on one
 * database: the worker is always at b, the watch at either. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "support/calls.h"
#include "support/replicas.h"
#include "support/server_fixture.h"

#define PENDING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
#define RUNNING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING
#define COMPLETED JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED
#define FAILED    JOBLOG__V1__JOB_STATUS__JOB_STATUS_FAILED
#define CANCELLED JOBLOG__V1__JOB_STATUS__JOB_STATUS_CANCELLED

static struct replicas replicas;
static struct crpc_channel *b;
static int turn;

static int setup(void **state)
{
    (void)state;
    int rc = replicas_start(&replicas, NULL);
    b = replicas.channels[1];
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    return replicas_stop(&replicas);
}

/* What a test asks for: a queue of its own, and more. */
struct asked {
    char queue[32], *queues[1];
    Joblog__V1__JobFilter filter;
    Joblog__V1__PayloadMatch match, *matches[1];
    Google__Protobuf__Timestamp time;
    Joblog__V1__WatchJobsRequest request;
};

static void ask(struct asked *q, const char *equals)
{
    snprintf(q->queue, sizeof q->queue, "queue-%d", ++turn);
    q->queues[0] = q->queue;
    joblog__v1__job_filter__init(&q->filter);
    joblog__v1__payload_match__init(&q->match);
    joblog__v1__watch_jobs_request__init(&q->request);
    google__protobuf__timestamp__init(&q->time);
    q->time.seconds = time(NULL) - 60;
    q->filter.queues = q->queues;
    q->filter.n_queues = 1;
    q->request.filter = &q->filter;
    if (!equals)
        return;
    q->match.path = (char *)"to";
    q->match.match_case = JOBLOG__V1__PAYLOAD_MATCH__MATCH_EQUALS;
    q->match.equals = (char *)equals;
    q->matches[0] = &q->match;
    q->filter.payload = q->matches;
    q->filter.n_payload = 1;
}

static struct crpc_stream *watch(struct crpc_channel *channel, const struct asked *q)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    struct crpc_stream *w = joblog_v1_job_log_service_watch_jobs_open(channel, &options, &q->request, NULL);
    assert_non_null(w);
    return w;
}

/* The next event but idle marks; its revision, 0 for the snapshot's end. point (may be NULL) gets the mark's. */
static int64_t next_event(struct crpc_stream *w, int64_t *ret_id, Joblog__V1__JobStatus *ret_status, char *point)
{
    Joblog__V1__WatchJobsResponse *m = NULL;
    struct err err = ERR_NONE;
    for (;;) {
        if (joblog_v1_job_log_service_watch_jobs_read(w, &m, &err) != 1)
            fail_msg("the watch ended: %d %s", err.code, err.msg);
        if (m->event_case != JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_IDLE)
            break;
        if (point)
            snprintf(point, 200, "%s", m->idle->resume_point);
        crpc_message_free(&m->base);
        if (point)
            return -1;
    }
    int64_t revision = 0;
    *ret_id = 0;
    if (m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB) {
        *ret_id = m->job->id;
        *ret_status = m->job->status;
        revision = m->job->revision;
    } else if (point) {
        snprintf(point, 200, "%s", m->snapshot_end->resume_point);
    }
    crpc_message_free(&m->base);
    return revision;
}

static int64_t expect(struct crpc_stream *w, int64_t id, Joblog__V1__JobStatus status)
{
    int64_t got = 0;
    Joblog__V1__JobStatus as = 0;
    int64_t revision = next_event(w, &got, &as, NULL);
    assert_int_equal(got, id);
    assert_int_equal(as, status);
    return revision;
}

static void expect_snapshot_end(struct crpc_stream *w)
{
    int64_t id;
    Joblog__V1__JobStatus status;
    assert_int_equal(next_event(w, &id, &status, NULL), 0);
}

/* Events of this job alone, until it has the status. */
static void expect_until(struct crpc_stream *w, int64_t id, Joblog__V1__JobStatus status)
{
    int64_t got;
    Joblog__V1__JobStatus as = 0;
    while (as != status) {
        next_event(w, &got, &as, NULL);
        assert_int_equal(got, id);
    }
}

static void end(struct crpc_stream *w)
{
    crpc_stream_cancel(w);
    crpc_stream_free(w);
}

static int64_t send_to(const struct asked *q, const char *who)
{
    char payload[64];
    Joblog__V1__JobSpec spec = spec_of("mail", q->queue);
    snprintf(payload, sizeof payload, "{\"to\": \"%s\"}", who);
    spec.payload = payload;
    return must_dispatch(b, &spec);
}

static void patch(struct test_worker *worker, struct test_lease lease, const char *who)
{
    char payload[64];
    snprintf(payload, sizeof payload, "{\"to\": \"%s\"}", who);
    assert_int_equal(worker_answer(worker, worker_progress(worker, lease, 1, 2, "", payload), NULL), 0);
}

static void complete(struct test_worker *worker, struct test_lease lease)
{
    assert_int_equal(worker_answer(worker, worker_complete(worker, lease, ""), NULL), 0);
}

static void follow_payloads(struct crpc_channel *channel)
{
    struct asked q;
    ask(&q, "ana");
    int64_t ana = send_to(&q, "ana"), bob = send_to(&q, "bob");
    struct crpc_stream *w = watch(channel, &q);
    expect(w, ana, PENDING);
    expect_snapshot_end(w);
    struct test_worker *worker = worker_open(b, "w", q.queue, 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, ana);
    int64_t before = expect(w, ana, RUNNING);
    /* It ceases to match: it is sent once more, and not again. */
    patch(worker, lease, "carl");
    assert_true(expect(w, ana, RUNNING) > before);
    complete(worker, lease);
    worker_credit(worker, 1);
    lease = worker_lease(worker);
    assert_int_equal(lease.job_id, bob);
    /* It begins to match. */
    patch(worker, lease, "ana");
    expect(w, bob, RUNNING);
    complete(worker, lease);
    expect_until(w, bob, COMPLETED);
    int64_t other = send_to(&q, "dora"), last = send_to(&q, "ana");
    assert_true(other != last);
    expect(w, last, PENDING);
    end(w);
    worker_end(worker, true, NULL);
}

static void payloads_are_followed(void **state)
{
    (void)state;
    follow_payloads(replicas.channels[0]);
    follow_payloads(replicas.channels[1]);
}

/* More changes at once than are asked about in one query, of which few match. */
static void many_changes_are_looked_through(void **state)
{
    (void)state;
    enum { JOBS = 350 };
    for (int i = 0; i < 2; i++) {
        struct asked q;
        int64_t ids[JOBS / 50];
        ask(&q, "ana");
        struct crpc_stream *w = watch(replicas.channels[i], &q);
        expect_snapshot_end(w);
        for (int k = 0; k < JOBS; k++) {
            int64_t id = send_to(&q, k % 50 == 49 ? "ana" : "bob");
            if (k % 50 == 49)
                ids[k / 50] = id;
        }
        for (int k = 0; k < JOBS / 50; k++)
            expect(w, ids[k], PENDING);
        end(w);
    }
}

/* Until a mark comes: of all that has been sent before it. */
static void take_point(struct crpc_stream *w, char *point)
{
    int64_t id;
    Joblog__V1__JobStatus status;
    while (next_event(w, &id, &status, point) > 0)
        ;
}

static void a_watch_by_payload_goes_on(void **state)
{
    (void)state;
    struct asked q;
    char point[200];
    ask(&q, "ana");
    int64_t early = send_to(&q, "ana");
    struct crpc_stream *w = watch(replicas.channels[0], &q);
    expect(w, early, PENDING);
    take_point(w, point);
    end(w);
    for (int i = 0; i < 120; i++)
        send_to(&q, "bob");
    int64_t later = send_to(&q, "ana");
    q.request.resume_point = point;
    w = watch(replicas.channels[1], &q);
    /* What was shown before the mark may be shown once more. */
    int64_t got = early;
    Joblog__V1__JobStatus status = PENDING;
    while (got == early)
        next_event(w, &got, &status, NULL);
    assert_int_equal(got, later);
    assert_int_equal(status, PENDING);
    expect_snapshot_end(w);
    /* What it was told of before the cut it is told of when it ceases to match. */
    struct test_worker *worker = worker_open(b, "w", q.queue, 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, early);
    expect(w, early, RUNNING);
    patch(worker, lease, "zoe");
    expect(w, early, RUNNING);
    end(w);
    worker_end(worker, true, NULL);
}

/* What matched is followed to its end, whatever becomes of its payload. */
static void until_final_ends_with_those_that_matched(void **state)
{
    (void)state;
    struct asked q;
    struct err err = ERR_NONE;
    ask(&q, "ana");
    int64_t ids[2] = {send_to(&q, "ana"), send_to(&q, "bob")};
    q.filter.ids = ids;
    q.filter.n_ids = 2;
    q.request.until_final = true;
    struct crpc_stream *w = watch(replicas.channels[0], &q);
    expect(w, ids[0], PENDING);
    expect_snapshot_end(w);
    struct test_worker *worker = worker_open(b, "w", q.queue, 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, ids[0]);
    expect(w, ids[0], RUNNING);
    patch(worker, lease, "zoe");
    complete(worker, lease);
    expect_until(w, ids[0], COMPLETED);
    Joblog__V1__WatchJobsResponse *m = NULL;
    assert_int_equal(joblog_v1_job_log_service_watch_jobs_read(w, &m, &err), 0);
    assert_int_equal(err.code, ERR_OK);
    crpc_stream_free(w);
    worker_end(worker, true, NULL);
}

static void follow_times(struct crpc_channel *channel)
{
    struct asked started, ended;
    struct err err = ERR_NONE;
    ask(&started, NULL);
    started.filter.start_time_from = &started.time;
    ended = started;
    ended.queues[0] = started.queue;
    ended.filter.queues = ended.queues;
    ended.filter.start_time_from = NULL;
    ended.filter.end_time_from = &ended.time;
    ended.request.filter = &ended.filter;
    struct crpc_stream *s = watch(channel, &started), *e = watch(channel, &ended);
    expect_snapshot_end(s);
    expect_snapshot_end(e);
    int64_t id = send_to(&started, "ana");
    struct test_worker *worker = worker_open(b, "w", started.queue, 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, id);
    expect(s, id, RUNNING);
    assert_int_equal(worker_answer(worker, worker_fail(worker, lease, "E", "no", "", true), NULL), 0);
    expect(s, id, FAILED);
    expect(e, id, FAILED);
    /* Put back, it has no end any more, and ceases to match. */
    job_free(call_retry(b, id, "", &err));
    expect(e, id, PENDING);
    end(s);
    end(e);
    worker_end(worker, true, NULL);
}

static void times_are_followed(void **state)
{
    (void)state;
    follow_times(replicas.channels[0]);
    follow_times(replicas.channels[1]);
}

static int64_t failed_job(struct test_worker *worker, const struct asked *q, const char *who)
{
    int64_t id = send_to(q, who);
    worker_credit(worker, 1);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, id);
    assert_int_equal(worker_answer(worker, worker_fail(worker, lease, "E", "no", "", true), NULL), 0);
    return id;
}

static void put_back(int64_t id)
{
    struct err err = ERR_NONE;
    Joblog__V1__Job *job = call_retry(b, id, "", &err);
    assert_non_null(job);
    job_free(job);
}

/* A watch by final statuses begins without what has ended, which its watcher has from a list, or from before a cut. */
static void follow_retries(struct crpc_channel *channel, const char *payload)
{
    struct asked q;
    char point[200];
    int64_t ids[3];
    Joblog__V1__JobStatus failed = FAILED;
    ask(&q, payload);
    struct crpc_stream *all = watch(channel, &q);
    expect_snapshot_end(all);
    struct test_worker *worker = worker_open(b, "w", q.queue, 0);
    for (int i = 0; i < 3; i++) {
        ids[i] = failed_job(worker, &q, "ana");
        expect_until(all, ids[i], FAILED);
    }
    struct err err = ERR_NONE;
    int64_t cancelled = send_to(&q, "ana");
    job_free(call_cancel(b, cancelled, "", &err));
    expect_until(all, cancelled, CANCELLED);
    end(all);
    /* All of it is known here, and over. */
    q.filter.statuses = &failed;
    q.filter.n_statuses = 1;
    struct crpc_stream *w = watch(channel, &q);
    expect_snapshot_end(w);
    put_back(cancelled); /* it never matched */
    put_back(ids[0]);
    expect(w, ids[0], PENDING);
    take_point(w, point);
    end(w);
    put_back(ids[1]);
    q.request.resume_point = point;
    w = watch(channel, &q);
    /* What changed shortly before the mark may come once more. */
    int64_t got = 0;
    Joblog__V1__JobStatus status = 0;
    while (got != ids[1] || status != PENDING)
        assert_int_not_equal(next_event(w, &got, &status, NULL), 0);
    expect_snapshot_end(w);
    put_back(ids[2]);
    expect(w, ids[2], PENDING);
    end(w);
    worker_end(worker, true, NULL);
}

static void retries_are_followed(void **state)
{
    (void)state;
    follow_retries(replicas.channels[0], NULL);
    follow_retries(replicas.channels[1], NULL);
    follow_retries(replicas.channels[0], "ana");
    follow_retries(replicas.channels[1], "ana");
}

/* A time of dispatch is like any other part that a job has for good. */
static void the_time_of_dispatch_restricts(void **state)
{
    (void)state;
    struct asked q;
    ask(&q, NULL);
    q.filter.create_time_before = &q.time;
    struct crpc_stream *w = watch(b, &q);
    expect_snapshot_end(w);
    q.filter.create_time_before = NULL;
    q.filter.create_time_from = &q.time;
    struct crpc_stream *v = watch(b, &q);
    expect_snapshot_end(v);
    int64_t id = send_to(&q, "ana"), got = 0;
    Joblog__V1__JobStatus status;
    char point[200];
    expect(v, id, PENDING);
    /* What the other watch had to be told it would have been told before this mark. */
    assert_int_equal(next_event(w, &got, &status, point), -1);
    end(w);
    end(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payloads_are_followed),
        cmocka_unit_test(many_changes_are_looked_through),
        cmocka_unit_test(a_watch_by_payload_goes_on),
        cmocka_unit_test(until_final_ends_with_those_that_matched),
        cmocka_unit_test(times_are_followed),
        cmocka_unit_test(retries_are_followed),
        cmocka_unit_test(the_time_of_dispatch_restricts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
