/* libjoblog's calls, watches and logged runs against a real joblogd on a real PostgreSQL. Uses the public
 * header only. One thread, plus the ones that a test starts to act while it waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/client_fixture.h"

static int64_t dispatch(const struct joblog_spec *spec)
{
    int64_t id = 0;
    assert_ok(joblog_dispatch(client, spec, &id, &error));
    assert_true(id > 0);
    return id;
}

/* ---- calls ---- */

static void test_dispatch_and_get(void **state)
{
    (void)state;
    const struct joblog_label labels[] = {{"team", "mail"}, {"tier", "gold"}};
    struct joblog_spec spec = {.job_name = "newsletter",
                               .queue = "calls",
                               .priority = 5,
                               .source_type = "List",
                               .source_id = "7",
                               .owner = "ann",
                               .labels = labels,
                               .n_labels = 2,
                               .payload = "{\"list\": 7}",
                               .max_attempts = 3,
                               .initial_backoff_ms = 1500,
                               .batch = "calls-1",
                               .request_id = "dispatch-and-get"};
    int64_t id = dispatch(&spec);
    assert_int_equal(dispatch(&spec), id); /* the same request id: the same job */
    struct joblog_job *job = NULL;
    assert_ok(joblog_get(client, id, &job, &error));
    assert_int_equal(job->id, id);
    assert_string_equal(job->job_name, "newsletter");
    assert_string_equal(job->queue, "calls");
    assert_int_equal(job->status, JOBLOG_PENDING);
    assert_int_equal(job->priority, 5);
    assert_string_equal(job->source_type, "List");
    assert_string_equal(job->source_id, "7");
    assert_string_equal(job->owner, "ann");
    assert_int_equal(job->n_labels, 2);
    assert_int_equal(job->max_attempts, 3);
    assert_string_equal(job->batch, "calls-1");
    assert_non_null(strstr(job->payload, "7"));
    assert_string_equal(job->creator, server_fixture_actor(server));
    assert_true(job->create_us > 1600000000000000);
    assert_string_equal(job->result, "");
    assert_string_equal(job->worker, "");
    assert_int_equal(job->n_transitions, 1);
    assert_int_equal(job->transitions[0].to, JOBLOG_PENDING);
    joblog_job_free(job);
}

static void test_errors_say_what_is_wrong(void **state)
{
    (void)state;
    struct joblog_job *job = NULL;
    assert_int_equal(joblog_get(client, 12345, &job, &error), -JOBLOG_NOT_FOUND);
    assert_int_equal(error.code, JOBLOG_NOT_FOUND);
    assert_string_not_equal(error.message, "");
    struct joblog_spec spec = {.job_name = ""};
    int64_t id = 0;
    assert_int_equal(joblog_dispatch(client, &spec, &id, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "job.job_name");
    spec = (struct joblog_spec){.job_name = "a", .queue = "errors", .request_id = "used-twice"};
    dispatch(&spec);
    spec.priority = 1;
    assert_int_equal(joblog_dispatch(client, &spec, &id, &error), -JOBLOG_ALREADY_EXISTS);
    assert_string_equal(error.reason, "REQUEST_ID_REUSED");
    assert_int_equal(joblog_dispatch(client, &spec, &id, NULL), -JOBLOG_ALREADY_EXISTS);
    assert_null(job);

    const struct joblog_options options = {.no_retry = true};
    struct joblog_client *away = joblog_connect("127.0.0.1:1", &options, &error);
    assert_non_null(away);
    assert_int_equal(joblog_get(away, 1, &job, &error), -JOBLOG_UNAVAILABLE);
    joblog_close(away);
}

static void test_cancel_and_retry(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "steered", .queue = "steer"};
    int64_t id = dispatch(&spec);
    struct joblog_job *job = NULL;
    assert_int_equal(joblog_retry(client, id, NULL, &job, &error), -JOBLOG_FAILED_PRECONDITION);
    assert_ok(joblog_cancel(client, id, "not needed", &job, &error));
    assert_int_equal(job->status, JOBLOG_STATUS_CANCELLED);
    joblog_job_free(job);
    assert_int_equal(joblog_cancel(client, id, NULL, NULL, &error), -JOBLOG_FAILED_PRECONDITION);
    assert_ok(joblog_retry(client, id, "needed after all", NULL, &error));
    assert_ok(joblog_get(client, id, &job, &error));
    assert_int_equal(job->status, JOBLOG_PENDING);
    assert_int_equal(job->n_transitions, 3);
    assert_string_equal(job->transitions[1].reason, "not needed");
    assert_string_equal(job->transitions[2].reason, "needed after all");
    joblog_job_free(job);
}

static void test_list_stats_statuses(void **state)
{
    (void)state;
    const char *const queues[] = {"listed"};
    struct joblog_spec spec = {.job_name = "listed", .queue = "listed"};
    int64_t ids[5];
    for (int i = 0; i < 5; i++)
        ids[i] = dispatch(&spec);
    assert_ok(joblog_cancel(client, ids[4], NULL, NULL, &error));
    struct joblog_filter filter = {.queues = queues, .n_queues = 1};
    struct joblog_list *list = NULL;
    assert_ok(joblog_list_jobs(client, &filter, 3, NULL, &list, &error));
    assert_int_equal(list->n_jobs, 3);
    assert_int_equal(list->jobs[0].id, ids[4]);
    struct joblog_list *rest = NULL;
    assert_ok(joblog_list_jobs(client, &filter, 3, list->next_page_token, &rest, &error));
    assert_int_equal(rest->n_jobs, 2);
    assert_int_equal(rest->jobs[1].id, ids[0]);
    assert_string_equal(rest->next_page_token, "");
    joblog_list_free(list);
    joblog_list_free(rest);

    struct joblog_stats *stats = NULL;
    assert_ok(joblog_get_stats(client, &filter, 3600000, &stats, &error));
    assert_int_equal(stats->total.pending, 4);
    assert_int_equal(stats->total.cancelled_now, 1);
    assert_int_equal(stats->total.dispatched, 5);
    assert_int_equal(stats->n_rows, 1);
    assert_string_equal(stats->rows[0].job_name, "listed");
    assert_true(stats->range_end_us - stats->range_start_us >= 3600000000);
    joblog_stats_free(stats);

    struct joblog_status_info *statuses = NULL;
    size_t n = 0;
    assert_ok(joblog_list_statuses(client, "es", &statuses, &n, &error));
    assert_int_equal(n, 5);
    assert_int_equal(statuses[1].status, JOBLOG_RUNNING);
    assert_string_equal(statuses[1].name, joblog_status_name(JOBLOG_RUNNING));
    assert_string_not_equal(statuses[1].label, "");
    joblog_statuses_free(statuses);
    assert_int_equal(joblog_status_parse("failed"), JOBLOG_FAILED);
    assert_int_equal(joblog_status_parse("nonsense"), 0);
}

/* ---- watches ---- */

/* The next change; fails the test when there is none. */
static struct joblog_job next_job(struct joblog_watch *watch)
{
    const struct joblog_job *job = NULL;
    int rc = joblog_watch_next(watch, &job, &error);
    if (rc != 1)
        fail_msg("the watch gave %d: %s", rc, rc < 0 ? error.message : "");
    return *job; /* texts: until the next call */
}

static void test_watch_goes_on_after_a_restart(void **state)
{
    (void)state;
    const struct joblog_job *job = NULL;
    struct joblog_spec spec = {.job_name = "watched", .queue = "watched"};
    int64_t id = dispatch(&spec);
    struct joblog_watch *watch = joblog_watch_job(client, id, 0, &error);
    assert_non_null(watch);
    struct joblog_job first = next_job(watch);
    assert_int_equal(first.id, id);
    assert_int_equal(first.status, JOBLOG_PENDING);

    server_fixture_kill(server);
    assert_true(server_fixture_restart(server));
    assert_ok(joblog_cancel(client, id, "enough", NULL, &error));
    struct joblog_job last = next_job(watch);
    assert_int_equal(last.status, JOBLOG_STATUS_CANCELLED);
    assert_true(last.revision > first.revision);
    assert_int_equal(joblog_watch_next(watch, &job, &error), 0);
    assert_int_equal(joblog_watch_next(watch, &job, &error), 0);
    joblog_watch_free(watch);

    /* A final job that was seen to its end is given once more, as the first and last of a new watch. */
    watch = joblog_watch_job(client, id, last.revision, &error);
    assert_int_equal(next_job(watch).status, JOBLOG_STATUS_CANCELLED);
    assert_int_equal(joblog_watch_next(watch, &job, &error), 0);
    joblog_watch_free(watch);

    watch = joblog_watch_job(client, 12345, 0, &error);
    assert_non_null(watch);
    assert_int_equal(joblog_watch_next(watch, &job, &error), -JOBLOG_NOT_FOUND);
    joblog_watch_free(watch);
}

static void test_watch_of_many_misses_nothing_in_a_gap(void **state)
{
    (void)state;
    const char *const queues[] = {"gap"};
    struct joblog_filter filter = {.queues = queues, .n_queues = 1};
    struct joblog_spec spec = {.job_name = "gap", .queue = "gap"};
    int64_t before = dispatch(&spec), stays = dispatch(&spec);
    struct joblog_watch *watch = joblog_watch_jobs(client, &filter, false, &error);
    assert_non_null(watch);
    int64_t a = next_job(watch).id, b = next_job(watch).id;
    assert_true((a == before && b == stays) || (a == stays && b == before));

    server_fixture_kill(server);
    assert_true(server_fixture_restart(server));
    assert_ok(joblog_cancel(client, before, NULL, NULL, &error)); /* ended in the gap */
    int64_t meanwhile = dispatch(&spec);                          /* began and ended in the gap */
    assert_ok(joblog_cancel(client, meanwhile, NULL, NULL, &error));
    a = next_job(watch).id;
    b = next_job(watch).id;
    assert_true((a == before && b == meanwhile) || (a == meanwhile && b == before));
    assert_ok(joblog_cancel(client, stays, NULL, NULL, &error));
    struct joblog_job last = next_job(watch);
    assert_int_equal(last.id, stays);
    assert_int_equal(last.status, JOBLOG_STATUS_CANCELLED);
    joblog_watch_free(watch);
}

static void test_watch_of_a_batch_ends(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "batched", .queue = "batched", .batch = "batch-9"};
    struct joblog_filter filter = {.batch = "batch-9"};
    int64_t one = dispatch(&spec), two = dispatch(&spec);
    assert_ok(joblog_cancel(client, one, NULL, NULL, &error));
    struct joblog_watch *watch = joblog_watch_jobs(client, &filter, true, &error);
    assert_non_null(watch);
    int n_final = 0;
    for (int i = 0; i < 2; i++)
        n_final += joblog_status_is_final(next_job(watch).status);
    assert_int_equal(n_final, 1);
    assert_ok(joblog_cancel(client, two, NULL, NULL, &error));
    assert_int_equal(next_job(watch).id, two);
    const struct joblog_job *job = NULL;
    assert_int_equal(joblog_watch_next(watch, &job, &error), 0);
    joblog_watch_free(watch);
}

static void *cancel_watch(void *watch)
{
    joblog_watch_cancel(watch);
    return NULL;
}

static void test_watch_is_cancelled_from_another_thread(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "idle", .queue = "idle"};
    struct joblog_watch *watch = joblog_watch_job(client, dispatch(&spec), 0, &error);
    next_job(watch);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_watch, watch), 0);
    const struct joblog_job *job = NULL;
    assert_int_equal(joblog_watch_next(watch, &job, &error), -JOBLOG_CANCELLED);
    pthread_join(thread, NULL);
    joblog_watch_free(watch);

    struct joblog_job *waited = NULL;
    assert_int_equal(joblog_wait(client, dispatch(&spec), 50, &waited, &error), -JOBLOG_DEADLINE_EXCEEDED);
    assert_null(waited);
}

/* ---- logged runs ---- */

static int logged_well(struct joblog_context *context, void *user)
{
    const struct joblog_job *job = joblog_job_info(context);
    assert_int_equal(job->status, JOBLOG_RUNNING);
    assert_string_equal(job->payload, "{\"herd\": 2}");
    *(int64_t *)user = job->id;
    joblog_job_set_step(context, "counting");
    joblog_job_set_progress(context, 30, 40, "sheep");
    assert_int_equal(joblog_job_merge_payload(context, "[1]", NULL), -JOBLOG_INVALID_ARGUMENT);
    assert_int_equal(joblog_job_set_result(context, "{broken", NULL), -JOBLOG_INVALID_ARGUMENT);
    assert_ok(joblog_job_merge_payload(context, "{\"seen\": true}", &error));
    return joblog_job_set_result(context, "{\"asleep\": 1}", NULL);
}

static void test_run_logged_completes(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "sheep", .payload = "{\"herd\": 2}"};
    struct joblog_job *job = NULL;
    int64_t id = 0;
    assert_ok(joblog_run_logged(client, &spec, logged_well, &id, &job, &error));
    assert_int_equal(error.code, JOBLOG_OK);
    assert_int_equal(job->id, id);
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    joblog_job_free(job);
    assert_ok(joblog_get(client, id, &job, &error));
    assert_non_null(strstr(job->result, "asleep"));
    assert_non_null(strstr(job->payload, "herd"));
    assert_non_null(strstr(job->payload, "seen"));
    assert_int_equal(job->done, 30);
    assert_string_equal(job->unit, "sheep");
    assert_string_equal(job->step, "counting");
    joblog_job_free(job);
}

joblog_handler logged_badly; /* not static: the stack trace shall name it */

int logged_badly(struct joblog_context *context, void *user)
{
    (void)user;
    return joblog_job_fail(context, "WolfError", "%d wolves", 3);
}

static void test_run_logged_fails(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "sheep"};
    struct joblog_job *job = NULL;
    assert_int_equal(joblog_run_logged(client, &spec, logged_badly, NULL, &job, &error), -1);
    assert_int_equal(job->status, JOBLOG_FAILED);
    assert_string_equal(job->error_type, "WolfError");
    assert_string_equal(job->error_message, "3 wolves");
    assert_true(strncmp(job->stack_trace, "#0 ", 3) == 0);
    char *end_of_first = strchr(job->stack_trace, '\n');
    char *name = strstr(job->stack_trace, "logged_badly");
    assert_non_null(name);
    assert_true(name < end_of_first); /* our own frames are left out */
    joblog_job_free(job);

    spec.job_name = "";
    assert_int_equal(joblog_run_logged(client, &spec, logged_badly, NULL, &job, &error), -JOBLOG_INVALID_ARGUMENT);
}

/* Says nothing, and waits for ever. */
static int logged_mute(struct joblog_context *context, void *user)
{
    int64_t *cancel = user;
    if (cancel)
        assert_ok(joblog_cancel(client, joblog_job_info(context)->id, "enough", NULL, &error));
    joblog_job_set_step(context, "the last word");
    while (!joblog_job_wait_cancelled(context, cancel ? INT64_MAX : -1))
        ;
    return -1;
}

/* The library keeps the lease alive for a callback, but not for one that shall be heard of and hangs. */
static void test_run_logged_hangs(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "mute", .heartbeat_timeout_ms = 1000};
    struct joblog_list *list = NULL;
    assert_int_equal(joblog_run_logged(client, &spec, logged_mute, NULL, NULL, &error), -JOBLOG_FAILED_PRECONDITION);
    assert_string_equal(error.reason, "LEASE_LOST");
    struct joblog_filter filter = {.job_names = (const char *const[]){"mute"}, .n_job_names = 1};
    assert_ok(joblog_list_jobs(client, &filter, 0, NULL, &list, &error));
    assert_int_equal(list->n_jobs, 1);
    struct joblog_job *job = NULL;
    assert_ok(joblog_get(client, list->jobs[0].id, &job, &error));
    joblog_list_free(list);
    assert_int_equal(job->status, JOBLOG_FAILED);
    assert_string_equal(job->error_type, "HeartbeatTimeout");
    assert_string_equal(job->step, "the last word");
    joblog_job_free(job);
}

static int logged_alive(struct joblog_context *context, void *user)
{
    (void)user;
    for (int i = 0; i < 30; i++) {
        if (joblog_job_wait_cancelled(context, 100)) /* the time between two heartbeats is what is tested */
            return -1;
        joblog_job_heartbeat(context);
    }
    return 0;
}

static void test_run_logged_lives_by_its_heartbeats(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "alive", .heartbeat_timeout_ms = 2000};
    struct joblog_job *job = NULL;
    assert_ok(joblog_run_logged(client, &spec, logged_alive, NULL, &job, &error));
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    joblog_job_free(job);
}

/* One that is silent, but not for too long yet, hears of a cancel. */
static void test_run_logged_hears_of_a_cancel(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "obedient", .heartbeat_timeout_ms = 9000};
    struct joblog_job *job = NULL;
    int64_t cancel = 1;
    assert_int_equal(joblog_run_logged(client, &spec, logged_mute, &cancel, &job, &error), -1);
    assert_int_equal(job->status, JOBLOG_STATUS_CANCELLED);
    joblog_job_free(job);
}

static int logged_counted(struct joblog_context *context, void *user)
{
    ++*(int *)user;
    return *joblog_job_info(context)->owner ? joblog_job_fail(context, "WolfError", "wolves") : 0;
}

/* What a request id stands for is done once, and its end is told again. */
static void test_run_logged_once_for_a_request_id(void **state)
{
    (void)state;
    static const struct {
        const char *owner;
        int code;
        enum joblog_status status;
    } kinds[] = {{"", 0, JOBLOG_COMPLETED}, {"wolf", -1, JOBLOG_FAILED}};
    for (size_t i = 0; i < 2; i++) {
        char request_id[32];
        snprintf(request_id, sizeof(request_id), "run-once-%zu", i);
        struct joblog_spec spec = {
            .job_name = "once", .queue = "once", .request_id = request_id, .owner = kinds[i].owner};
        struct joblog_job *first = NULL, *again = NULL;
        int runs = 0;
        assert_int_equal(joblog_run_logged(client, &spec, logged_counted, &runs, &first, &error), kinds[i].code);
        assert_int_equal(error.code, JOBLOG_OK);
        error.code = JOBLOG_UNKNOWN;
        assert_int_equal(joblog_run_logged(client, &spec, logged_counted, &runs, &again, &error), kinds[i].code);
        assert_int_equal(error.code, JOBLOG_OK);
        assert_int_equal(runs, 1);
        assert_int_equal(again->id, first->id);
        assert_int_equal(again->status, kinds[i].status);
        assert_int_equal(again->n_attempts, 1);
        assert_int_equal(joblog_run_logged(client, &spec, logged_counted, &runs, NULL, &error), kinds[i].code);

        if (again->status == JOBLOG_FAILED) { /* nobody runs it, and nobody will */
            assert_int_equal(again->uncounted_attempts, 0);
            joblog_job_free(again);
            assert_ok(joblog_retry(client, first->id, "again", &again, &error)); /* with a fresh set of attempts */
            assert_int_equal(again->attempt, 1);
            assert_int_equal(again->uncounted_attempts, 1);
            assert_int_equal(joblog_run_logged(client, &spec, logged_counted, &runs, NULL, &error),
                             -JOBLOG_ALREADY_EXISTS);
        }
        assert_int_equal(runs, 1);
        joblog_job_free(first);
        joblog_job_free(again);
    }
}

/* A time-out of all the time there is is one. */
static void test_time_outs_without_end(void **state)
{
    (void)state;
    struct joblog_options options = {.timeout_ms = INT64_MAX};
    struct joblog_client *patient = joblog_connect(server_fixture_address(server), &options, &error);
    assert_non_null(patient);
    int64_t id = 0;
    assert_ok(joblog_dispatch(patient, &(struct joblog_spec){.job_name = "for-ever", .queue = "held"}, &id, &error));
    assert_ok(joblog_cancel(patient, id, "enough", NULL, &error));
    struct joblog_job *job = NULL;
    assert_ok(joblog_wait(patient, id, INT64_MAX, &job, &error));
    assert_int_equal(job->status, JOBLOG_STATUS_CANCELLED);
    joblog_job_free(job);
    joblog_close(patient);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dispatch_and_get),
        cmocka_unit_test(test_errors_say_what_is_wrong),
        cmocka_unit_test(test_cancel_and_retry),
        cmocka_unit_test(test_list_stats_statuses),
        cmocka_unit_test(test_watch_goes_on_after_a_restart),
        cmocka_unit_test(test_watch_of_many_misses_nothing_in_a_gap),
        cmocka_unit_test(test_watch_of_a_batch_ends),
        cmocka_unit_test(test_watch_is_cancelled_from_another_thread),
        cmocka_unit_test(test_run_logged_completes),
        cmocka_unit_test(test_run_logged_fails),
        cmocka_unit_test(test_run_logged_hangs),
        cmocka_unit_test(test_run_logged_lives_by_its_heartbeats),
        cmocka_unit_test(test_run_logged_hears_of_a_cancel),
        cmocka_unit_test(test_run_logged_once_for_a_request_id),
        cmocka_unit_test(test_time_outs_without_end),
    };
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
