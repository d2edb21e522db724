/* joblog_dispatch_many against a real joblogd: outcomes, replays, a server that dies on the way. Public header only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "support/client_fixture.h"

static void test_each_job_has_its_outcome(void **state)
{
    (void)state;
    struct joblog_spec specs[] = {
        {.job_name = "one", .queue = "many", .request_id = "many-1"},
        {.job_name = "", .queue = "many"},
        {.job_name = "three", .queue = "many", .payload = "{\"n\": 3}", .unique_key = "k"},
        {.job_name = "three", .queue = "many", .unique_key = "k", .on_conflict = JOBLOG_CONFLICT_USE_EXISTING},
    };
    struct joblog_outcome *outcomes = NULL, *again = NULL;
    size_t n = 0;
    assert_int_equal(joblog_dispatch_many(client, specs, 4, &outcomes, &n, &error), 0);
    assert_int_equal(n, 4);
    assert_int_equal(outcomes[0].code, JOBLOG_OK);
    assert_true(outcomes[0].id > 0);
    assert_false(outcomes[0].replayed);
    assert_string_equal(outcomes[0].message, "");
    assert_int_equal(outcomes[1].code, JOBLOG_INVALID_ARGUMENT);
    assert_true(outcomes[1].id == 0);
    assert_string_equal(outcomes[1].field, "job.job_name");
    assert_int_equal(outcomes[2].code, JOBLOG_OK);
    assert_true(outcomes[3].existing);
    assert_true(outcomes[3].id == outcomes[2].id);
    assert_int_equal(joblog_dispatch_many(client, specs, 1, &again, &n, &error), 0);
    assert_int_equal(n, 1);
    assert_true(again[0].replayed);
    assert_true(again[0].id == outcomes[0].id);
    joblog_outcomes_free(again);
    joblog_outcomes_free(outcomes);
    assert_int_equal(joblog_dispatch_many(client, specs, 0, &outcomes, &n, &error), 0);
    assert_int_equal(n, 0);
    joblog_outcomes_free(outcomes);
}

enum { MANY = 10000 };

struct many {
    struct joblog_spec *specs;
    struct joblog_outcome *outcomes;
    size_t n;
    int rc;
    struct joblog_error error;
};

static void *dispatch(void *user)
{
    struct many *m = user;
    m->rc = joblog_dispatch_many(client, m->specs, MANY, &m->outcomes, &m->n, &m->error);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const struct joblog_outcome *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* The server dies under the stream and comes back: every job is there, and once. */
static void test_nothing_is_lost_or_twice_over_a_cut(void **state)
{
    (void)state;
    struct many m = {.specs = calloc(MANY, sizeof *m.specs)};
    pthread_t thread;
    assert_non_null(m.specs);
    for (int i = 0; i < MANY; i++)
        m.specs[i] = (struct joblog_spec){.job_name = "cut", .queue = "cut"};
    assert_int_equal(pthread_create(&thread, NULL, dispatch, &m), 0);
    client_fixture_await_job("cut");
    server_fixture_kill(server);
    assert_true(server_fixture_restart(server));
    pthread_join(thread, NULL);
    if (m.rc < 0)
        fail_msg("%s: %s", joblog_code_name(m.error.code), m.error.message);
    assert_int_equal(m.n, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(m.outcomes[i].code, JOBLOG_OK);
    qsort(m.outcomes, MANY, sizeof *m.outcomes, compare);
    for (int i = 1; i < MANY; i++)
        assert_true(m.outcomes[i - 1].id < m.outcomes[i].id);
    assert_int_equal(client_fixture_waiting("cut"), MANY);
    joblog_outcomes_free(m.outcomes);
    free(m.specs);
}

static void test_server_that_is_away(void **state)
{
    (void)state;
    struct joblog_options options = {.timeout_ms = 300};
    struct joblog_client *hasty = joblog_connect(server_fixture_address(server), &options, &error);
    struct joblog_spec spec = {.job_name = "one", .queue = "away"};
    struct joblog_outcome *outcomes = NULL;
    size_t n = 7;
    assert_non_null(hasty);
    server_fixture_kill(server);
    assert_true(joblog_dispatch_many(hasty, &spec, 1, &outcomes, &n, &error) < 0);
    assert_int_equal(n, 0);
    assert_true(error.code == JOBLOG_UNAVAILABLE || error.code == JOBLOG_DEADLINE_EXCEEDED);
    joblog_outcomes_free(outcomes);
    joblog_close(hasty);
    assert_true(server_fixture_restart(server));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_job_has_its_outcome),
        cmocka_unit_test(test_nothing_is_lost_or_twice_over_a_cut),
        cmocka_unit_test(test_server_that_is_away),
    };
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
