/* libjoblog's worker within a loop of the caller's own, against a real joblogd. Public header only. One thread: the
 * test polls the worker's descriptor and takes what comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "support/client_fixture.h"

enum { PATIENCE_MS = 60000 };

struct hooked {
    int n_ready, n_lost, n_started, n_ended;
    enum joblog_status ended[16];
};

static void on_ready(void *user)
{
    ((struct hooked *)user)->n_ready++;
}

static void on_lost(void *user, const struct joblog_error *e)
{
    assert_int_not_equal(e->code, JOBLOG_OK);
    ((struct hooked *)user)->n_lost++;
}

static void on_started(void *user, const struct joblog_job *job, enum joblog_status status)
{
    assert_int_equal(job->status, JOBLOG_RUNNING);
    assert_int_equal(status, JOBLOG_RUNNING);
    ((struct hooked *)user)->n_started++;
}

static void on_finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    struct hooked *h = user;
    assert_true(job->id > 0);
    h->ended[h->n_ended++ % 16] = status;
}

static struct joblog_worker *worker_of(const char *queue, int concurrency, struct hooked *hooks)
{
    struct joblog_worker_options options = {
        .name = queue, .queues = &queue, .n_queues = 1, .concurrency = concurrency, .prefetch = -1};
    if (hooks) {
        options.on_ready = on_ready;
        options.on_lost = on_lost;
        options.on_started = on_started;
        options.on_finished = on_finished;
        options.hook_user = hooks;
    }
    struct joblog_worker *worker = joblog_worker_new(client, &options, &error);
    assert_non_null(worker);
    return worker;
}

static struct joblog_worker *start(const char *queue, int concurrency, struct hooked *hooks)
{
    struct joblog_worker *worker = worker_of(queue, concurrency, hooks);
    assert_int_equal(joblog_worker_fd(worker), -1);
    assert_ok(joblog_worker_start(worker, &error));
    return worker;
}

static bool readable(struct joblog_worker *worker, int timeout_ms)
{
    struct pollfd p = {.fd = joblog_worker_fd(worker), .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static struct joblog_event next(struct joblog_worker *worker, enum joblog_event_kind kind)
{
    struct joblog_event event;
    while (!joblog_worker_next(worker, &event))
        assert_true(readable(worker, PATIENCE_MS));
    if (event.kind != kind)
        fail_msg("event %d instead of %d: %s", (int)event.kind, (int)kind, event.error.message);
    return event;
}

/* Takes what comes, which is for hooks only, until *count is n. */
static void until(struct joblog_worker *worker, const int *count, int n)
{
    struct joblog_event event;
    while (*count < n) {
        assert_true(readable(worker, PATIENCE_MS));
        assert_int_equal(joblog_worker_next(worker, &event), 0);
    }
}

static void finish(struct joblog_worker *worker)
{
    joblog_worker_stop(worker);
    next(worker, JOBLOG_EVENT_DRAIN);
    struct joblog_event event = next(worker, JOBLOG_EVENT_OVER);
    assert_int_equal(event.error.code, JOBLOG_OK);
    assert_int_equal(joblog_worker_next(worker, &event), 0);
    assert_false(readable(worker, 0));
    joblog_worker_free(worker);
}

static int64_t dispatch_spec(struct joblog_spec spec)
{
    int64_t id = 0;
    if (!spec.job_name)
        spec.job_name = "cook";
    assert_ok(joblog_dispatch(client, &spec, &id, &error));
    return id;
}

static int64_t dispatch(const char *queue)
{
    return dispatch_spec((struct joblog_spec){.queue = queue});
}

static enum joblog_status ended(int64_t id, int attempt)
{
    struct joblog_job *job = NULL;
    assert_ok(joblog_wait(client, id, PATIENCE_MS, &job, &error));
    enum joblog_status status = job->status;
    assert_int_equal(job->attempt, attempt);
    joblog_job_free(job);
    return status;
}

static void test_many_jobs_in_one_thread(void **state)
{
    (void)state;
    struct hooked hooks = {0};
    struct joblog_worker *worker = start("loop.many", 3, &hooks);
    struct joblog_context *jobs[3];
    int64_t ids[4];
    struct joblog_event event;
    until(worker, &hooks.n_ready, 1);
    for (int i = 0; i < 4; i++)
        ids[i] = dispatch("loop.many");
    for (int i = 0; i < 3; i++) {
        jobs[i] = next(worker, JOBLOG_EVENT_JOB).context;
        assert_true(joblog_job_info(jobs[i])->id == ids[i]);
        assert_int_equal(hooks.n_started, i + 1);
    }
    assert_int_equal(joblog_worker_next(worker, &event), 0); /* three in hand are enough */
    assert_false(readable(worker, 0));
    for (int i = 0; i < 3; i++) {
        joblog_job_set_progress(jobs[i], i, 3, "pots");
        joblog_job_log(jobs[i], JOBLOG_LOG_INFO, "pot %d", i);
    }
    assert_ok(joblog_job_merge_payload(jobs[0], "{\"salt\": true}", &error));
    assert_ok(joblog_job_set_result(jobs[0], "\"soup\"", &error));
    joblog_job_end(jobs[2], joblog_job_fail_for_good(jobs[2], "Burnt", "black"));
    joblog_job_end(jobs[0], 0);
    joblog_job_end(jobs[1], joblog_job_snooze(jobs[1], 0, "no fire"));
    for (int again = 0; again < 2; again++) { /* the fourth, and the one put off: in whatever order */
        event = next(worker, JOBLOG_EVENT_JOB);
        joblog_job_end(event.context, again ? 0 : -5);
    }
    until(worker, &hooks.n_ended, 5);
    struct joblog_job *job = NULL;
    assert_ok(joblog_get(client, ids[0], &job, &error));
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_string_equal(job->result, "\"soup\"");
    assert_non_null(strstr(job->payload, "salt"));
    joblog_job_free(job);
    assert_ok(joblog_get(client, ids[2], &job, &error));
    assert_int_equal(job->status, JOBLOG_FAILED);
    assert_string_equal(job->error_type, "Burnt");
    assert_non_null(strstr(job->stack_trace, "test_client_loop.c"));
    joblog_job_free(job);
    finish(worker);
}

static void test_names_have_their_users(void **state)
{
    (void)state;
    int soup, bread;
    struct joblog_worker *worker = worker_of("loop.names", 2, NULL);
    assert_ok(joblog_worker_handle(worker, "soup", NULL, &soup, &error));
    assert_ok(joblog_worker_handle(worker, "bread", NULL, &bread, &error));
    assert_int_equal(joblog_worker_run(worker, &error), -JOBLOG_FAILED_PRECONDITION);
    assert_ok(joblog_worker_start(worker, &error));
    dispatch("loop.names"); /* "cook": not for it */
    dispatch_spec((struct joblog_spec){.job_name = "bread", .queue = "loop.names"});
    struct joblog_event event = next(worker, JOBLOG_EVENT_JOB);
    assert_ptr_equal(event.user, &bread);
    joblog_job_end(event.context, 0);
    dispatch_spec((struct joblog_spec){.job_name = "soup", .queue = "loop.names"});
    event = next(worker, JOBLOG_EVENT_JOB);
    assert_ptr_equal(event.user, &soup);
    assert_int_equal(joblog_worker_start(worker, &error), -JOBLOG_FAILED_PRECONDITION);
    joblog_job_end(event.context, 0);
    finish(worker);
}

static void test_cancel_and_lost_lease(void **state)
{
    (void)state;
    struct hooked hooks = {0};
    struct joblog_worker *worker = start("loop.cancel", 2, &hooks);
    int64_t cancelled = dispatch("loop.cancel");
    struct joblog_context *job = next(worker, JOBLOG_EVENT_JOB).context;
    assert_false(joblog_job_cancelled(job));
    assert_ok(joblog_cancel(client, cancelled, "burnt", NULL, &error));
    struct joblog_event event = next(worker, JOBLOG_EVENT_CANCEL);
    assert_ptr_equal(event.context, job);
    assert_true(joblog_job_cancelled(job));
    joblog_job_end(job, -1);
    assert_int_equal(ended(cancelled, 1), JOBLOG_STATUS_CANCELLED);
    until(worker, &hooks.n_ended, 1);
    assert_int_equal(hooks.ended[0], JOBLOG_STATUS_CANCELLED);
    /* A job that is ended takes the word of its cancel along. */
    int64_t kept = dispatch("loop.cancel");
    job = next(worker, JOBLOG_EVENT_JOB).context;
    assert_ok(joblog_cancel(client, kept, NULL, NULL, &error));
    assert_true(readable(worker, PATIENCE_MS));
    joblog_job_end(job, 0);
    assert_int_equal(ended(kept, 1), JOBLOG_COMPLETED);
    until(worker, &hooks.n_ended, 2);
    /* An attempt that takes too long is taken away. */
    int64_t late = dispatch_spec((struct joblog_spec){.queue = "loop.cancel", .run_timeout_ms = 1000});
    job = next(worker, JOBLOG_EVENT_JOB).context;
    assert_true(joblog_job_deadline_us(job) > 0);
    event = next(worker, JOBLOG_EVENT_LEASE_LOST);
    assert_ptr_equal(event.context, job);
    joblog_job_end(job, 0); /* too late: told to nobody */
    assert_int_equal(ended(late, 1), JOBLOG_FAILED);
    finish(worker);
    assert_int_equal(hooks.n_ended, 2);
}

static void test_goes_on_over_a_restart(void **state)
{
    (void)state;
    struct hooked hooks = {0};
    struct joblog_worker *worker = start("loop.restart", 2, &hooks);
    int64_t before = dispatch("loop.restart"), over = dispatch("loop.restart");
    struct joblog_context *first = next(worker, JOBLOG_EVENT_JOB).context;
    struct joblog_context *second = next(worker, JOBLOG_EVENT_JOB).context;
    server_fixture_kill(server);
    until(worker, &hooks.n_lost, 1);
    joblog_job_end(first, 0); /* kept until it can be told */
    assert_true(server_fixture_restart(server));
    until(worker, &hooks.n_ready, 2);
    assert_int_equal(ended(before, 1), JOBLOG_COMPLETED);
    joblog_job_end(second, 0);
    assert_int_equal(ended(over, 1), JOBLOG_COMPLETED);
    until(worker, &hooks.n_ended, 2);
    finish(worker);
}

static void test_drains(void **state)
{
    (void)state;
    struct joblog_worker *worker = start("loop.drain", 1, NULL);
    int64_t in_hand = dispatch("loop.drain");
    struct joblog_context *job = next(worker, JOBLOG_EVENT_JOB).context;
    struct joblog_worker_filter filter = {.name = "loop.drain"};
    assert_int_equal(joblog_drain_workers(client, &filter, "moving", NULL, 0, &error), 1);
    next(worker, JOBLOG_EVENT_DRAIN);
    int64_t left = dispatch("loop.drain");
    joblog_job_end(job, 0);
    struct joblog_event event = next(worker, JOBLOG_EVENT_OVER);
    assert_int_equal(event.error.code, JOBLOG_OK);
    joblog_worker_free(worker);
    assert_int_equal(ended(in_hand, 1), JOBLOG_COMPLETED);
    worker = start("loop.drain", 1, NULL);
    job = next(worker, JOBLOG_EVENT_JOB).context;
    assert_true(joblog_job_info(job)->id == left);
    assert_int_equal(joblog_job_info(job)->attempt, 1);
    joblog_job_end(job, 0);
    finish(worker);
}

static void until_status(int64_t id, enum joblog_status status)
{
    struct joblog_watch *watch = joblog_watch_job(client, id, 0, &error);
    const struct joblog_job *job = NULL;
    assert_non_null(watch);
    do {
        if (joblog_watch_next(watch, &job, &error) != 1)
            fail_msg("the watch ended before status %d", (int)status);
    } while (job->status != status);
    joblog_watch_free(watch);
}

static void on_asked(void *user, enum joblog_asked what)
{
    *(int *)user = (int)what;
}

/* Paused: what has not started is given back, what is in hand goes on; resumed: it comes again. */
static void test_is_paused_and_goes_on(void **state)
{
    (void)state;
    const char *queue = "loop.pause";
    int asked = -1;
    struct joblog_worker_options options = {
        .name = queue, .queues = &queue, .n_queues = 1, .prefetch = 2, .on_asked = on_asked, .hook_user = &asked};
    struct joblog_worker_filter filter = {.name = queue};
    struct joblog_worker *worker = joblog_worker_new(client, &options, &error);
    struct joblog_event event;
    int64_t ids[3];
    assert_non_null(worker);
    assert_ok(joblog_worker_start(worker, &error));
    for (int i = 0; i < 3; i++)
        ids[i] = dispatch(queue);
    struct joblog_context *job = next(worker, JOBLOG_EVENT_JOB).context;
    until_status(ids[2], JOBLOG_RUNNING); /* leased, and waiting here */
    assert_int_equal(joblog_pause_workers(client, &filter, "looks ill", NULL, 0, &error), 1);
    until_status(ids[1], JOBLOG_PENDING);
    until_status(ids[2], JOBLOG_PENDING);
    until(worker, &asked, JOBLOG_ASKED_PAUSE);
    joblog_job_end(job, 0);
    assert_int_equal(ended(ids[0], 1), JOBLOG_COMPLETED);
    assert_int_equal(joblog_worker_next(worker, &event), 0);
    struct joblog_worker_list *list = NULL;
    assert_ok(joblog_list_workers(client, &filter, 0, NULL, &list, &error));
    assert_true(list->workers[0].pause_us > 0);
    assert_string_equal(list->workers[0].pause_reason, "looks ill");
    joblog_worker_list_free(list);
    int64_t session = 0;
    assert_int_equal(joblog_resume_workers(client, &filter, &session, 1, &error), 1);
    assert_true(session > 0);
    for (int i = 0; i < 2; i++)
        joblog_job_end(next(worker, JOBLOG_EVENT_JOB).context, 0);
    assert_int_equal(asked, JOBLOG_ASKED_RESUME);
    assert_int_equal(ended(ids[1], 2), JOBLOG_COMPLETED);
    assert_int_equal(ended(ids[2], 2), JOBLOG_COMPLETED);
    assert_int_equal(joblog_drain_workers(client, &filter, NULL, NULL, 0, &error), 1);
    next(worker, JOBLOG_EVENT_DRAIN);
    assert_int_equal(asked, JOBLOG_ASKED_LEAVE);
    next(worker, JOBLOG_EVENT_OVER);
    joblog_worker_free(worker);
    assert_int_equal(joblog_pause_workers(client, &filter, NULL, NULL, 0, &error), 0); /* it is gone */
    filter.name = NULL;
    assert_int_equal(joblog_pause_workers(client, &filter, NULL, NULL, 0, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_int_equal(joblog_resume_workers(client, &filter, NULL, 0, &error), -JOBLOG_INVALID_ARGUMENT);
}

static void *end_it(void *job)
{
    joblog_job_end(job, 0);
    return NULL;
}

static void test_job_outlives_its_worker(void **state)
{
    static const char *const args[] = {"--lease-timeout-ms=2000", NULL};
    (void)state;
    struct server_fixture *hasty =
        server_fixture_start(&(struct server_fixture_options){.database = client_fixture_database(), .args = args});
    struct joblog_client *patient = client;
    client = hasty ? joblog_connect(server_fixture_address(hasty), NULL, &error) : NULL;
    assert_non_null(client);
    struct joblog_spec spec = {.queue = "loop.free", .max_attempts = 9, .initial_backoff_ms = 1};
    struct joblog_worker *worker = start("loop.free", 2, NULL);
    int64_t id = dispatch_spec(spec), other = dispatch_spec(spec);
    struct joblog_context *job = next(worker, JOBLOG_EVENT_JOB).context;
    struct joblog_context *second = next(worker, JOBLOG_EVENT_JOB).context;
    joblog_worker_free(worker);
    assert_true(joblog_job_cancelled(job));
    joblog_job_set_step(job, "for nobody");
    joblog_job_log(job, JOBLOG_LOG_INFO, "for nobody");
    struct joblog_spec child = {.job_name = "child"};
    int64_t child_id;
    assert_int_equal(joblog_job_dispatch(job, &child, &child_id, &error), -JOBLOG_FAILED_PRECONDITION);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, end_it, second), 0);
    joblog_job_end(job, 0);
    pthread_join(thread, NULL);
    joblog_close(client);
    client = patient;
    server_fixture_free(hasty);
    /* They run elsewhere, once the leases are over. */
    worker = start("loop.free", 2, NULL);
    joblog_job_end(next(worker, JOBLOG_EVENT_JOB).context, 0);
    joblog_job_end(next(worker, JOBLOG_EVENT_JOB).context, 0);
    assert_int_equal(ended(id, 2), JOBLOG_COMPLETED);
    assert_int_equal(ended(other, 2), JOBLOG_COMPLETED);
    finish(worker);
}

/* Says nothing but that it lives, for longer than its heartbeat time-out. */
static void test_heartbeats_keep_a_job(void **state)
{
    (void)state;
    struct joblog_worker *worker = start("loop.heart", 2, NULL);
    struct joblog_spec spec = {.queue = "loop.heart", .heartbeat_timeout_ms = 2000};
    int64_t lives = dispatch_spec(spec);
    struct joblog_context *alive = next(worker, JOBLOG_EVENT_JOB).context;
    int64_t dies = dispatch_spec(spec);
    struct joblog_context *silent = next(worker, JOBLOG_EVENT_JOB).context, *gone = NULL;
    for (int i = 0; i < 40 || !gone; i++) {
        struct joblog_event event;
        joblog_job_heartbeat(alive);
        if (readable(worker, 0) && joblog_worker_next(worker, &event)) {
            assert_int_equal(event.kind, JOBLOG_EVENT_LEASE_LOST);
            gone = event.context;
        }
        usleep(100 * 1000); /* the time between two heartbeats is what is tested */
    }
    assert_ptr_equal(gone, silent);
    joblog_job_end(silent, 0);
    joblog_job_end(alive, 0);
    assert_int_equal(ended(lives, 1), JOBLOG_COMPLETED);
    assert_int_equal(ended(dies, 1), JOBLOG_FAILED);
    finish(worker);
}

/* What was said and is taken back is not what the record ends with. */
static void test_what_is_emptied_is_reported(void **state)
{
    (void)state;
    struct joblog_worker *worker = start("loop.empty", 1, NULL);
    int64_t id = dispatch("loop.empty");
    struct joblog_context *context = next(worker, JOBLOG_EVENT_JOB).context;
    struct joblog_watch *watch = joblog_watch_job(client, id, 0, &error);
    const struct joblog_job *seen = NULL;
    struct joblog_job *job = NULL;
    assert_non_null(watch);
    joblog_job_set_step(context, "stirring");
    joblog_job_set_percent(context, 50);
    do {
        assert_int_equal(joblog_watch_next(watch, &seen, &error), 1);
    } while (strcmp(seen->step, "stirring") != 0 || seen->percent < 50);
    joblog_watch_free(watch);
    joblog_job_set_step(context, "");
    joblog_job_set_progress(context, -1, 0, NULL);
    joblog_job_end(context, 0);
    assert_int_equal(ended(id, 1), JOBLOG_COMPLETED);
    assert_ok(joblog_get(client, id, &job, &error));
    assert_string_equal(job->step, "");
    assert_true(job->percent == 0);
    joblog_job_free(job);
    finish(worker);
}

static int handle(struct joblog_context *context, void *user)
{
    (void)context;
    (void)user;
    return 0;
}

static void test_wrong_use_is_refused(void **state)
{
    (void)state;
    struct joblog_worker *worker = worker_of("loop.wrong", 1, NULL);
    assert_ok(joblog_worker_handle(worker, "soup", NULL, NULL, &error));
    assert_ok(joblog_worker_handle(worker, "bread", handle, NULL, &error));
    assert_int_equal(joblog_worker_start(worker, &error), -JOBLOG_FAILED_PRECONDITION);
    assert_int_equal(joblog_worker_run(worker, &error), -JOBLOG_FAILED_PRECONDITION);
    joblog_worker_free(worker);
    /* The server does not want it: the last event says so. */
    char queue[300];
    memset(queue, 'x', sizeof queue);
    queue[sizeof queue - 1] = '\0';
    worker = start(queue, 1, NULL);
    struct joblog_event event = next(worker, JOBLOG_EVENT_OVER);
    assert_int_equal(event.error.code, JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(event.error.field, "hello.name");
    joblog_worker_free(worker);
    worker = start("loop.wrong", 1, NULL); /* freed at once, connected or not */
    joblog_worker_free(worker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_jobs_in_one_thread),
        cmocka_unit_test(test_names_have_their_users),
        cmocka_unit_test(test_cancel_and_lost_lease),
        cmocka_unit_test(test_goes_on_over_a_restart),
        cmocka_unit_test(test_drains),
        cmocka_unit_test(test_is_paused_and_goes_on),
        cmocka_unit_test(test_job_outlives_its_worker),
        cmocka_unit_test(test_heartbeats_keep_a_job),
        cmocka_unit_test(test_what_is_emptied_is_reported),
        cmocka_unit_test(test_wrong_use_is_refused),
    };
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
