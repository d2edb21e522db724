/* What libjoblog's worker takes ahead of a free thread, against a real joblogd. Public header only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <time.h>

#include "support/client_fixture.h"

struct slow_hook {
    struct joblog_worker *worker;
    int n_run;
};

static int handle_and_stop_at_fifth(struct joblog_context *context, void *user)
{
    struct slow_hook *slow = user;
    (void)context;
    if (++slow->n_run == 5)
        joblog_worker_stop(slow->worker);
    return 0;
}

/* A hook that takes longer than what is fetched ahead is worth. */
static void hook_slowly(void *user, const struct joblog_job *job, enum joblog_status status)
{
    struct timespec pause = {.tv_nsec = 20000000};
    (void)user;
    (void)job;
    (void)status;
    nanosleep(&pause, NULL);
}

/* A thread that waits for answers and runs hooks is not free in between, so jobs of no time are not fetched in
 * hundreds. */
static void test_hooks_count_for_what_is_taken_ahead(void **state)
{
    (void)state;
    enum { JOBS = 40 };
    struct slow_hook slow = {0};
    const char *queue = "slow_hook";
    struct joblog_worker_options options = {.queues = &queue, .n_queues = 1, .on_finished = hook_slowly};
    int64_t ids[JOBS];
    struct joblog_spec spec = {.job_name = "short", .queue = queue};
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(joblog_dispatch(client, &spec, &ids[i], &error), 0);
    slow.worker = joblog_worker_new(client, &options, &error);
    assert_non_null(slow.worker);
    assert_int_equal(joblog_worker_handle(slow.worker, NULL, handle_and_stop_at_fifth, &slow, &error), 0);
    assert_int_equal(joblog_worker_run(slow.worker, &error), 0);
    joblog_worker_free(slow.worker);
    int n_done = 0, n_released = 0;
    for (int i = 0; i < JOBS; i++) {
        struct joblog_job *job = NULL;
        assert_int_equal(joblog_get(client, ids[i], &job, &error), 0);
        n_done += job->status == JOBLOG_COMPLETED;
        n_released += job->status == JOBLOG_PENDING && job->n_attempts > 0;
        joblog_job_free(job);
    }
    assert_int_equal(n_done, 5);
    assert_in_range(n_released, 0, 1); /* one may have come while the fifth ended */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hooks_count_for_what_is_taken_ahead),
    };
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
