/* core/life.h: what follows on what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/life.h"

static const struct retry_policy policy = {
    .max_attempts = 5, .initial_backoff_us = 1000, .max_backoff_us = 10000, .multiplier = 2, .jitter = 0.5};

static struct job running(int32_t attempt, int32_t left)
{
    return (struct job){.id = 42, .status = JOB_RUNNING, .attempt = attempt, .attempts_left = left, .retry = policy};
}

static enum job_status after(struct job job, enum attempt_outcome outcome, bool no_retry, int64_t *run_us)
{
    struct attempt_end end = {.outcome = outcome, .no_retry = no_retry};

    return job_after_attempt(&job, &end, 1000000, 0.5, run_us);
}

static void test_after_attempt(void **state)
{
    int64_t run_us;

    (void)state;
    assert_int_equal(after(running(1, 4), ATTEMPT_COMPLETED, false, &run_us), JOB_COMPLETED);
    assert_int_equal(run_us, 0);
    assert_int_equal(after(running(1, 4), ATTEMPT_CANCELLED, false, &run_us), JOB_CANCELLED);
    assert_int_equal(after(running(1, 4), ATTEMPT_FAILED, false, &run_us), JOB_PENDING);
    assert_int_equal(run_us, 1001000);
    assert_int_equal(after(running(3, 2), ATTEMPT_FAILED, false, &run_us), JOB_PENDING);
    assert_int_equal(run_us, 1004000);
    assert_int_equal(after(running(1, 4), ATTEMPT_FAILED, true, &run_us), JOB_FAILED);
    assert_int_equal(after(running(5, 0), ATTEMPT_FAILED, false, &run_us), JOB_FAILED);
    assert_int_equal(run_us, 0);
    assert_int_equal(after(running(1, 1), ATTEMPT_LOST, false, &run_us), JOB_PENDING);
    assert_int_equal(run_us, 1000000);
    assert_int_equal(after(running(1, 0), ATTEMPT_LOST, false, &run_us), JOB_FAILED);
    assert_int_equal(after(running(1, 0), ATTEMPT_RELEASED, false, &run_us), JOB_PENDING);
    assert_int_equal(run_us, 1000000);
}

static void test_after_a_cancel_request(void **state)
{
    struct job job = running(1, 4);
    int64_t run_us;

    (void)state;
    job.cancel.time_us = 5;
    assert_int_equal(after(job, ATTEMPT_COMPLETED, false, &run_us), JOB_COMPLETED);
    assert_int_equal(after(job, ATTEMPT_FAILED, false, &run_us), JOB_CANCELLED);
    assert_int_equal(after(job, ATTEMPT_LOST, false, &run_us), JOB_CANCELLED);
    assert_int_equal(after(job, ATTEMPT_RELEASED, false, &run_us), JOB_CANCELLED);
}

static void test_every_end_is_an_allowed_transition(void **state)
{
    int64_t run_us;

    (void)state;
    for (int outcome = ATTEMPT_COMPLETED; outcome <= ATTEMPT_RELEASED; outcome++) {
        for (int left = 0; left < 2; left++)
            assert_true(job_transition_allowed(JOB_RUNNING, after(running(1, left), outcome, false, &run_us)));
    }
}

static void test_transitions(void **state)
{
    struct err err;
    int n = 0;

    (void)state;
    for (int from = 0; from < JOB_STATUS_COUNT; from++) {
        for (int to = 0; to < JOB_STATUS_COUNT; to++) {
            bool allowed = job_transition_allowed(from, to);
            n += allowed;
            assert_int_equal(job_transition_check(42, from, to, &err), allowed ? 0 : -ERR_FAILED_PRECONDITION);
        }
        assert_false(job_transition_allowed(JOB_COMPLETED, from));
    }
    assert_int_equal(n, 8);
    assert_int_equal(job_transition_check(42, JOB_COMPLETED, JOB_CANCELLED, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "JOB_TRANSITION_REFUSED");
    assert_string_equal(err.msg, "job 42 is completed: cannot be cancelled");
    assert_int_equal(job_transition_check(42, JOB_FAILED, JOB_CANCELLED, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.msg, "job 42 has failed: cannot be cancelled");
}

static void test_delays(void **state)
{
    struct retry_policy fixed = {.max_attempts = 5,
                                 .initial_backoff_us = 500,
                                 .max_backoff_us = 10000,
                                 .multiplier = 1},
                        huge = {.max_attempts = 1000,
                                .initial_backoff_us = INT64_MAX / 2,
                                .max_backoff_us = INT64_MAX / 4,
                                .multiplier = 100,
                                .jitter = 1};

    (void)state;
    assert_int_equal(retry_delay_us(&policy, 1), 1000);
    assert_int_equal(retry_delay_us(&policy, 2), 2000);
    assert_int_equal(retry_delay_us(&policy, 4), 8000);
    assert_int_equal(retry_delay_us(&policy, 5), 10000);
    assert_int_equal(retry_delay_us(&policy, 1000000), 10000);
    assert_int_equal(retry_delay_us(&fixed, 9), 500);
    assert_true(retry_delay_us(&huge, 1000) > 0);
    struct retry_policy linear = policy, flat = policy, list = policy;
    static const int64_t delays[] = {5, 0, 700};
    linear.backoff = BACKOFF_LINEAR;
    assert_int_equal(retry_delay_us(&linear, 1), 1000);
    assert_int_equal(retry_delay_us(&linear, 3), 3000);
    assert_int_equal(retry_delay_us(&linear, 11), 10000);
    flat.backoff = BACKOFF_FIXED;
    flat.initial_backoff_us = 20000; /* above max_backoff */
    assert_int_equal(retry_delay_us(&flat, 7), 20000);
    list.backoff = BACKOFF_LIST;
    list.delays_us = delays;
    list.n_delays = 3;
    assert_int_equal(retry_delay_us(&list, 1), 5);
    assert_int_equal(retry_delay_us(&list, 2), 0);
    assert_int_equal(retry_delay_us(&list, 3), 700);
    assert_int_equal(retry_delay_us(&list, 900), 700);
    assert_int_equal(retry_delay_jittered_us(&policy, 1, 0), 500);
    assert_int_equal(retry_delay_jittered_us(&policy, 1, 0.5), 1000);
    assert_in_range(retry_delay_jittered_us(&policy, 1, 0.999999), 1499, 1500);
}

static void test_revisions(void **state)
{
    int64_t r = job_revision_transition(0);

    (void)state;
    assert_int_equal(r, 1 << 20);
    assert_int_equal(job_revision_progress(r), r + 1);
    assert_int_equal(job_revision_transition(r + 77), 2 << 20);
    /* Progress never reaches the next transition. */
    assert_int_equal(job_revision_progress((2 << 20) - 1), (2 << 20) - 1);
    /* Of another process: above what that one may have told of, below the next transition. */
    assert_int_equal(job_revision_apart(r), r + (1 << 14));
    assert_int_equal(job_revision_apart(r + 77), r + (1 << 14));
    assert_int_equal(job_revision_apart((2 << 20) - 5), (2 << 20) - 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after_attempt),
        cmocka_unit_test(test_after_a_cancel_request),
        cmocka_unit_test(test_every_end_is_an_allowed_transition),
        cmocka_unit_test(test_transitions),
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_revisions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
