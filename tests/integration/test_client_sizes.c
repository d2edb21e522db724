/* libjoblog's worker at a server that takes small messages only (max-message-bytes): what is more than one message goes
 * in several, also all at once after a cut, and what alone is too long hurts nobody else. Public header only. One
 * thread: the worker runs within the test's own loop, and ends jobs while there is no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "support/client_fixture.h"

enum { PATIENCE_MS = 60000, JOBS = 8, PIECE = 5000, TOO_LONG = 10000 };

static int n_ready, n_lost, n_ended;

static void on_ready(void *user)
{
    (void)user;
    n_ready++;
}

static void on_lost(void *user, const struct joblog_error *e)
{
    (void)user;
    (void)e;
    n_lost++;
}

static void on_finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    (void)user;
    (void)job;
    (void)status;
    n_ended++;
}

static struct joblog_worker *start(const char *queue)
{
    struct joblog_worker_options options = {.queues = &queue,
                                            .n_queues = 1,
                                            .concurrency = JOBS,
                                            .prefetch = -1,
                                            .on_ready = on_ready,
                                            .on_lost = on_lost,
                                            .on_finished = on_finished};
    struct joblog_worker *worker = joblog_worker_new(client, &options, &error);
    n_ready = n_lost = n_ended = 0;
    assert_non_null(worker);
    assert_ok(joblog_worker_start(worker, &error));
    return worker;
}

/* Waits for something to take; false when a minute is not enough. */
static bool readable(struct joblog_worker *worker)
{
    struct pollfd p = {.fd = joblog_worker_fd(worker), .events = POLLIN};
    return poll(&p, 1, PATIENCE_MS) == 1;
}

static struct joblog_context *next_job(struct joblog_worker *worker)
{
    struct joblog_event event;
    while (!joblog_worker_next(worker, &event))
        assert_true(readable(worker));
    assert_int_equal(event.kind, JOBLOG_EVENT_JOB);
    return event.context;
}

/* Takes what is for hooks only, until *count is n. */
static void until(struct joblog_worker *worker, const int *count, int n)
{
    struct joblog_event event;
    while (*count < n) {
        assert_true(readable(worker));
        assert_int_equal(joblog_worker_next(worker, &event), 0);
        assert_true(n_lost < 30); /* it finds its size in a few */
    }
}

static void finish(struct joblog_worker *worker)
{
    struct joblog_event event = {.kind = JOBLOG_EVENT_DRAIN};
    joblog_worker_stop(worker);
    while (event.kind != JOBLOG_EVENT_OVER)
        if (!joblog_worker_next(worker, &event))
            assert_true(readable(worker));
    assert_int_equal(event.error.code, JOBLOG_OK);
    joblog_worker_free(worker);
}

/* Dispatches and takes them; in the order of the ids. */
static void take_jobs(struct joblog_worker *worker, const char *queue, int64_t *ids, struct joblog_context **jobs)
{
    struct joblog_spec spec = {.job_name = "big", .queue = queue};
    until(worker, &n_ready, 1);
    for (int i = 0; i < JOBS; i++)
        assert_ok(joblog_dispatch(client, &spec, &ids[i], &error));
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = next_job(worker);
        assert_true(joblog_job_info(jobs[i])->id == ids[i]);
    }
}

/* A JSON string of so many bytes. In a static buffer. */
static const char *json_of(size_t bytes)
{
    static char text[TOO_LONG + 1];
    memset(text, 'x', bytes);
    text[0] = text[bytes - 1] = '"';
    text[bytes] = '\0';
    return text;
}

/* What it has once it has ended, by the first attempt. */
static struct joblog_job *ended(int64_t id, enum joblog_status status)
{
    struct joblog_job *job = NULL;
    assert_ok(joblog_wait(client, id, PATIENCE_MS, &job, &error));
    assert_int_equal(job->status, status);
    joblog_job_free(job);
    assert_ok(joblog_get(client, id, &job, &error));
    assert_int_equal(job->n_attempts, 1);
    return job;
}

/* Each result would pass; all of them together are as long as ten messages may be. */
static void test_ends_of_a_cut_go_in_small_messages(void **state)
{
    (void)state;
    struct joblog_worker *worker = start("sizes.ends");
    struct joblog_context *jobs[JOBS];
    int64_t ids[JOBS];
    take_jobs(worker, "sizes.ends", ids, jobs);
    server_fixture_kill(server);
    until(worker, &n_lost, 1);
    for (int i = 0; i < JOBS; i++) {
        assert_ok(joblog_job_set_result(jobs[i], json_of(PIECE), &error));
        joblog_job_end(jobs[i], 0);
    }
    assert_true(server_fixture_restart(server));
    until(worker, &n_ended, JOBS);
    for (int i = 0; i < JOBS; i++) {
        struct joblog_job *job = ended(ids[i], JOBLOG_COMPLETED);
        assert_int_equal(strlen(job->result), PIECE);
        joblog_job_free(job);
    }
    finish(worker);
}

static void test_an_end_that_is_too_long_fails_alone(void **state)
{
    (void)state;
    struct joblog_worker *worker = start("sizes.alone");
    struct joblog_context *jobs[JOBS];
    int64_t ids[JOBS];
    take_jobs(worker, "sizes.alone", ids, jobs);
    assert_ok(joblog_job_set_result(jobs[0], json_of(TOO_LONG), &error));
    assert_ok(joblog_job_set_result(jobs[1], json_of(PIECE), &error));
    joblog_job_end(jobs[0], 0);
    joblog_job_end(jobs[1], 0);
    joblog_job_end(jobs[2], joblog_job_fail_for_good(jobs[2], "Broken", "%s", json_of(TOO_LONG)));
    for (int i = 3; i < JOBS; i++)
        joblog_job_end(jobs[i], 0);
    until(worker, &n_ended, JOBS);
    struct joblog_job *job = ended(ids[0], JOBLOG_FAILED);
    assert_string_equal(job->error_type, "ResultRefused");
    assert_non_null(strstr(job->error_message, "the server does not take messages of 10"));
    joblog_job_free(job);
    job = ended(ids[2], JOBLOG_FAILED);
    assert_string_equal(job->error_type, "Broken");
    assert_int_equal(strlen(job->error_message), 500);
    joblog_job_free(job);
    for (int i = 1; i < JOBS; i += i == 1 ? 2 : 1)
        joblog_job_free(ended(ids[i], JOBLOG_COMPLETED));
    finish(worker);
}

/* Which of the lines that begin with a digit are there, as bits; after a cut one may be there twice. */
static unsigned lines_of(int64_t id)
{
    struct joblog_log *log = joblog_log_open(client, id, NULL, &error);
    const struct joblog_log_line *line = NULL;
    unsigned lines = 0;
    assert_non_null(log);
    while (joblog_log_next(log, &line, &error) == 1)
        lines |= 1U << (line->text[0] - '0');
    joblog_log_free(log);
    return lines;
}

/* Members of a patch and lines of a log can go apart; one that alone is too long is lost, and the rest is not. */
static void test_patches_and_lines_go_in_pieces(void **state)
{
    (void)state;
    struct joblog_worker *worker = start("sizes.pieces");
    struct joblog_context *jobs[JOBS];
    int64_t ids[JOBS];
    char patch[TOO_LONG + 100];
    take_jobs(worker, "sizes.pieces", ids, jobs);
    server_fixture_kill(server);
    until(worker, &n_lost, 1);
    for (int i = 0; i < 4; i++) {
        snprintf(patch, sizeof patch, "{\"member%d\": %s}", i, json_of(i == 2 ? TOO_LONG : PIECE));
        assert_ok(joblog_job_merge_payload(jobs[0], patch, &error));
        joblog_job_log(jobs[0], JOBLOG_LOG_INFO, "%d %s", i, json_of(i == 2 ? TOO_LONG : PIECE));
    }
    joblog_job_set_progress(jobs[0], 4, 4, "pieces");
    for (int i = 0; i < JOBS; i++)
        joblog_job_end(jobs[i], 0);
    assert_true(server_fixture_restart(server));
    until(worker, &n_ended, JOBS);
    struct joblog_job *job = ended(ids[0], JOBLOG_COMPLETED);
    assert_int_equal(job->done, 4);
    for (int i = 0; i < 4; i++) {
        snprintf(patch, sizeof patch, "member%d", i);
        assert_int_equal(strstr(job->payload, patch) != NULL, i != 2);
    }
    joblog_job_free(job);
    assert_int_equal(lines_of(ids[0]), 0xb);
    for (int i = 1; i < JOBS; i++)
        joblog_job_free(ended(ids[i], JOBLOG_COMPLETED));
    finish(worker);
}

static int return_much(struct joblog_context *context, void *user)
{
    assert_ok(joblog_job_set_result(context, json_of(TOO_LONG), &error));
    joblog_job_set_progress(context, 1, 1, "result");
    *(int64_t *)user = joblog_job_info(context)->id;
    return 0;
}

/* The caller hears of it, and so does whoever looks at the job, at once. */
static void test_a_logged_run_with_a_result_that_is_too_long(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "big"};
    struct joblog_job *job = NULL;
    int64_t id = 0;
    assert_int_equal(joblog_run_logged(client, &spec, return_much, &id, &job, &error), -JOBLOG_RESOURCE_EXHAUSTED);
    assert_null(job);
    assert_ok(joblog_get(client, id, &job, &error));
    assert_int_equal(job->status, JOBLOG_FAILED);
    assert_string_equal(job->error_type, "ResultRefused");
    assert_int_equal(job->done, 1);
    joblog_job_free(job);
}

static void test_a_hello_that_is_too_long_is_told(void **state)
{
    (void)state;
    static char names[100][120];
    struct joblog_worker_options options = {.name = "wide"};
    struct joblog_worker *worker = joblog_worker_new(client, &options, &error);
    assert_non_null(worker);
    for (int i = 0; i < 100; i++) {
        snprintf(names[i], sizeof names[i], "%0100d", i);
        assert_ok(joblog_worker_handle(worker, names[i], NULL, NULL, &error));
    }
    assert_ok(joblog_worker_start(worker, &error));
    struct joblog_event event;
    while (!joblog_worker_next(worker, &event))
        assert_true(readable(worker));
    assert_int_equal(event.kind, JOBLOG_EVENT_OVER);
    assert_int_equal(event.error.code, JOBLOG_RESOURCE_EXHAUSTED);
    joblog_worker_free(worker);
}

static int setup(void **state)
{
    static const char *const args[] = {"--max-message-bytes=8192", NULL};
    (void)state;
    return client_fixture_start(args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_of_a_cut_go_in_small_messages),
        cmocka_unit_test(test_an_end_that_is_too_long_fails_alone),
        cmocka_unit_test(test_patches_and_lines_go_in_pieces),
        cmocka_unit_test(test_a_logged_run_with_a_result_that_is_too_long),
        cmocka_unit_test(test_a_hello_that_is_too_long_is_told),
    };
    return cmocka_run_group_tests(tests, setup, client_fixture_teardown);
}
