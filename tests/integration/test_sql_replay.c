/* joblog.dispatch with a request id: the same again is the same job, whatever the session is set to; another is
 * refused. */
#include <stdio.h>

#include "sql_rig.h"

static void request_ids_replay(void **state)
{
    (void)state;
    int64_t id = ask(db, "select joblog.dispatch('once', '{\"a\": 1}', queue => 'once', request_id => 'r-1')");
    assert_int_equal(ask(db, "select joblog.dispatch('once', '{\"a\": 1}', queue => 'once', request_id => 'r-1')"), id);
    expect_refused(db, "select joblog.dispatch('once', '{\"a\": 2}', queue => 'once', request_id => 'r-1')", "23505",
                   "request_id");
    /* One that was used by a call. */
    Joblog__V1__JobSpec spec = spec_of("once", "once");
    struct err err = ERR_NONE;
    job_free(call_dispatch(channel, &spec, "r-2", &err));
    expect_refused(db, "select joblog.dispatch('once', queue => 'once', request_id => 'r-2')", "23505", "request_id");
    assert_null(call_dispatch(channel, &spec, "r-1", &err));
    assert_string_equal(err.reason, "REQUEST_ID_REUSED");
    assert_counters_exact();
}

/* Another pool, or another host: its sessions write times, intervals and numbers in other words. */
static void request_ids_replay_in_any_session(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "set timezone = 'Europe/Madrid'",    "set intervalstyle = 'iso_8601'", "set datestyle = 'SQL, DMY'",
        "set extra_float_digits = -6",       "set bytea_output = 'escape'",    "set joblog.quiet = 'on'",
        "set search_path = pg_temp, public",
    };
    static const char dispatch[] =
        "select joblog.dispatch('once', '{\"a\": 1.50}', queue => 'once', request_id => 'r-session',"
        " run_time => '2030-01-01T00:00:00.123456Z', max_attempts => 3, initial_backoff => '1.5 s',"
        " max_backoff => '1 day 2 hours', multiplier => 1.123456789012345, jitter => 0.1, start_timeout => '3 days')";
    PGconn *other = PQconnectdb(uri);
    must_sql(db, "set timezone = 'UTC'; set intervalstyle = 'postgres'; set extra_float_digits = 1");
    int64_t id = ask(db, dispatch), plain = ask(db, "select joblog.dispatch('once', request_id => 'r-plain')");
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        must_sql(other, sets[i]);
        assert_int_equal(ask(other, dispatch), id);
        assert_int_equal(ask(other, "select joblog.dispatch('once', request_id => 'r-plain')"), plain);
    }
    /* What differs by little is another request all the same. */
    static const char *const others[] = {
        "run_time => now()", "initial_backoff => '1.000001 s'",  "max_backoff => '1 hour'",
        "multiplier => 2",   "multiplier => 2.0000000000000004", "jitter => 5e-324",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char sql[200];
        snprintf(sql, sizeof sql, "select joblog.dispatch('once', request_id => 'r-plain', %s)", others[i]);
        expect_refused(other, sql, "23505", "request_id");
    }
    PQfinish(other);
    must_sql(db, "reset all");
    assert_counters_exact();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_ids_replay),
        cmocka_unit_test(request_ids_replay_in_any_session),
    };
    return cmocka_run_group_tests(tests, sql_rig_start, sql_rig_stop);
}
