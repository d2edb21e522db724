/* What libjoblog makes of answers that are not what it hoped for: a server that takes small messages only refuses a
 * message whole, and a job whose time is over says nothing about the others under way. Public header only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <libpq-fe.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "support/client_fixture.h"

enum { SERVER_BYTES = 4096, JOBS = 300 };

static const struct joblog_options kinds[] = {{.no_retry = false}, {.no_retry = true}};

static struct joblog_client *client_of(const struct joblog_options *options)
{
    struct joblog_client *c = joblog_connect(server_fixture_address(server), options, &error);
    if (!c)
        fail_msg("%s", error.message);
    return c;
}

/* ---- small messages ---- */

struct answers {
    atomic_int ok, too_large, other;
};

static void count(void *user, const struct joblog_outcome *outcome)
{
    struct answers *a = user;
    atomic_fetch_add(outcome->code == JOBLOG_OK                   ? &a->ok
                     : outcome->code == JOBLOG_RESOURCE_EXHAUSTED ? &a->too_large
                                                                  : &a->other,
                     1);
}

/* A JSON text that alone is longer than what the server takes. */
static const char *large_payload(void)
{
    static char text[2 * SERVER_BYTES];
    memset(text, 'x', sizeof text - 1);
    memcpy(text, "{\"x\": \"", 7);
    memcpy(text + sizeof text - 3, "\"}", 3);
    return text;
}

static void test_a_dispatcher_makes_messages_as_small_as_the_server_takes(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct joblog_client *c = client_of(&kinds[k]);
        struct joblog_dispatcher *d = client_fixture_dispatcher(c, 0);
        struct joblog_spec spec = {.job_name = "small", .queue = k ? "small-once" : "small"};
        struct answers answers = {.ok = 0};
        for (int i = 0; i < JOBS; i++)
            assert_ok(joblog_dispatcher_add(d, &spec, count, &answers, &error));
        joblog_dispatcher_free(d);
        assert_int_equal(answers.ok, JOBS);
        assert_int_equal(client_fixture_waiting(spec.queue), JOBS);
        joblog_close(c);
    }
}

static void test_a_job_that_is_too_large_is_refused_alone(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        struct joblog_client *c = client_of(&kinds[k]);
        struct joblog_dispatcher *d = client_fixture_dispatcher(c, 0);
        struct joblog_spec spec = {.job_name = "large", .queue = k ? "large-once" : "large"}, large = spec;
        struct answers answers = {.ok = 0};
        large.payload = large_payload();
        for (int i = 0; i < JOBS; i++)
            assert_ok(joblog_dispatcher_add(d, i % 100 == 50 ? &large : &spec, count, &answers, &error));
        joblog_dispatcher_flush(d);
        assert_int_equal(answers.ok, JOBS - 3);
        assert_int_equal(answers.too_large, 3);
        assert_int_equal(client_fixture_waiting(spec.queue), JOBS - 3);
        assert_int_equal(joblog_dispatcher_dispatch(d, &large, NULL, &error), -JOBLOG_RESOURCE_EXHAUSTED);
        assert_string_not_equal(error.message, "");
        assert_ok(joblog_dispatcher_dispatch(d, &spec, NULL, &error));
        joblog_dispatcher_free(d);
        joblog_close(c);
    }
}

static void test_many_go_in_messages_as_small_as_the_server_takes(void **state)
{
    (void)state;
    static struct joblog_spec specs[JOBS];
    struct joblog_outcome *outcomes = NULL;
    size_t n = 0;
    for (int i = 0; i < JOBS; i++)
        specs[i] = (struct joblog_spec){.job_name = "small", .queue = "small-many"};
    assert_ok(joblog_dispatch_many(client, specs, JOBS, &outcomes, &n, &error));
    assert_int_equal(n, JOBS);
    for (int i = 0; i < JOBS; i++)
        assert_int_equal(outcomes[i].code, JOBLOG_OK);
    joblog_outcomes_free(outcomes);
    assert_int_equal(client_fixture_waiting("small-many"), JOBS);

    specs[JOBS / 2].payload = large_payload();
    assert_int_equal(joblog_dispatch_many(client, specs, JOBS, &outcomes, &n, &error), -JOBLOG_RESOURCE_EXHAUSTED);
    assert_int_equal(n, JOBS / 2); /* those before it are answered, and none behind it was sent */
    joblog_outcomes_free(outcomes);
    assert_int_equal(client_fixture_waiting("small-many"), JOBS + JOBS / 2);
}

/* ---- time ---- */

struct waiter {
    sem_t told;
    int code;
};

static void tell(void *user, const struct joblog_outcome *outcome)
{
    struct waiter *w = user;
    w->code = outcome->code;
    sem_post(&w->told);
}

static void run(PGconn *conn, const char *sql)
{
    PGresult *r = PQexec(conn, sql);
    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    PQclear(r);
}

/* Two jobs are in the server's hands, which does not get on; the first has had its time when it does. They come as far
 * apart as a call lasts that has less time, so their times end apart. */
static void test_a_job_without_tries_times_out_alone(void **state)
{
    (void)state;
    enum { TIMEOUT_MS = 4000, APART_MS = 3000 };
    struct joblog_options options = {.timeout_ms = TIMEOUT_MS, .no_retry = true}, less = options;
    less.timeout_ms = APART_MS;
    struct joblog_client *c = client_of(&options), *meanwhile = client_of(&less);
    struct joblog_dispatcher *d = client_fixture_dispatcher(c, 0);
    struct joblog_spec spec = {.job_name = "late", .queue = "late"};
    struct waiter first, second;
    sem_init(&first.told, 0, 0);
    sem_init(&second.told, 0, 0);
    assert_ok(joblog_dispatcher_dispatch(d, &spec, NULL, &error)); /* so that messages as large need not go alone */
    PGconn *conn = PQconnectdb(client_fixture_database());
    run(conn, "BEGIN");
    run(conn, "LOCK TABLE joblog.waiting IN EXCLUSIVE MODE");
    assert_ok(joblog_dispatcher_add(d, &spec, tell, &first, &error));
    assert_int_equal(joblog_dispatch(meanwhile, &spec, NULL, &error), -JOBLOG_DEADLINE_EXCEEDED);
    assert_ok(joblog_dispatcher_add(d, &spec, tell, &second, &error));
    sem_wait(&first.told);
    assert_int_equal(first.code, JOBLOG_DEADLINE_EXCEEDED);
    assert_int_equal(sem_trywait(&second.told), -1);
    run(conn, "COMMIT");
    sem_wait(&second.told);
    assert_int_equal(second.code, JOBLOG_OK);
    joblog_dispatcher_flush(d);
    assert_int_equal(sem_trywait(&first.told), -1);      /* its answer came too late to be told */
    assert_int_equal(client_fixture_waiting("late"), 4); /* what became of it is unknown to its caller only */
    /* Nobody waits on the stream any more, which still gives no answer: the next has another. */
    run(conn, "BEGIN");
    run(conn, "LOCK TABLE joblog.waiting IN EXCLUSIVE MODE");
    assert_int_equal(joblog_dispatcher_dispatch(d, &spec, NULL, &error), -JOBLOG_DEADLINE_EXCEEDED);
    run(conn, "COMMIT");
    assert_ok(joblog_dispatcher_dispatch(d, &spec, NULL, &error));
    PQfinish(conn);
    joblog_dispatcher_free(d);
    joblog_close(meanwhile);
    joblog_close(c);
    sem_destroy(&first.told);
    sem_destroy(&second.told);
}

/* The second call of a bulk gets no answer: what the first has done is told beside the error. */
static void test_a_bulk_that_breaks_off_tells_what_it_did(void **state)
{
    (void)state;
    enum { N = 600, OF_FIRST_CALL = 500 };
    static struct joblog_spec specs[N];
    static const char *const queues[] = {"broken-off"};
    const struct joblog_filter filter = {.queues = queues, .n_queues = 1};
    const struct joblog_options options = {.timeout_ms = 5000, .no_retry = true};
    struct joblog_client *c = client_of(&options);
    struct joblog_bulk_outcome *outcome = NULL;
    struct joblog_outcome *outcomes = NULL;
    char sql[100];
    size_t n = 0;
    for (int i = 0; i < N; i++)
        specs[i] = (struct joblog_spec){.job_name = "bulk", .queue = queues[0]};
    assert_ok(joblog_dispatch_many(client, specs, N, &outcomes, &n, &error));
    snprintf(sql, sizeof sql, "UPDATE joblog.waiting SET id = id WHERE id = %lld", (long long)outcomes[0].id);
    PGconn *conn = PQconnectdb(client_fixture_database());
    run(conn, "BEGIN");
    run(conn, sql); /* the oldest, which is cancelled last */
    assert_int_equal(joblog_cancel_jobs(c, &filter, NULL, &outcome, &error), -JOBLOG_DEADLINE_EXCEEDED);
    assert_non_null(outcome);
    assert_int_equal(outcome->matched, OF_FIRST_CALL);
    assert_int_equal(outcome->changed, OF_FIRST_CALL);
    joblog_bulk_outcome_free(outcome);
    run(conn, "ROLLBACK");
    PQfinish(conn);
    joblog_outcomes_free(outcomes);
    joblog_close(c);
}

static int setup(void **state)
{
    static const char *const args[] = {"--max-message-bytes=4096", NULL};
    (void)state;
    return client_fixture_start(args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_dispatcher_makes_messages_as_small_as_the_server_takes),
        cmocka_unit_test(test_a_job_that_is_too_large_is_refused_alone),
        cmocka_unit_test(test_many_go_in_messages_as_small_as_the_server_takes),
        cmocka_unit_test(test_a_job_without_tries_times_out_alone),
        cmocka_unit_test(test_a_bulk_that_breaks_off_tells_what_it_did),
    };
    return cmocka_run_group_tests(tests, setup, client_fixture_teardown);
}
