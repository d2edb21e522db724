/* A watch of many after a cut that its resume point does not reach over: what it asks for besides. Public header only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <pthread.h>
#include <stdatomic.h>

#include "support/client_fixture.h"

static atomic_bool begun;

static int64_t dispatch(struct joblog_error *e)
{
    struct joblog_spec spec = {.job_name = "gap", .queue = "gap"};
    int64_t id = 0;
    return joblog_dispatch(client, &spec, &id, e) == 0 ? id : 0;
}

/* Jobs that are cancelled, until the watch has told of one: its snapshot has none. */
static void *cancel_some(void *user)
{
    struct joblog_error e = {.code = JOBLOG_OK};
    (void)user;
    while (!atomic_load(&begun)) {
        int64_t id = dispatch(&e);
        if (!id || joblog_cancel(client, id, NULL, NULL, &e) < 0)
            break;
    }
    return NULL;
}

static struct joblog_job next_job(struct joblog_watch *watch)
{
    const struct joblog_job *job = NULL;
    if (joblog_watch_next(watch, &job, &error) != 1)
        fail_msg("%s: %s", joblog_code_name(error.code), error.message);
    return *job;
}

/* Its last state is given, though no snapshot has it: it is not among the statuses asked for any more. */
static void test_a_retry_in_the_gap_is_told(void **state)
{
    (void)state;
    const char *const queues[] = {"gap"};
    const enum joblog_status statuses[] = {JOBLOG_FAILED, JOBLOG_STATUS_CANCELLED};
    struct joblog_filter filter = {.queues = queues, .n_queues = 1, .statuses = statuses, .n_statuses = 2};
    struct joblog_watch *watch = joblog_watch_jobs(client, &filter, false, &error);
    pthread_t thread;
    assert_non_null(watch);
    assert_int_equal(pthread_create(&thread, NULL, cancel_some, NULL), 0);
    next_job(watch);
    atomic_store(&begun, true);
    pthread_join(thread, NULL);
    int64_t id = dispatch(&error);
    assert_ok(joblog_cancel(client, id, NULL, NULL, &error));
    struct joblog_job job = next_job(watch);
    while (job.id != id)
        job = next_job(watch);
    assert_int_equal(job.status, JOBLOG_STATUS_CANCELLED);

    server_fixture_kill(server);
    /* More than a resume point reaches over. */
    assert_true(client_fixture_sql("UPDATE joblog.change SET entries = decode(repeat('00', 5 << 20), 'hex')"
                                   " WHERE (replica, batch) = (SELECT replica, batch FROM joblog.change"
                                   " ORDER BY time DESC, batch DESC LIMIT 1)"));
    assert_true(server_fixture_restart(server));
    assert_ok(joblog_retry(client, id, NULL, NULL, &error));
    job = next_job(watch);
    assert_int_equal(job.id, id);
    assert_int_equal(job.status, JOBLOG_PENDING);
    joblog_watch_free(watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_retry_in_the_gap_is_told)};
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
