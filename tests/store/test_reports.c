/* Progress of one job, some of it with a patch of the payload: that waits for its commit, progress alone for nothing.
 * Whatever is written when, what was reported last stands. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <string.h>

static struct store_progress report_of(int64_t id, int64_t token, int64_t done, const char *patch)
{
    return (struct store_progress){.cmd.op = STORE_PROGRESS,
                                   .job_id = id,
                                   .token = token,
                                   .has_progress = true,
                                   .progress = {.done = done, .total = 10},
                                   .payload_patch = span_str(patch)};
}

/* Until it is closed the database's writes to this table wait. */
static PGconn *lock_table(const char *sql)
{
    PGconn *locker = PQconnectdb(store_uri());

    PQclear(PQexec(locker, sql));
    assert_int_equal(PQtransactionStatus(locker), PQTRANS_INTRANS);
    return locker;
}

static void submit(struct store *s, struct store_cmd *cmd, struct waiter *waiter)
{
    struct err err;

    cmd->done = &waiter->tag;
    assert_int_equal(store_submit(s, cmd, &err), 0);
}

/* Until somebody waits for the locked table. */
static void await_waiting(void)
{
    await_sql("select (count(*) > 0)::int from pg_locks where not granted");
}

/* All of them gather behind a batch that stands still, and reach the writer at once. */
static void submit_together(struct store *s, struct store_progress *p, int n, struct store_finish *end)
{
    struct waiter *waiter = waiter_new();
    int64_t token, other = start_ok(s, a_job("other"), &token);
    struct store_finish first = {.cmd.op = STORE_FINISH, .job_id = other, .token = token, .outcome = ATTEMPT_COMPLETED};
    PGconn *locker = lock_table("begin; lock table joblog.job_state in exclusive mode");

    submit(s, &first.cmd, waiter);
    await_waiting();
    for (int i = 0; i < n; i++)
        submit(s, &p[i].cmd, waiter);
    if (end)
        submit(s, &end->cmd, waiter);
    PQfinish(locker);
    for (int i = 0; i < n + 1 + (end != NULL); i++)
        assert_true(waiter_wait(waiter));
    assert_int_equal(first.cmd.err.code, ERR_OK);
    waiter_free(waiter);
}

static void test_the_last_report_stands(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, id = start_ok(s, a_job("mail"), &token);
    struct store_finish end = {.cmd.op = STORE_FINISH, .job_id = id, .token = token, .outcome = ATTEMPT_COMPLETED};
    struct store_progress p[] = {
        report_of(id, token, 1, "{\"first\": 1}"),
        report_of(id, token, 9, ""),
        report_of(id, token, 2, "{\"third\": 3}"),
        report_of(id, token, 10, ""),
    };
    struct job got;

    (void)state;
    submit_together(s, p, 4, &end);
    for (int i = 0; i < 4; i++)
        assert_int_equal(p[i].cmd.err.code, ERR_OK);
    assert_int_equal(end.cmd.err.code, ERR_OK);
    got = get_ok(s, id);
    assert_int_equal(got.status, JOB_COMPLETED);
    assert_int_equal(got.progress.done, 10);
    assert_true(got.progress.percent == 100);
    assert_true(span_eq(got.payload, SPAN_LIT("{\"first\": 1, \"third\": 3}")));
    store_close(s);
}

/* The other way round: what comes with the patch is the newest. */
static void test_a_report_with_a_patch_stands_too(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, id = start_ok(s, a_job("mail"), &token);
    struct store_finish end = {.cmd.op = STORE_FINISH, .job_id = id, .token = token, .outcome = ATTEMPT_COMPLETED};
    struct store_progress p[] = {report_of(id, token, 3, ""), report_of(id, token, 7, "{\"x\": 1}"),
                                 report_of(id, token, 5, "{\"y\": 2}")};

    (void)state;
    submit_together(s, p, 3, &end);
    assert_int_equal(end.cmd.err.code, ERR_OK);
    assert_int_equal(get_ok(s, id).progress.done, 5);
    store_close(s);
}

/* A refused patch takes its own progress along, and nobody else's. */
static void test_a_refused_report_changes_nothing(void **state)
{
    static char patch[1100 * 1024] = "{\"long\": \"";
    struct store *s = store_fresh(NULL);
    int64_t token, id = start_ok(s, a_job("mail"), &token);
    struct store_finish end = {.cmd.op = STORE_FINISH, .job_id = id, .token = token, .outcome = ATTEMPT_COMPLETED};
    size_t len = strlen(patch);

    (void)state;
    memset(patch + len, 'x', sizeof patch - len - 3);
    memcpy(patch + sizeof patch - 3, "\"}", 3);
    struct store_progress p[] = {report_of(id, token, 4, ""), report_of(id, token, 6, patch)};
    submit_together(s, p, 2, &end);
    assert_int_equal(p[0].cmd.err.code, ERR_OK);
    assert_int_equal(p[1].cmd.err.code, ERR_INVALID_ARGUMENT);
    assert_int_equal(end.cmd.err.code, ERR_OK);
    assert_int_equal(get_ok(s, id).progress.done, 4);
    store_close(s);
}

/* A worker comes by a new stream, perhaps at another replica, and reports: the first report moves its lease there and
 * needs a commit. One that comes after that does not wait for those before it, which still do. */
static void move_and_report(struct store *from, struct store *to)
{
    struct worker w = worker_open(from, "w1", "q"), again;
    struct waiter *waiter = waiter_new();
    struct store_progress p[3];
    PGconn *locker;
    int64_t id, token;

    worker_credit(&w, 1);
    id = dispatch_ok(from, a_job("mail"));
    assert_int_equal(worker_lease(&w, &token), id);
    worker_close(&w, true);
    again = worker_open(to, "w1", "q");
    for (int i = 0; i < 3; i++) {
        p[i] = report_of(id, token, i + 1, "");
        p[i].session_id = again.id;
    }
    locker = lock_table("begin; lock table joblog.lease in exclusive mode");
    submit(to, &p[0].cmd, waiter);
    submit(to, &p[1].cmd, waiter);
    await_waiting();
    submit(to, &p[2].cmd, waiter);
    PQfinish(locker);
    for (int i = 0; i < 3; i++)
        assert_true(waiter_wait(waiter));
    for (int i = 0; i < 3; i++)
        assert_int_equal(p[i].cmd.err.code, ERR_OK);
    assert_int_equal(finish(to, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_int_equal(get_ok(to, id).progress.done, 3);
    worker_close(&again, false);
    waiter_free(waiter);
}

static void test_the_last_report_of_a_worker_that_moved(void **state)
{
    struct store *s = store_fresh(NULL);

    (void)state;
    move_and_report(s, s);
    store_close(s);
}

static void test_the_last_report_of_a_worker_that_moved_elsewhere(void **state)
{
    struct store *a = store_fresh(NULL), *b = store_again(NULL);

    (void)state;
    move_and_report(a, b);
    store_close(a);
    store_close(b);
}

/* A lease of its own that is reported on here and there: each replica counts for itself. */
static void test_reports_through_two_replicas_in_turn(void **state)
{
    struct store *a = store_fresh(NULL), *b = store_again(NULL);
    int64_t token, id = start_ok(a, a_job("mail"), &token);

    (void)state;
    for (int i = 1; i <= 6; i++) {
        struct store_progress p = report_of(id, token, i, i % 3 ? "" : "{\"x\": 1}");
        assert_int_equal(run_cmd(i == 2 || i == 5 ? b : a, &p.cmd), 0);
    }
    assert_int_equal(finish(b, id, token, ATTEMPT_COMPLETED).status, JOB_COMPLETED);
    assert_int_equal(get_ok(a, id).progress.done, 6);
    store_close(a);
    store_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_report_stands),
        cmocka_unit_test(test_a_report_with_a_patch_stands_too),
        cmocka_unit_test(test_a_refused_report_changes_nothing),
        cmocka_unit_test(test_the_last_report_of_a_worker_that_moved),
        cmocka_unit_test(test_the_last_report_of_a_worker_that_moved_elsewhere),
        cmocka_unit_test(test_reports_through_two_replicas_in_turn),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
