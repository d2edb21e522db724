/* Two stores on one database: what one changes the other's observer is told, every transition, in order; and a resume
 * point leads on from where it was taken. */
#include "store_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "core/life.h"

enum { JOBS_MAX = 400, TOLD_MAX = 64 };

/* What an observer was told of one job. */
struct told {
    int64_t id;
    int64_t revisions[TOLD_MAX];
    enum job_status statuses[TOLD_MAX];
    int32_t attempts[TOLD_MAX];
    int n;
};

struct witness {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct told jobs[JOBS_MAX];
    int n;
    bool lost;
};

static struct witness witness_a = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {{0}}, 0, false};
static struct witness witness_b = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {{0}}, 0, false};

static bool wants_all(void *user, const struct job *job)
{
    (void)user;
    (void)job;
    return true;
}

static struct told *told_of(struct witness *w, int64_t id)
{
    for (int i = 0; i < w->n; i++)
        if (w->jobs[i].id == id)
            return &w->jobs[i];
    assert_true(w->n < JOBS_MAX);
    w->jobs[w->n].id = id;
    return &w->jobs[w->n++];
}

/* As a watcher would: what is older than what it knows is dropped. */
static void record(void *user, struct job_snapshot *snapshot, bool is_transition)
{
    struct witness *w = user;
    const struct job *job = &snapshot->job;

    (void)is_transition;
    pthread_mutex_lock(&w->lock);
    struct told *t = told_of(w, job->id);
    if (t->n == 0 || job->revision > t->revisions[t->n - 1]) {
        assert_true(t->n < TOLD_MAX);
        t->revisions[t->n] = job->revision;
        t->statuses[t->n] = job->status;
        t->attempts[t->n++] = job->attempt;
    }
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
}

static void note_lost(void *user)
{
    struct witness *w = user;

    pthread_mutex_lock(&w->lock);
    w->lost = true;
    pthread_mutex_unlock(&w->lock);
}

static struct store_options watched_by(struct witness *w)
{
    w->n = 0;
    w->lost = false;
    memset(w->jobs, 0, sizeof w->jobs);
    return (struct store_options){.lease_timeout_ms = 5000,
                                  .observer = {.wanted = wants_all, .changed = record, .lost = note_lost, .user = w}};
}

/* Until the observer knows the revision; fails the test after 20 seconds. */
static void await_revision(struct witness *w, int64_t id, int64_t revision)
{
    struct timespec until;
    int64_t known = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct told *t = told_of(w, id);
        known = t->n ? t->revisions[t->n - 1] : 0;
        if (known >= revision || pthread_cond_timedwait(&w->more, &w->lock, &until) != 0)
            break;
    }
    pthread_mutex_unlock(&w->lock);
    assert_true(known >= revision);
}

/* Every transition from the first to the last, none left out, none twice, each allowed by the one before. */
static void assert_whole_life(struct witness *w, int64_t id, int64_t last)
{
    int64_t expected = 0;
    int status = 0;

    pthread_mutex_lock(&w->lock);
    struct told t = *told_of(w, id);
    bool lost = w->lost;
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < t.n; i++) {
        if (t.revisions[i] >> JOB_REVISION_SHIFT == expected >> JOB_REVISION_SHIFT)
            continue; /* progress, or a cancel request */
        expected = job_revision_transition(expected);
        assert_int_equal(t.revisions[i] >> JOB_REVISION_SHIFT, expected >> JOB_REVISION_SHIFT);
        if (status)
            assert_true(job_transition_allowed(status, (int)t.statuses[i]));
        else
            assert_int_equal(t.statuses[i], JOB_PENDING);
        status = (int)t.statuses[i];
    }
    assert_int_equal(expected >> JOB_REVISION_SHIFT, last >> JOB_REVISION_SHIFT);
    assert_false(lost);
}

static struct job retried_job(void)
{
    struct job j = a_job("mail");

    j.retry = (struct retry_policy){.max_attempts = 4, .initial_backoff_us = 1000, .max_backoff_us = 1000};
    return j;
}

/* Ends the attempt somehow; which way changes from call to call. */
static void end_somehow(struct store *s, int64_t id, int64_t token)
{
    static const enum attempt_outcome ways[] = {ATTEMPT_FAILED, ATTEMPT_COMPLETED, ATTEMPT_RELEASED, ATTEMPT_FAILED,
                                                ATTEMPT_FAILED};
    static unsigned turn;
    struct store_finish f = {.cmd.op = STORE_FINISH, .job_id = id, .token = token, .outcome = ways[turn++ % 5]};

    if (f.outcome == ATTEMPT_FAILED)
        f.error = (struct job_error){.type = SPAN_LIT("Test"), .message = SPAN_LIT("on purpose")};
    assert_int_equal(run_cmd(s, &f.cmd), 0);
}

static bool all_final(struct store *s, const int64_t *ids, int n, struct job *jobs)
{
    for (int i = 0; i < n; i++) {
        jobs[i] = get_ok(s, ids[i]);
        if (!job_status_is_final(jobs[i].status))
            return false;
    }
    return true;
}

/* Jobs go to and fro between the two: dispatched by one, attempted by whichever has a worker free. */
static void test_every_transition_is_told_everywhere(void **state)
{
    enum { N = 60 };
    struct store_options oa = watched_by(&witness_a), ob = watched_by(&witness_b);
    struct store *a = store_fresh(&oa), *b = store_again(&ob);
    struct worker wa = worker_open(a, "on a", "q"), wb = worker_open(b, "on b", "q");
    struct job jobs[N];
    int64_t ids[N];

    (void)state;
    for (int i = 0; i < N; i++)
        ids[i] = dispatch_ok(i % 2 ? a : b, retried_job());
    int64_t until = clock_mono_ms() + 20000;
    worker_credit(&wa, 1);
    worker_credit(&wb, 1);
    while (!all_final(a, ids, N, jobs)) {
        assert_true(clock_mono_ms() < until);
        for (int k = 0; k < 2; k++) {
            struct worker *w = k ? &wa : &wb;
            struct delivery *d = store_session_take(w->session);
            store_session_touch(w->session);
            if (!d)
                continue;
            /* An attempt that was ended through the other store is lost to this one. */
            if (d->kind == DELIVERY_LEASE) {
                end_somehow(d->job_id % 3 ? a : b, d->job_id, d->token);
                worker_credit(w, 1);
            }
            delivery_free(d);
        }
    }
    for (int i = 0; i < N; i++) {
        await_revision(&witness_a, ids[i], jobs[i].revision);
        await_revision(&witness_b, ids[i], jobs[i].revision);
        assert_whole_life(&witness_a, ids[i], jobs[i].revision);
        assert_whole_life(&witness_b, ids[i], jobs[i].revision);
    }
    worker_close(&wa, false);
    worker_close(&wb, false);
    assert_counters_exact();
    store_close(a);
    store_close(b);
}

static void test_cancel_and_progress_cross_over(void **state)
{
    struct store_options oa = watched_by(&witness_a), ob = watched_by(&witness_b);
    struct store *a = store_fresh(&oa), *b = store_again(&ob);
    struct worker w = worker_open(b, "on b", "q");
    int64_t token, id;

    (void)state;
    worker_credit(&w, 1);
    id = dispatch_ok(a, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    struct store_progress p = {.cmd.op = STORE_PROGRESS,
                               .job_id = id,
                               .token = token,
                               .session_id = w.id,
                               .has_progress = true,
                               .progress = {.percent = 40, .step = SPAN_LIT("half way")}};
    assert_int_equal(run_cmd(b, &p.cmd), 0);
    await_revision(&witness_a, id, (2 << JOB_REVISION_SHIFT) + 1);
    struct store_cancel c = {.cmd.op = STORE_CANCEL, .job_id = id, .reason = SPAN_LIT("stop")};
    assert_int_equal(run_cmd(a, &c.cmd), 0);
    struct delivery *d = worker_next(&w);
    assert_int_equal(d->kind, DELIVERY_CANCEL);
    delivery_free(d);
    assert_int_equal(finish(b, id, token, ATTEMPT_CANCELLED).status, JOB_CANCELLED);
    int64_t last = get_ok(a, id).revision;
    await_revision(&witness_a, id, last);
    assert_whole_life(&witness_a, id, last);
    worker_close(&w, false);
    store_close(a);
    store_close(b);
}

/* The feed's connection ends again and again; nothing is lost. */
static void test_feed_outlives_its_connection(void **state)
{
    struct store_options oa = watched_by(&witness_a), ob = watched_by(&witness_b);
    struct store *a = store_fresh(&oa), *b = store_again(&ob);
    int64_t ids[40];

    (void)state;
    for (int i = 0; i < 40; i++) {
        ids[i] = dispatch_ok(a, a_job("mail"));
        if (i % 10 == 5)
            assert_true(sql_int("select count(pg_terminate_backend(pid)) from pg_stat_activity"
                                " where application_name = 'joblog feed' and datname = current_database()") >= 0);
        struct store_cancel c = {.cmd.op = STORE_CANCEL, .job_id = ids[i]};
        assert_int_equal(run_cmd(b, &c.cmd), 0);
    }
    for (int i = 0; i < 40; i++) {
        await_revision(&witness_a, ids[i], 2 << JOB_REVISION_SHIFT);
        await_revision(&witness_b, ids[i], 2 << JOB_REVISION_SHIFT);
        assert_whole_life(&witness_a, ids[i], 2 << JOB_REVISION_SHIFT);
        assert_whole_life(&witness_b, ids[i], 2 << JOB_REVISION_SHIFT);
    }
    store_close(a);
    store_close(b);
}

/* The other one leaves: the writer tells by itself again. And one without LISTEN hears by polling. */
static void test_alone_again_and_poll_only(void **state)
{
    struct store_options oa = watched_by(&witness_a), ob = watched_by(&witness_b);

    (void)state;
    ob.poll_only = true;
    struct store *a = store_fresh(&oa), *b = store_again(&ob);
    int64_t id = dispatch_ok(a, a_job("mail"));
    await_revision(&witness_b, id, 1 << JOB_REVISION_SHIFT);
    store_close(b);
    id = dispatch_ok(a, a_job("mail"));
    await_revision(&witness_a, id, 1 << JOB_REVISION_SHIFT);
    store_close(a);
}

static struct store_changes changes_after(struct store *s, struct span point, struct arena *arena)
{
    struct store_changes c = {.cmd.op = STORE_CHANGES, .point = point, .arena = arena};

    run_cmd(s, &c.cmd);
    return c;
}

static void test_resume_point_leads_on(void **state)
{
    struct store *a = store_fresh(NULL), *b = store_again(NULL);
    struct buf point = BUF_INIT;
    struct arena arena;
    int64_t token, before = dispatch_ok(a, a_job("before"));

    (void)state;
    arena_init(&arena, NULL, 0, 0);
    /* The point may be older than the last commit, never newer: until it has passed `before`. */
    struct store_changes c;
    int64_t until = clock_mono_ms() + 20000;
    do {
        assert_true(clock_mono_ms() < until);
        buf_clear(&point);
        store_point(a, &point);
        c = changes_after(a, buf_span(&point), &arena);
        assert_int_equal(c.cmd.err.code, ERR_OK);
    } while (c.n_jobs > 0);
    int64_t id = start_ok(b, a_job("after"), &token);
    assert_int_equal(finish(b, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    struct store_cancel cancel = {.cmd.op = STORE_CANCEL, .job_id = before};
    assert_int_equal(run_cmd(a, &cancel.cmd), 0);
    c = changes_after(a, buf_span(&point), &arena);
    assert_int_equal(c.cmd.err.code, ERR_OK);
    assert_int_equal(c.n_jobs, 4);
    assert_int_equal(c.jobs[0].id, before);
    assert_int_equal(c.jobs[0].status, JOB_CANCELLED);
    static const enum job_status life[] = {JOB_PENDING, JOB_RUNNING, JOB_COMPLETED};
    for (int i = 0; i < 3; i++) {
        const struct job *j = &c.jobs[i + 1];
        assert_int_equal(j->id, id);
        assert_int_equal(j->status, life[i]);
        assert_int_equal(j->revision, (int64_t)(i + 1) << JOB_REVISION_SHIFT);
        assert_true(span_eq(j->name, SPAN_LIT("after")));
        assert_int_equal(j->end_us != 0, i == 2);
        assert_int_equal(j->attempt, i == 0 ? 0 : 1);
    }
    arena_done(&arena);
    buf_done(&point);
    store_close(a);
    store_close(b);
}

static void test_points_that_are_none_or_too_old(void **state)
{
    static const char *const garbage[] = {"",
                                          "x y",
                                          "1",
                                          ".",
                                          "zz.",
                                          "1.2",
                                          "1.2-",
                                          "1.0-1.0-2",
                                          "1.77-1",
                                          "1.zz-1",
                                          "ABC",
                                          "1.1-1,",
                                          "999999999999999.0-1"};
    struct store *s = store_fresh(NULL);
    struct arena arena;

    (void)state;
    arena_init(&arena, NULL, 0, 0);
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        struct store_changes c = changes_after(s, span_str(garbage[i]), &arena);
        if (strcmp(garbage[i], "1") == 0)
            assert_int_equal(c.cmd.err.code, ERR_OUT_OF_RANGE);
        else
            assert_int_equal(c.cmd.err.code, ERR_INVALID_ARGUMENT);
    }
    struct store_changes c = changes_after(s, SPAN_LIT("1.0-1"), &arena);
    assert_int_equal(c.cmd.err.code, ERR_OUT_OF_RANGE);
    assert_string_equal(c.cmd.err.reason, "RESUME_POINT_EXPIRED");
    arena_done(&arena);
    store_close(s);
}

static void test_old_changes_are_deleted(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t until = clock_mono_ms() + 20000;

    (void)state;
    dispatch_ok(s, a_job("mail"));
    sql_value("update joblog.change set time = now() - interval '16 minutes'");
    dispatch_ok(s, a_job("mail"));
    while (sql_int("select count(*) from joblog.change where time < now() - interval '15 minutes'") > 0)
        assert_true(clock_mono_ms() < until);
    assert_true(sql_int("select count(*) from joblog.change") >= 1);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_transition_is_told_everywhere),
        cmocka_unit_test(test_cancel_and_progress_cross_over),
        cmocka_unit_test(test_feed_outlives_its_connection),
        cmocka_unit_test(test_alone_again_and_poll_only),
        cmocka_unit_test(test_resume_point_leads_on),
        cmocka_unit_test(test_points_that_are_none_or_too_old),
        cmocka_unit_test(test_old_changes_are_deleted),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
