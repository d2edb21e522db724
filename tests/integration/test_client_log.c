/* libjoblog: what handlers log, hooks, children of jobs, against a real joblogd that keeps 256 KiB of a log. Uses the
 * public header only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "support/beside.h"
#include "support/client_fixture.h"

static int setup(void **state)
{
    static const char *const args[] = {"--job-log-kilobytes=256", NULL};
    (void)state;
    return client_fixture_start(args);
}

/* ---- a worker beside the test ---- */

static void *run_worker(void *worker)
{
    struct joblog_error own;
    return joblog_worker_run(worker, &own) < 0 ? worker : NULL;
}

static struct joblog_worker *worker_start(const char *queue, joblog_handler *handler, void *user,
                                          struct joblog_worker_options options, pthread_t *ret_thread)
{
    options.queues = &queue;
    options.n_queues = 1;
    struct joblog_worker *worker = joblog_worker_new(client, &options, &error);
    assert_non_null(worker);
    assert_ok(joblog_worker_handle(worker, NULL, handler, user, &error));
    assert_int_equal(pthread_create(ret_thread, NULL, run_worker, worker), 0);
    return worker;
}

static void worker_stop(struct joblog_worker *worker, pthread_t thread)
{
    void *failed = NULL;
    joblog_worker_stop(worker);
    pthread_join(thread, &failed);
    assert_null(failed);
    joblog_worker_free(worker);
}

static int64_t dispatch(const char *queue, int attempts)
{
    struct joblog_spec spec = {
        .job_name = "job", .queue = queue, .max_attempts = attempts, .initial_backoff_ms = attempts > 1 ? 1 : 0};
    int64_t id = 0;
    assert_ok(joblog_dispatch(client, &spec, &id, &error));
    return id;
}

static void expect_end(int64_t id, enum joblog_status status)
{
    struct joblog_job *job = NULL;
    assert_ok(joblog_wait(client, id, 30000, &job, &error));
    assert_int_equal(job->status, status);
    joblog_job_free(job);
}

/* ---- tests ---- */

static int handle_log(struct joblog_context *context, void *user)
{
    (void)user;
    joblog_job_log(context, JOBLOG_LOG_INFO, "attempt %d", joblog_job_info(context)->attempt);
    joblog_job_log(context, JOBLOG_LOG_ERROR, "bad bytes: \xff");
    return joblog_job_info(context)->attempt == 1 ? joblog_job_fail(context, "Again", "once more") : 0;
}

static void a_handler_logs(void **state)
{
    static const struct {
        int attempt;
        enum joblog_log_level level;
        const char *text;
    } expected[] = {{1, JOBLOG_LOG_INFO, "attempt 1"},
                    {1, JOBLOG_LOG_ERROR, "bad bytes: ?"},
                    {2, JOBLOG_LOG_INFO, "attempt 2"},
                    {2, JOBLOG_LOG_ERROR, "bad bytes: ?"}};
    const struct joblog_log_options follow = {.follow = true};
    const struct joblog_log_line *line = NULL;
    pthread_t thread;
    (void)state;
    int64_t id = dispatch("log", 2);
    struct joblog_log *log = joblog_log_open(client, id, &follow, &error);
    assert_non_null(log);
    struct joblog_worker *worker = worker_start("log", handle_log, NULL, (struct joblog_worker_options){0}, &thread);
    for (int i = 0; i < 4; i++) {
        int rc = joblog_log_next(log, &line, &error);
        assert_ok(rc);
        assert_int_equal(rc, 1);
        assert_int_equal(line->sequence, i + 1);
        assert_int_equal(line->attempt, expected[i].attempt);
        assert_int_equal(line->level, expected[i].level);
        assert_string_equal(line->text, expected[i].text);
        assert_true(line->time_us > INT64_C(1700000000000000));
    }
    assert_int_equal(joblog_log_next(log, &line, &error), 0);
    assert_int_equal(joblog_log_dropped(log), 0);
    joblog_log_free(log);
    worker_stop(worker, thread);
    expect_end(id, JOBLOG_COMPLETED);
    assert_int_equal(joblog_log_next(log = joblog_log_open(client, 1, NULL, &error), &line, &error), -JOBLOG_NOT_FOUND);
    joblog_log_free(log);
}

enum { FLOOD = 20000 };

static int handle_flood(struct joblog_context *context, void *user)
{
    (void)user;
    for (int i = 1; i <= FLOOD; i++)
        joblog_job_log(context, JOBLOG_LOG_INFO, "line %d of many, with some text to fill it", i);
    return 0;
}

/* More than the server keeps and than the library holds: the beginning is kept, and all is accounted for. */
static void a_flood_of_lines_is_bounded(void **state)
{
    const struct joblog_log_line *line = NULL;
    pthread_t thread;
    int rc, n = 0;
    (void)state;
    int64_t id = dispatch("flood", 1);
    struct joblog_worker *worker =
        worker_start("flood", handle_flood, NULL, (struct joblog_worker_options){0}, &thread);
    expect_end(id, JOBLOG_COMPLETED);
    worker_stop(worker, thread);
    struct joblog_log *log = joblog_log_open(client, id, NULL, &error);
    assert_non_null(log);
    while ((rc = joblog_log_next(log, &line, &error)) == 1) {
        char text[64];
        n++;
        snprintf(text, sizeof text, "line %d of many, with some text to fill it", n);
        assert_string_equal(line->text, text);
        assert_int_equal(line->sequence, n);
    }
    assert_int_equal(rc, 0);
    assert_in_range(n, 256 * 1024 / 100, 256 * 1024 / 60);
    assert_in_range(joblog_log_dropped(log), 1, FLOOD - n);
    joblog_log_free(log);
}

static int handle_endless(struct joblog_context *context, void *user)
{
    long lines = 0;
    while (!joblog_job_cancelled(context)) {
        joblog_job_log(context, JOBLOG_LOG_INFO, "line %ld", ++lines);
        if (lines == 100000)
            sem_post(user);
    }
    return -1;
}

/* A handler that does nothing but log hears of its cancel, and its end arrives. */
static void one_that_never_stops_logging_is_cancelled(void **state)
{
    sem_t under_way;
    pthread_t thread;
    (void)state;
    sem_init(&under_way, 0, 0);
    int64_t id = dispatch("endless", 1);
    struct joblog_worker *worker =
        worker_start("endless", handle_endless, &under_way, (struct joblog_worker_options){0}, &thread);
    beside_await(&under_way);
    assert_ok(joblog_cancel(client, id, "enough", NULL, &error));
    expect_end(id, JOBLOG_STATUS_CANCELLED);
    worker_stop(worker, thread);
}

struct pause {
    sem_t entered, open;
};

static int handle_pause(struct joblog_context *context, void *user)
{
    struct pause *pause = user;
    joblog_job_log(context, JOBLOG_LOG_INFO, "before");
    sem_post(&pause->entered);
    beside_await(&pause->open);
    joblog_job_log(context, JOBLOG_LOG_INFO, "after");
    return 0;
}

/* The server goes and comes back while the handler runs: reader and writer go on. */
static void a_log_outlives_the_connection(void **state)
{
    const struct joblog_log_options follow = {.follow = true};
    const struct joblog_log_line *line = NULL;
    struct pause pause;
    pthread_t thread;
    (void)state;
    sem_init(&pause.entered, 0, 0);
    sem_init(&pause.open, 0, 0);
    int64_t id = dispatch("cut", 1);
    struct joblog_log *log = joblog_log_open(client, id, &follow, &error);
    struct joblog_worker *worker =
        worker_start("cut", handle_pause, &pause, (struct joblog_worker_options){0}, &thread);
    beside_await(&pause.entered);
    assert_int_equal(joblog_log_next(log, &line, &error), 1);
    assert_string_equal(line->text, "before");
    server_fixture_kill(server);
    assert_true(server_fixture_restart(server));
    sem_post(&pause.open);
    int rc;
    /* A line whose answer was lost may come twice. */
    while ((rc = joblog_log_next(log, &line, &error)) == 1 && strcmp(line->text, "before") == 0) {
    }
    assert_ok(rc);
    assert_int_equal(rc, 1);
    assert_string_equal(line->text, "after");
    assert_int_equal(joblog_log_next(log, &line, &error), 0);
    joblog_log_free(log);
    worker_stop(worker, thread);
    expect_end(id, JOBLOG_COMPLETED);
}

static int log_in_run(struct joblog_context *context, void *user)
{
    (void)user;
    for (int i = 0; i < 1000; i++)
        joblog_job_log(context, JOBLOG_LOG_DEBUG, "%d", i);
    return joblog_job_fail(context, "Broken", "with %s", "a log");
}

static void a_logged_run_logs(void **state)
{
    struct joblog_spec spec = {.job_name = "run"};
    struct joblog_job *job = NULL;
    const struct joblog_log_line *line = NULL;
    char text[16];
    (void)state;
    assert_int_equal(joblog_run_logged(client, &spec, log_in_run, NULL, &job, &error), -1);
    assert_int_equal(error.code, JOBLOG_OK);
    struct joblog_log *log = joblog_log_open(client, job->id, NULL, &error);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(joblog_log_next(log, &line, &error), 1);
        snprintf(text, sizeof text, "%d", i);
        assert_string_equal(line->text, text);
        assert_int_equal(line->level, JOBLOG_LOG_DEBUG);
    }
    assert_int_equal(joblog_log_next(log, &line, &error), 0);
    joblog_log_free(log);
    joblog_job_free(job);
}

/* ---- hooks ---- */

struct heard {
    int started, finished, completed, failed, cancelled, retried;
    sem_t running, final; /* posted */
};

static void on_started(void *user, const struct joblog_job *job, enum joblog_status status)
{
    (void)job;
    ((struct heard *)user)->started += status == JOBLOG_RUNNING;
}

static void on_finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    (void)job;
    (void)status;
    ((struct heard *)user)->finished++;
}

static void on_completed(void *user, const struct joblog_job *job, enum joblog_status status)
{
    struct heard *heard = user;
    (void)job;
    heard->completed += status == JOBLOG_COMPLETED;
    sem_post(&heard->final);
}

static void on_failed(void *user, const struct joblog_job *job, enum joblog_status status)
{
    struct heard *heard = user;
    (void)job;
    heard->failed += status == JOBLOG_FAILED;
    sem_post(&heard->final);
}

static void on_cancelled(void *user, const struct joblog_job *job, enum joblog_status status)
{
    struct heard *heard = user;
    (void)job;
    heard->cancelled += status == JOBLOG_STATUS_CANCELLED;
    sem_post(&heard->final);
}

static void on_retried(void *user, const struct joblog_job *job, enum joblog_status status)
{
    (void)job;
    ((struct heard *)user)->retried += status == JOBLOG_PENDING;
}

/* By how many attempts it may have. One: waits for its cancel. Two: fails once. Three: fails for good. */
static int handle_hooked(struct joblog_context *context, void *user)
{
    struct heard *heard = user;
    const struct joblog_job *job = joblog_job_info(context);
    if (job->max_attempts == 1) {
        sem_post(&heard->running);
        joblog_job_wait_cancelled(context, -1);
        return -1;
    }
    if (job->max_attempts == 3)
        return joblog_job_fail_for_good(context, "No", "never");
    return job->attempt == 1 ? joblog_job_fail(context, "Not", "yet") : 0;
}

static void each_end_has_its_hook(void **state)
{
    struct heard heard = {0};
    pthread_t thread;
    (void)state;
    sem_init(&heard.running, 0, 0);
    sem_init(&heard.final, 0, 0);
    struct joblog_worker_options options = {.on_started = on_started,
                                            .on_finished = on_finished,
                                            .on_completed = on_completed,
                                            .on_failed = on_failed,
                                            .on_cancelled = on_cancelled,
                                            .on_retried = on_retried,
                                            .hook_user = &heard};
    struct joblog_worker *worker = worker_start("hooks", handle_hooked, &heard, options, &thread);
    dispatch("hooks", 2);
    beside_await(&heard.final);
    dispatch("hooks", 3);
    beside_await(&heard.final);
    int64_t id = dispatch("hooks", 1);
    beside_await(&heard.running);
    assert_ok(joblog_cancel(client, id, "enough", NULL, &error));
    beside_await(&heard.final);
    worker_stop(worker, thread);
    assert_int_equal(heard.started, 4);
    assert_int_equal(heard.finished, 4);
    assert_int_equal(heard.completed, 1);
    assert_int_equal(heard.retried, 1);
    assert_int_equal(heard.failed, 1);
    assert_int_equal(heard.cancelled, 1);
}

/* ---- children ---- */

struct family {
    int64_t child[2];    /* of each attempt */
    char key[2][64];     /* likewise */
    int64_t deadline_us; /* of the first */
};

static int handle_parent(struct joblog_context *context, void *user)
{
    struct family *family = user;
    int at = joblog_job_info(context)->attempt - 1;
    struct joblog_spec spec = {.job_name = "child", .queue = "children"};
    snprintf(family->key[at], sizeof family->key[at], "%s", joblog_job_key(context));
    if (at == 0)
        family->deadline_us = joblog_job_deadline_us(context);
    if (joblog_job_dispatch(context, &spec, &family->child[at], NULL) < 0)
        return joblog_job_fail_for_good(context, "NoChild", "not dispatched");
    return at == 0 ? joblog_job_fail(context, "Not", "yet") : 0;
}

static void a_later_attempt_has_the_same_children(void **state)
{
    struct family family = {.deadline_us = 0};
    struct joblog_spec spec = {
        .job_name = "parent", .queue = "parents", .max_attempts = 2, .initial_backoff_ms = 1, .run_timeout_ms = 60000};
    struct joblog_job *job = NULL;
    pthread_t thread;
    int64_t id;
    (void)state;
    struct joblog_worker *worker =
        worker_start("parents", handle_parent, &family, (struct joblog_worker_options){0}, &thread);
    assert_ok(joblog_dispatch(client, &spec, &id, &error));
    assert_ok(joblog_wait(client, id, 30000, &job, &error));
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_int_equal(job->run_timeout_ms, 60000);
    assert_int_equal(family.deadline_us, job->attempts[0].start_us + INT64_C(60000000));
    joblog_job_free(job);
    assert_true(family.child[0] > 0);
    assert_int_equal(family.child[0], family.child[1]);
    assert_string_equal(family.key[0], family.key[1]);
    assert_true(strlen(family.key[0]) > 0);
    worker_stop(worker, thread);
}

/* Somebody asks it to: what runs ends, and joblog_worker_run returns by itself. */
static void a_worker_leaves_when_it_is_asked(void **state)
{
    struct joblog_worker_filter filter = {.name = "leaver"};
    struct joblog_worker_list *list = NULL;
    struct pause pause;
    pthread_t thread;
    int64_t session = 0;
    void *failed = NULL;
    (void)state;
    sem_init(&pause.entered, 0, 0);
    sem_init(&pause.open, 0, 0);
    int64_t id = dispatch("leave", 1);
    struct joblog_worker_options options = {.name = "leaver", .version = "7"};
    struct joblog_worker *worker = worker_start("leave", handle_pause, &pause, options, &thread);
    beside_await(&pause.entered);
    assert_ok(joblog_list_workers(client, &filter, 0, NULL, &list, &error));
    assert_int_equal(list->n_workers, 1);
    assert_string_equal(list->workers[0].version, "7");
    assert_string_equal(list->workers[0].queues[0], "leave");
    assert_int_equal(list->workers[0].n_running, 1);
    assert_int_equal(list->workers[0].job_ids[0], id);
    assert_int_equal(list->workers[0].drain_us, 0);
    assert_int_equal(joblog_drain_workers(client, &filter, "enough", &session, 1, &error), 1);
    assert_int_equal(session, list->workers[0].session_id);
    joblog_worker_list_free(list);
    sem_post(&pause.open);
    pthread_join(thread, &failed);
    assert_null(failed);
    joblog_worker_free(worker);
    expect_end(id, JOBLOG_COMPLETED);
    struct joblog_worker_filter none = {.name = NULL};
    assert_int_equal(joblog_drain_workers(client, &none, NULL, NULL, 0, &error), -JOBLOG_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_logs),
        cmocka_unit_test(a_flood_of_lines_is_bounded),
        cmocka_unit_test(one_that_never_stops_logging_is_cancelled),
        cmocka_unit_test(a_logged_run_logs),
        cmocka_unit_test(each_end_has_its_hook),
        cmocka_unit_test(a_later_attempt_has_the_same_children),
        cmocka_unit_test(a_worker_leaves_when_it_is_asked),
        cmocka_unit_test(a_log_outlives_the_connection),
    };
    return cmocka_run_group_tests(tests, setup, client_fixture_teardown);
}
