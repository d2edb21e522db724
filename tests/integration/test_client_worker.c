/* libjoblog's worker against a real joblogd. Uses the public header only. The worker runs on a thread of its own;
 * handlers and the test meet at gates, so that nothing depends on time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/beside.h"
#include "support/client_fixture.h"

static int64_t dispatch(const char *queue, const char *name, const char *payload, int max_attempts)
{
    struct joblog_spec spec = {.job_name = name,
                               .queue = queue,
                               .payload = payload,
                               .max_attempts = max_attempts,
                               .initial_backoff_ms = max_attempts > 1 ? 1 : 0};
    int64_t id = 0;
    assert_ok(joblog_dispatch(client, &spec, &id, &error));
    return id;
}

/* ---- handlers ---- */

struct gate {
    sem_t entered, open;
};

static void gate_init(struct gate *gate)
{
    sem_init(&gate->entered, 0, 0);
    sem_init(&gate->open, 0, 0);
}

static int handle_gate(struct joblog_context *context, void *user)
{
    struct gate *gate = user;
    (void)context;
    sem_post(&gate->entered);
    beside_await(&gate->open);
    return 0;
}

static int handle_report(struct joblog_context *context, void *user)
{
    (void)user;
    for (int i = 0; i <= 100000; i++) {
        joblog_job_set_progress(context, i, 100000, "steps");
        if (i == 50000)
            joblog_job_set_step(context, "second half");
    }
    assert_ok(joblog_job_merge_payload(context, "{\"a\": 1, \"b\": 1}", &error));
    assert_ok(joblog_job_merge_payload(context, "{\"b\": 2}", &error));
    return joblog_job_set_result(context, "[1, 2]", NULL);
}

joblog_handler handle_flaky; /* not static: the stack trace shall name it */

int handle_flaky(struct joblog_context *context, void *user)
{
    (void)user;
    if (joblog_job_info(context)->attempt == 1)
        return joblog_job_fail(context, "SmtpTimeout", "no answer from %s", "mail.example.org");
    return 0;
}

static int handle_hopeless(struct joblog_context *context, void *user)
{
    (void)user;
    return joblog_job_fail_for_good(context, "BadAddress", "it does not exist");
}

static int handle_silent(struct joblog_context *context, void *user)
{
    (void)context;
    (void)user;
    return -7;
}

/* Latin-1, and a character cut in two. */
static int handle_bad_text(struct joblog_context *context, void *user)
{
    (void)user;
    joblog_job_set_step(context, "caf\xe9");
    joblog_job_set_progress(context, 1, 2, "\xe2\x82");
    return joblog_job_fail(context, "Erreur\xff", "caf\xe9 ferm\xc3\xa9");
}

/* Two patches that fit a write each, but not one together. */
static int handle_large_patches(struct joblog_context *context, void *user)
{
    (void)user;
    enum { LONG = 200000 };
    char *patch = malloc(LONG + 100);
    for (char key = 'a'; key <= 'b'; key++) {
        int n = sprintf(patch, "{\"%c\": \"", key);
        memset(patch + n, 'x', LONG);
        strcpy(patch + n + LONG, "\"}");
        assert_ok(joblog_job_merge_payload(context, patch, &error));
    }
    free(patch);
    return 0;
}

static int handle_until_cancelled(struct joblog_context *context, void *user)
{
    sem_post(user);
    return joblog_job_wait_cancelled(context, 30000) ? -1 : 0;
}

/* ---- tests ---- */

static void test_jobs_run_and_report(void **state)
{
    (void)state;
    struct beside b;
    beside_make(&b, client, "run", 3, 0, false);
    assert_ok(joblog_worker_handle(b.worker, "report", handle_report, NULL, &error));
    assert_ok(joblog_worker_handle(b.worker, "silent", handle_silent, NULL, &error));
    assert_int_equal(joblog_worker_handle(b.worker, "silent", handle_silent, NULL, &error), -JOBLOG_ALREADY_EXISTS);
    int64_t first = dispatch("run", "report", "{\"a\": 0}", 1);
    beside_begin(&b);
    int64_t second = dispatch("run", "silent", NULL, 1);
    struct joblog_job *job = client_fixture_wait(first);
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_string_equal(job->worker, "tester");
    assert_int_equal(job->done, 100000);
    assert_string_equal(job->step, "second half");
    assert_non_null(strstr(job->payload, "\"b\": 2"));
    assert_non_null(strchr(job->result, '2'));
    joblog_job_free(job);
    job = client_fixture_wait(second);
    assert_int_equal(job->status, JOBLOG_FAILED);
    assert_string_equal(job->error_type, "HandlerFailed");
    assert_non_null(strstr(job->error_message, "-7"));
    joblog_job_free(job);
    beside_end(&b);
}

static void test_failed_attempts_are_kept_and_tried_again(void **state)
{
    (void)state;
    struct beside b;
    beside_make(&b, client, "retry", 1, 0, true);
    assert_ok(joblog_worker_handle(b.worker, "flaky", handle_flaky, NULL, &error));
    assert_ok(joblog_worker_handle(b.worker, "hopeless", handle_hopeless, NULL, &error));
    beside_begin(&b);
    int64_t id = dispatch("retry", "flaky", NULL, 3);
    struct joblog_job *job = client_fixture_wait(id);
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_int_equal(job->attempt, 2);
    assert_int_equal(job->n_attempts, 2);
    assert_string_equal(job->attempts[0].outcome, "failed");
    assert_string_equal(job->attempts[0].error_type, "SmtpTimeout");
    assert_string_equal(job->attempts[0].error_message, "no answer from mail.example.org");
    assert_non_null(strstr(job->attempts[0].stack_trace, "handle_flaky"));
    assert_string_equal(job->attempts[1].outcome, "completed");
    joblog_job_free(job);
    beside_await(&b.hooks);
    beside_await(&b.hooks);
    int64_t hopeless = dispatch("retry", "hopeless", NULL, 5);
    job = client_fixture_wait(hopeless);
    assert_int_equal(job->status, JOBLOG_FAILED);
    assert_int_equal(job->attempt, 1);
    joblog_job_free(job);
    beside_await(&b.hooks);
    assert_int_equal(b.n_hooked, 3);
    assert_int_equal(b.hooked[0].id, id);
    assert_int_equal(b.hooked[0].status, JOBLOG_PENDING);
    assert_int_equal(b.hooked[1].status, JOBLOG_COMPLETED);
    assert_int_equal(b.hooked[1].attempt, 2);
    assert_int_equal(b.hooked[2].status, JOBLOG_FAILED);
    beside_end(&b);
}

static void test_running_job_is_cancelled(void **state)
{
    (void)state;
    struct beside b;
    sem_t entered;
    sem_init(&entered, 0, 0);
    beside_make(&b, client, "cancel", 1, 0, true);
    assert_ok(joblog_worker_handle(b.worker, "long", handle_until_cancelled, &entered, &error));
    beside_begin(&b);
    int64_t id = dispatch("cancel", "long", NULL, 5);
    beside_await(&entered);
    struct joblog_job *job = NULL;
    assert_ok(joblog_cancel(client, id, "changed my mind", &job, &error));
    if (job->status == JOBLOG_RUNNING) { /* else the worker was quick */
        assert_true(job->cancel_requested);
        assert_string_equal(job->cancel_reason, "changed my mind");
    }
    joblog_job_free(job);
    job = client_fixture_wait(id);
    assert_int_equal(job->status, JOBLOG_STATUS_CANCELLED);
    assert_int_equal(job->n_attempts, 1);
    assert_string_equal(job->attempts[0].outcome, "cancelled");
    joblog_job_free(job);
    beside_await(&b.hooks);
    assert_int_equal(b.hooked[0].status, JOBLOG_STATUS_CANCELLED);
    beside_end(&b);
}

/* Waits in the worker behind another: its handler is not called for it any more. */
static void test_job_cancelled_before_its_start_is_not_run(void **state)
{
    (void)state;
    struct beside b;
    sem_t entered;
    sem_init(&entered, 0, 0);
    beside_make(&b, client, "early", 1, 4, true);
    assert_ok(joblog_worker_handle(b.worker, "long", handle_until_cancelled, &entered, &error));
    int64_t first = dispatch("early", "long", NULL, 1), second = dispatch("early", "long", NULL, 1);
    beside_begin(&b);
    beside_await(&entered);
    struct joblog_watch *watch = joblog_watch_job(client, second, 0, &error);
    const struct joblog_job *seen = NULL;
    do
        assert_int_equal(joblog_watch_next(watch, &seen, &error), 1);
    while (seen->status != JOBLOG_RUNNING);
    joblog_watch_free(watch);
    /* In order: once the first hears of its cancel the worker knows of the second's. */
    assert_ok(joblog_cancel(client, second, NULL, NULL, &error));
    assert_ok(joblog_cancel(client, first, NULL, NULL, &error));
    struct joblog_job *job = client_fixture_wait(second);
    assert_int_equal(job->status, JOBLOG_STATUS_CANCELLED);
    joblog_job_free(job);
    beside_await(&b.hooks);
    beside_await(&b.hooks);
    assert_int_equal(b.hooked[0].id, first);
    assert_int_equal(b.hooked[1].id, second);
    assert_int_equal(b.hooked[1].status, JOBLOG_STATUS_CANCELLED);
    assert_int_equal(sem_trywait(&entered), -1);
    beside_end(&b);
}

static void test_bad_text_and_large_patches_do_no_harm(void **state)
{
    (void)state;
    struct beside b;
    beside_make(&b, client, "text", 1, 0, false);
    assert_ok(joblog_worker_handle(b.worker, "bad_text", handle_bad_text, NULL, &error));
    assert_ok(joblog_worker_handle(b.worker, "large", handle_large_patches, NULL, &error));
    beside_begin(&b);
    struct joblog_job *job = client_fixture_wait(dispatch("text", "bad_text", NULL, 1));
    assert_int_equal(job->status, JOBLOG_FAILED);
    assert_string_equal(job->step, "caf?");
    assert_string_equal(job->unit, "??");
    assert_string_equal(job->error_type, "Erreur?");
    assert_string_equal(job->error_message, "caf? ferm\xc3\xa9");
    joblog_job_free(job);
    job = client_fixture_wait(dispatch("text", "large", NULL, 1));
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_true(strlen(job->payload) > 400000);
    joblog_job_free(job);
    struct joblog_spec spec = {.job_name = "large"};
    assert_ok(joblog_run_logged(client, &spec, handle_large_patches, NULL, &job, &error));
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_true(strlen(job->payload) > 400000);
    joblog_job_free(job);
    beside_end(&b);
}

static void test_drain_gives_back_what_has_not_started(void **state)
{
    (void)state;
    struct beside b;
    struct gate gate;
    gate_init(&gate);
    beside_make(&b, client, "drain", 1, 4, false);
    assert_ok(joblog_worker_handle(b.worker, "gated", handle_gate, &gate, &error));
    int64_t ids[3];
    for (int i = 0; i < 3; i++)
        ids[i] = dispatch("drain", "gated", NULL, 1);
    beside_begin(&b);
    beside_await(&gate.entered);
    /* All three are leased: two wait in the worker. */
    struct joblog_filter filter = {.ids = ids, .n_ids = 3};
    struct joblog_watch *watch = joblog_watch_jobs(client, &filter, false, &error);
    const struct joblog_job *seen = NULL;
    bool running[3] = {false};
    while (!(running[0] && running[1] && running[2])) {
        assert_int_equal(joblog_watch_next(watch, &seen, &error), 1);
        for (int i = 0; i < 3; i++)
            running[i] |= seen->id == ids[i] && seen->status == JOBLOG_RUNNING;
    }
    joblog_worker_stop(b.worker);
    int back = 0;
    while (back < 2) {
        assert_int_equal(joblog_watch_next(watch, &seen, &error), 1);
        back += seen->status == JOBLOG_PENDING;
        assert_int_not_equal(seen->id, ids[0]);
    }
    joblog_watch_free(watch);
    sem_post(&gate.open);
    beside_end(&b);
    struct joblog_job *job = NULL;
    assert_ok(joblog_get(client, ids[0], &job, &error));
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    joblog_job_free(job);
    assert_ok(joblog_get(client, ids[2], &job, &error));
    assert_int_equal(job->status, JOBLOG_PENDING);
    assert_string_equal(job->attempts[0].outcome, "released");
    joblog_job_free(job);
}

static void test_end_reaches_a_server_that_was_away(void **state)
{
    (void)state;
    struct beside b;
    struct gate gate;
    gate_init(&gate);
    beside_make(&b, client, "away", 2, -1, true);
    assert_ok(joblog_worker_handle(b.worker, "gated", handle_gate, &gate, &error));
    beside_begin(&b);
    int64_t ended_away = dispatch("away", "gated", NULL, 1), ended_after = dispatch("away", "gated", NULL, 1);
    beside_await(&gate.entered);
    beside_await(&gate.entered);
    server_fixture_kill(server);
    beside_await(&b.lost);
    sem_post(&gate.open); /* one ends while there is no server */
    assert_true(server_fixture_restart(server));
    beside_await(&b.ready);
    sem_post(&gate.open);
    beside_await(&b.hooks);
    beside_await(&b.hooks);
    struct joblog_job *job = client_fixture_wait(ended_away);
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_int_equal(job->n_attempts, 1);
    joblog_job_free(job);
    job = client_fixture_wait(ended_after);
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_int_equal(job->n_attempts, 1);
    joblog_job_free(job);
    /* And the worker goes on. */
    int64_t next = dispatch("away", "gated", NULL, 1);
    sem_post(&gate.open);
    job = client_fixture_wait(next);
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    joblog_job_free(job);
    beside_end(&b);
}

static void test_many_jobs(void **state)
{
    (void)state;
    enum { JOBS = 500 };
    struct beside b;
    beside_make(&b, client, "many", 8, 0, false);
    assert_ok(joblog_worker_handle(b.worker, NULL, handle_flaky, NULL, &error));
    beside_begin(&b);
    struct joblog_filter filter = {.batch = "many"};
    struct joblog_spec spec = {
        .job_name = "anything", .queue = "many", .batch = "many", .max_attempts = 2, .initial_backoff_ms = 1};
    for (int i = 0; i < JOBS; i++)
        assert_ok(joblog_dispatch(client, &spec, NULL, &error));
    struct joblog_watch *watch = joblog_watch_jobs(client, &filter, true, &error);
    const struct joblog_job *job = NULL;
    int completed = 0, rc;
    while ((rc = joblog_watch_next(watch, &job, &error)) == 1) {
        completed += job->status == JOBLOG_COMPLETED;
        assert_int_not_equal(job->status, JOBLOG_FAILED);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(completed, JOBS);
    joblog_watch_free(watch);
    beside_end(&b);
}

/* ---- several queues ---- */

enum { OF_EACH = 40 };

struct seen_queues {
    int n, x;
    sem_t done;
};

static int handle_queues(struct joblog_context *context, void *user)
{
    struct seen_queues *seen = user;
    if (seen->n++ < OF_EACH)
        seen->x += strcmp(joblog_job_info(context)->queue, "weighed.x") == 0;
    if (seen->n == 2 * OF_EACH)
        sem_post(&seen->done);
    return 0;
}

static void test_queues_get_their_weights(void **state)
{
    (void)state;
    const char *queues[] = {"weighed.y", "weighed.x"};
    int weights[] = {1, 3};
    struct seen_queues seen = {0};
    struct joblog_worker_options options = {.queues = queues, .n_queues = 2, .queue_weights = weights, .prefetch = -1};
    struct beside b;
    sem_init(&seen.done, 0, 0);
    for (int i = 0; i < 2 * OF_EACH; i++)
        dispatch(queues[i / OF_EACH], i % 3 ? "one" : "other", NULL, 1);
    beside_make_with(&b, client, &options);
    assert_ok(joblog_worker_handle(b.worker, NULL, handle_queues, &seen, &error));
    beside_begin(&b);
    beside_await(&seen.done);
    assert_in_range(seen.x, OF_EACH * 3 / 4 - 1, OF_EACH * 3 / 4 + 1);
    beside_end(&b);
    /* A weight that is none. */
    weights[1] = 1001;
    struct joblog_worker *worker = joblog_worker_new(client, &options, &error);
    assert_ok(joblog_worker_handle(worker, NULL, handle_silent, NULL, &error));
    assert_int_equal(joblog_worker_run(worker, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "hello.queue_weights");
    joblog_worker_free(worker);
}

static void test_server_refuses_a_worker(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    struct joblog_worker_options options = {.name = name};
    struct joblog_worker *worker = joblog_worker_new(client, &options, &error);
    assert_int_equal(joblog_worker_run(worker, &error), -JOBLOG_FAILED_PRECONDITION); /* no handler */
    assert_ok(joblog_worker_handle(worker, NULL, handle_silent, NULL, &error));
    assert_int_equal(joblog_worker_run(worker, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "hello.name");
    joblog_worker_free(worker);
    options = (struct joblog_worker_options){.concurrency = 100000};
    assert_null(joblog_worker_new(client, &options, &error));
    assert_string_equal(error.field, "concurrency");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_run_and_report),
        cmocka_unit_test(test_failed_attempts_are_kept_and_tried_again),
        cmocka_unit_test(test_running_job_is_cancelled),
        cmocka_unit_test(test_job_cancelled_before_its_start_is_not_run),
        cmocka_unit_test(test_bad_text_and_large_patches_do_no_harm),
        cmocka_unit_test(test_drain_gives_back_what_has_not_started),
        cmocka_unit_test(test_end_reaches_a_server_that_was_away),
        cmocka_unit_test(test_many_jobs),
        cmocka_unit_test(test_queues_get_their_weights),
        cmocka_unit_test(test_server_refuses_a_worker),
    };
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
