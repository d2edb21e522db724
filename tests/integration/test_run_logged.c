/* joblog_run_logged where something is refused, or asked for, while the callback runs or when it ends. Public header
 * only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "support/client_fixture.h"

enum { PIECE = 250 * 1000, PIECES = 5 }; /* the last is too much for a payload of 1 MiB */

static void merge_piece(struct joblog_context *context, int i)
{
    static char patch[PIECE];
    int n = snprintf(patch, sizeof patch, "{\"piece%d\": \"", i);
    memset(patch + n, 'x', sizeof patch - (size_t)n - 3);
    memcpy(patch + sizeof patch - 3, "\"}", 3);
    assert_ok(joblog_job_merge_payload(context, patch, &error));
}

static int too_much_at_the_end(struct joblog_context *context, void *user)
{
    (void)user;
    for (int i = 0; i < PIECES; i++)
        merge_piece(context, i);
    joblog_job_set_progress(context, PIECES, PIECES, "pieces");
    return joblog_job_set_result(context, "\"done\"", NULL);
}

/* What was refused is not there; everything else is. */
static void assert_completed(struct joblog_job *job)
{
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_string_equal(job->result, "\"done\"");
    assert_int_equal(job->done, PIECES);
    assert_non_null(strstr(job->payload, "piece3"));
    assert_null(strstr(job->payload, "piece4"));
    joblog_job_free(job);
}

static void test_a_refused_last_patch_leaves_the_end(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "much"};
    struct joblog_job *job = NULL;
    assert_int_equal(joblog_run_logged(client, &spec, too_much_at_the_end, NULL, &job, &error), 0);
    assert_int_equal(error.code, JOBLOG_OK);
    assert_completed(job);
}

/* The last piece goes together with the last progress. */
static int too_much_with_progress(struct joblog_context *context, void *user)
{
    (void)user;
    struct joblog_job *job = NULL;
    bool written = false;
    for (int i = 0; i < PIECES - 1; i++)
        merge_piece(context, i);
    while (!written && !joblog_job_wait_cancelled(context, 20)) {
        assert_ok(joblog_get(client, joblog_job_info(context)->id, &job, &error));
        written = strstr(job->payload, "piece3") != NULL;
        joblog_job_free(job);
    }
    joblog_job_set_progress(context, PIECES, PIECES, "pieces");
    merge_piece(context, PIECES - 1);
    return joblog_job_set_result(context, "\"done\"", NULL);
}

static void test_a_refused_patch_leaves_the_progress(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "much"};
    struct joblog_job *job = NULL;
    assert_int_equal(joblog_run_logged(client, &spec, too_much_with_progress, NULL, &job, &error), 0);
    assert_completed(job);
}

struct heard {
    int64_t ms;
    bool cancelled;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int quiet(struct joblog_context *context, void *user)
{
    struct heard *heard = user;
    assert_ok(joblog_cancel(client, joblog_job_info(context)->id, "enough", NULL, &error));
    int64_t since = now_ms();
    heard->cancelled = joblog_job_wait_cancelled(context, 60000);
    heard->ms = now_ms() - since;
    return -1;
}

/* The lease lasts for 30 s, a third of which is how often it has to be renewed. */
static void test_a_quiet_callback_hears_of_a_cancel_soon(void **state)
{
    (void)state;
    struct joblog_spec specs[] = {{.job_name = "quiet"}, {.job_name = "quiet", .heartbeat_timeout_ms = 60000}};
    for (int i = 0; i < 2; i++) {
        struct heard heard = {0};
        struct joblog_job *job = NULL;
        assert_int_equal(joblog_run_logged(client, &specs[i], quiet, &heard, &job, &error), -1);
        assert_true(heard.cancelled);
        assert_in_range(heard.ms, 0, 6000);
        assert_int_equal(job->status, JOBLOG_STATUS_CANCELLED);
        joblog_job_free(job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_last_patch_leaves_the_end),
        cmocka_unit_test(test_a_refused_patch_leaves_the_progress),
        cmocka_unit_test(test_a_quiet_callback_hears_of_a_cancel_soon),
    };
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
