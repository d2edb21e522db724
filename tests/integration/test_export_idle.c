/* Connections for files are used again: which, for how long, and what happens when one has died meanwhile. Real
 * PostgreSQL, no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>

#include "base/clock.h"
#include "export/idle.h"
#include "pg/pg.h"
#include "support/chunk_fixture.h"

#define FILES "FROM pg_stat_activity WHERE application_name = 'joblogd export files'"

static struct chunk_store pooled;

static void close_conn(void *conn)
{
    pg_close(conn);
}

static int with_idle(void **state)
{
    use_database(state);
    pooled = stores[EXPORT_IN_DATABASE];
    pooled.idle = export_idle_new(close_conn);
    return pooled.idle ? 0 : -1;
}

static int without_idle(void **state)
{
    (void)state;
    export_idle_free(pooled.idle);
    return 0;
}

/* Until PostgreSQL has ended all but n of them. */
static void await_connections(int64_t n)
{
    while (ask("SELECT count(*) " FILES) != n) /* ends by the test's own time-out */
        run_sql("SELECT pg_sleep(0.01)");
}

/* A file of job 7 is begun. */
static struct chunk_sink *open_file(int64_t token)
{
    struct chunk_owner owner = {7, token};
    struct chunk_sink *sink = NULL;
    struct export_file file = file_of(3);
    struct err err = ERR_NONE;
    int64_t used = -1;
    if (begin_file(&pooled, &owner, &file, &sink, &used, &err) != 0)
        fail_msg("%s", err.msg);
    return sink;
}

static void end_file(struct chunk_sink *sink)
{
    struct export_file file = file_of(3);
    struct err err = ERR_NONE;
    assert_int_equal(pooled.write(sink, 0, SPAN_LIT("abc"), 1, &err), 0);
    if (pooled.commit(sink, &file, SPAN_LIT("ann"), 0, &err) != 0)
        fail_msg("%s", err.msg);
    pooled.close(sink);
}

/* The next attempt at the job; its token. */
static int64_t next_attempt(void)
{
    run_sql("UPDATE joblog.lease SET token = token + 1");
    return ask("SELECT token FROM joblog.lease");
}

static void a_connection_serves_file_after_file(void **state)
{
    (void)state;
    end_file(open_file(70));
    int64_t pid = ask("SELECT min(pid) " FILES);
    for (int i = 0; i < 3; i++) {
        int64_t token = next_attempt();
        end_file(open_file(token));
        assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk"), 1);
        assert_int_equal(ask("SELECT token FROM joblog.export_file"), token);
    }
    assert_int_equal(ask("SELECT min(pid) " FILES), pid);
    assert_int_equal(ask("SELECT count(*) " FILES), 1);
}

static void one_that_was_cut_is_replaced(void **state)
{
    (void)state;
    end_file(open_file(70));
    int64_t pid = ask("SELECT min(pid) " FILES);
    run_sql("SELECT pg_terminate_backend(pid, 20000) " FILES);
    int64_t token = next_attempt();
    end_file(open_file(token));
    assert_int_equal(ask("SELECT token FROM joblog.export_file"), token);
    assert_true(ask("SELECT min(pid) " FILES) != pid);
}

/* Its server may be gone without a word. */
static void one_that_does_not_answer_is_replaced(void **state)
{
    (void)state;
    end_file(open_file(70));
    int64_t pid = ask("SELECT min(pid) " FILES), begin_ms = clock_mono_ms();
    assert_int_equal(kill((pid_t)pid, SIGSTOP), 0);
    int64_t token = next_attempt();
    struct chunk_sink *sink = open_file(token);
    int64_t took_ms = clock_mono_ms() - begin_ms;
    assert_int_equal(kill((pid_t)pid, SIGCONT), 0);
    end_file(sink);
    assert_int_equal(ask("SELECT token FROM joblog.export_file"), token);
    assert_true(took_ms < 20000); /* TCP would give up after 25 s */
    await_connections(1);
    assert_true(ask("SELECT min(pid) " FILES) != pid);
}

static void one_of_a_file_that_failed_is_closed(void **state)
{
    (void)state;
    struct chunk_sink *sink = open_file(70);
    next_attempt();
    struct export_file file = file_of(3);
    struct err err = ERR_NONE;
    assert_int_equal(pooled.write(sink, 0, SPAN_LIT("abc"), 1, &err), 0);
    assert_int_equal(pooled.commit(sink, &file, SPAN_LIT("ann"), 0, &err), -ERR_FAILED_PRECONDITION);
    pooled.close(sink);
    await_connections(0);
}

/* What an attempt that is over begins is refused on a used connection as on a new one. */
static void a_used_one_is_fenced_too(void **state)
{
    (void)state;
    end_file(open_file(70));
    next_attempt();
    struct chunk_owner owner = {7, 70};
    struct chunk_sink *sink = NULL;
    struct export_file file = file_of(3);
    struct err err = ERR_NONE;
    int64_t used = -1;
    assert_int_equal(begin_file(&pooled, &owner, &file, &sink, &used, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "LEASE_LOST");
}

static void they_are_few_and_do_not_stay(void **state)
{
    enum { MANY = 6 };
    struct chunk_sink *sinks[MANY];
    (void)state;
    for (int i = 0; i < MANY; i++) { /* the rest of the fence does not matter here: each has a job of its own */
        char sql[160];
        snprintf(sql, sizeof sql,
                 "INSERT INTO joblog.lease (job_id, token, start_time, revision, lane_id) VALUES (%d, 70, now(), 1, 1)",
                 100 + i);
        run_sql(sql);
        struct chunk_owner owner = {100 + i, 70};
        struct export_file file = file_of(3);
        struct err err = ERR_NONE;
        int64_t used;
        assert_int_equal(begin_file(&pooled, &owner, &file, &sinks[i], &used, &err), 0);
    }
    assert_int_equal(ask("SELECT count(*) " FILES), MANY);
    for (int i = 0; i < MANY; i++)
        end_file(sinks[i]);
    await_connections(4);
    int64_t now_ms = clock_mono_ms();
    export_idle_trim(pooled.idle, now_ms);
    assert_int_equal(ask("SELECT count(*) " FILES), 4);
    struct pg_conn *kept = export_idle_take(pooled.idle);
    assert_true(export_idle_put(pooled.idle, kept, now_ms + EXPORT_IDLE_MS));
    export_idle_trim(pooled.idle, now_ms + EXPORT_IDLE_MS);
    await_connections(1);
    export_idle_trim(pooled.idle, now_ms + INT64_C(2) * EXPORT_IDLE_MS);
    await_connections(0);
    assert_null(export_idle_take(pooled.idle));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_connection_serves_file_after_file, with_idle, without_idle),
        cmocka_unit_test_setup_teardown(one_that_was_cut_is_replaced, with_idle, without_idle),
        cmocka_unit_test_setup_teardown(one_that_does_not_answer_is_replaced, with_idle, without_idle),
        cmocka_unit_test_setup_teardown(one_of_a_file_that_failed_is_closed, with_idle, without_idle),
        cmocka_unit_test_setup_teardown(a_used_one_is_fenced_too, with_idle, without_idle),
        cmocka_unit_test_setup_teardown(they_are_few_and_do_not_stay, with_idle, without_idle),
    };
    return cmocka_run_group_tests(tests, chunk_fixture_start, chunk_fixture_stop);
}
