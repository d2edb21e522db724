/* Snooze by libjoblog's worker against a real joblogd: the job waits, and no attempt is lost. Public header only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>

#include "support/beside.h"
#include "support/client_fixture.h"

enum { DELAY_MS = 200 };

static int handle(struct joblog_context *context, void *user)
{
    (void)user;
    return joblog_job_info(context)->attempt < 3 ? joblog_job_snooze(context, DELAY_MS, "no paper") : 0;
}

static void test_job_waits_and_runs_again(void **state)
{
    (void)state;
    struct beside b;
    struct joblog_spec spec = {.job_name = "print", .queue = "snooze", .max_attempts = 1};
    struct joblog_job *job = NULL;
    int64_t id = 0;
    beside_make(&b, client, "snooze", 1, 0, true);
    assert_int_equal(joblog_worker_handle(b.worker, NULL, handle, NULL, &error), 0);
    beside_begin(&b);
    assert_int_equal(joblog_dispatch(client, &spec, &id, &error), 0);
    assert_int_equal(joblog_wait(client, id, 30000, &job, &error), 0);
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_int_equal(job->attempt, 3);
    assert_int_equal(job->uncounted_attempts, 2);
    assert_int_equal(job->n_attempts, 3);
    assert_string_equal(job->attempts[1].outcome, "released");
    assert_true(job->attempts[1].start_us - job->attempts[0].end_us >= DELAY_MS * 1000);
    assert_string_equal(job->transitions[2].reason, "no paper");
    joblog_job_free(job);
    for (int i = 0; i < 3; i++)
        beside_await(&b.hooks);
    assert_int_equal(b.hooked[0].status, JOBLOG_PENDING);
    beside_end(&b);
}

static void test_own_work_cannot_wait(void **state)
{
    (void)state;
    struct joblog_spec spec = {.job_name = "print", .queue = "snooze"};
    struct joblog_job *job = NULL;
    assert_true(joblog_run_logged(client, &spec, handle, NULL, &job, &error) < 0);
    assert_int_equal(error.code, JOBLOG_OK);
    assert_int_equal(job->status, JOBLOG_FAILED);
    assert_string_equal(job->error_type, "CannotSnooze");
    joblog_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_waits_and_runs_again),
        cmocka_unit_test(test_own_work_cannot_wait),
    };
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
