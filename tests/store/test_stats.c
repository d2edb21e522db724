/* Statistics: sums by range and bucket equal a recount of the minutes, whether these have been summed up to hours and
 * days or not; the backlog; what the janitor deletes. */
#include "store_fixture.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "store/stats_cache.h"

#define MINUTE_US INT64_C(60000000)
#define HOUR_US   (60 * MINUTE_US)
#define DAY_US    (24 * HOUR_US)

static struct arena arena;

static int64_t floor_to(int64_t us, int64_t length)
{
    return us - us % length;
}

static int setup(void **state)
{
    arena_init(&arena, NULL, 0, 0);
    return store_group_setup(state);
}

static int teardown(void **state)
{
    arena_done(&arena);
    return store_group_teardown(state);
}

/* Two lanes, a row every seven minutes for twenty days, none summed up yet; as if two replicas had written them. */
static void make_minutes(void)
{
    struct store *s = store_fresh(NULL);

    dispatch_ok(s, a_job("a"));
    dispatch_ok(s, a_job("b"));
    store_close(s); /* its janitor would be at them already */
    sql_value("delete from joblog.minute");
    sql_value("insert into joblog.minute select m, l, r, 7 + l, 5, 2, 1, 3, 7, 700, 70, '[3:4]={3,4}',"
              " ('[' || l || ':' || l || ']={7}')::int[]"
              " from generate_series(date_trunc('minute', now() - interval '20 days'), now() - interval '3 minutes',"
              "                      '7 minutes') m, generate_series(0, 1) r, (select lane_id l from joblog.lane) x");
    sql_value("update joblog.rollup_mark set until = date_trunc('day', now() - interval '20 days', 'UTC')");
}

static const char summed_up[] =
    "select (select min(until) from joblog.rollup_mark where span = 1) >= date_trunc('hour', now() - interval"
    " '17 minutes', 'UTC') and (select min(until) from joblog.rollup_mark where span = 2) >="
    " date_trunc('day', now() - interval '75 minutes', 'UTC')";

static const char mark_now[] =
    "select (extract(epoch from until) * 1000000)::bigint from joblog.rollup_mark where span = 1";

static int64_t await_rollup(void)
{
    char sql[600];

    snprintf(sql, sizeof sql, "select (%s)::int", summed_up);
    await_sql(sql);
    return sql_int(mark_now);
}

static struct store_stats stats_of(struct store *s, int64_t from_us, int64_t to_us, int64_t bucket_us)
{
    struct store_stats st = {
        .cmd.op = STORE_STATS, .arena = &arena, .from_us = from_us, .to_us = to_us, .bucket_us = bucket_us};

    if (run_cmd(s, &st.cmd) < 0)
        fail_msg("stats: %s", st.cmd.err.msg);
    return st;
}

static int64_t recount(const char *what, int64_t from_us, int64_t to_us)
{
    char sql[400];

    snprintf(sql, sizeof sql,
             "select coalesce(sum(%s), 0) from kept_minute where minute >= to_timestamp(%" PRId64
             ") and minute < to_timestamp(%" PRId64 ")",
             what, from_us / 1000000, to_us / 1000000);
    return sql_int(sql);
}

/* Kept apart, since the janitor deletes the old ones. */
static void keep_minutes(void)
{
    sql_value("create table public.kept_minute as select * from joblog.minute");
}

static void check_range(struct store *s, int64_t from_us, int64_t to_us, int64_t bucket_us)
{
    struct store_stats st = stats_of(s, from_us, to_us, bucket_us);
    int64_t dispatched = 0, runs = 0, hist = 0, wait = 0, parts = 0;

    for (size_t i = 0; i < st.n_rows; i++) {
        dispatched += st.rows[i].sums.dispatched;
        runs += st.rows[i].sums.n_runs;
        hist += st.rows[i].sums.run_hist[4];
        for (int k = 0; k < HISTOGRAM_BUCKETS; k++)
            wait += st.rows[i].sums.wait_hist[k];
    }
    assert_int_equal(dispatched, recount("dispatched", from_us, to_us));
    assert_int_equal(runs, recount("n_runs", from_us, to_us));
    assert_int_equal(hist, recount("4", from_us, to_us));
    assert_int_equal(wait, recount("7", from_us, to_us));
    assert_int_equal(st.n_buckets, bucket_us ? (to_us - from_us + bucket_us - 1) / bucket_us : 0);
    for (size_t i = 0; i < st.n_buckets; i++) {
        int64_t start = from_us + (int64_t)i * bucket_us, stop = start + bucket_us < to_us ? start + bucket_us : to_us;
        assert_int_equal(st.buckets[i].dispatched, recount("dispatched", start, stop));
        parts += st.buckets[i].dispatched;
    }
    if (bucket_us)
        assert_int_equal(parts, dispatched);
    arena_reset(&arena);
}

static void check_ranges(struct store *s, int64_t mark_us)
{
    int64_t day = floor_to(mark_us, DAY_US), now = floor_to(clock_wall_us(), MINUTE_US);

    check_range(s, now - DAY_US, now + MINUTE_US, 0);
    check_range(s, now - HOUR_US, now, MINUTE_US);
    check_range(s, mark_us - 5 * HOUR_US, now, HOUR_US);
    check_range(s, day - 9 * DAY_US, now, DAY_US);
    check_range(s, day - 9 * DAY_US, day - DAY_US, DAY_US);
    /* Edges on and beside hours and days. */
    check_range(s, day - 3 * DAY_US, day - 2 * DAY_US, 0);
    check_range(s, day - 3 * DAY_US - MINUTE_US, day - 2 * DAY_US + MINUTE_US, 0);
    check_range(s, day - 3 * DAY_US + MINUTE_US, day - 2 * DAY_US - MINUTE_US, 0);
    check_range(s, day - HOUR_US, day + HOUR_US, 0);
    check_range(s, day - HOUR_US + MINUTE_US, day - MINUTE_US, 0);
    check_range(s, day, day + MINUTE_US, 0);
    check_range(s, mark_us, mark_us + MINUTE_US, 0);
    check_range(s, now + HOUR_US, now + 2 * HOUR_US, HOUR_US);
}

static void test_hours_and_days_equal_the_minutes(void **state)
{
    struct store *s;

    (void)state;
    make_minutes();
    keep_minutes();
    s = store_again(NULL);
    check_ranges(s, await_rollup());
    /* Two weeks are kept, and everything is there all the same. */
    await_sql("select (min(minute) >= now() - interval '14 days 1 minute')::int from joblog.minute");
    assert_true(sql_int("select count(*) from joblog.minute") > 10000);
    int64_t day = floor_to(clock_wall_us(), DAY_US);
    check_range(s, day - 19 * DAY_US, day, DAY_US);
    check_range(s, day - 19 * DAY_US, day - 18 * DAY_US, HOUR_US);
    /* What has come to rest is in memory by now: it is there whatever the tables hold. Nothing is summed up meanwhile.
     */
    PGconn *c = PQconnectdb(store_uri());
    PQclear(PQexec(c, "begin"));
    PQclear(PQexec(c, "lock table joblog.rollup_mark in share mode"));
    check_ranges(s, sql_int(mark_now));
    check_range(s, day - 19 * DAY_US, day, DAY_US);
    sql_value("delete from joblog.rollup");
    check_ranges(s, sql_int(mark_now));
    check_range(s, day - 19 * DAY_US, day, DAY_US);
    PQfinish(c);
    store_close(s);
}

/* A slot of two lanes, with a histogram of n buckets. */
static struct stats_slot *a_slot(int64_t hour, int n)
{
    struct stats_slot *slot = stats_slot_new(STATS_HOUR, hour * HOUR_US);
    struct stats_sums sums = {.dispatched = hour, .wait_us_sum = INT64_C(1) << 40};

    for (int i = 0; i < n; i++)
        sums.run_hist[HISTOGRAM_BUCKETS - 1 - i] = i + 1;
    assert_true(slot && stats_slot_add(slot, 7, &sums));
    sums.dispatched = 1;
    assert_true(stats_slot_add(slot, 8, &sums));
    return slot;
}

static void assert_slot(const struct stats_slot *slot, int64_t hour, int n)
{
    struct stats_sums sums = {.run_hist = {0}};
    const struct stats_lane *lane;
    int32_t ids = 0;

    for (size_t at = 0; (lane = stats_slot_next(slot, &at));) {
        stats_lane_add(lane, &sums);
        ids = ids * 10 + stats_lane_id(lane);
    }
    assert_int_equal(ids, 78);
    assert_int_equal(sums.dispatched, hour + 1);
    assert_int_equal(sums.wait_us_sum, INT64_C(2) << 40);
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        assert_int_equal(sums.run_hist[HISTOGRAM_BUCKETS - 1 - i], i < n ? 2 * (i + 1) : 0);
}

static void test_memory_is_bounded(void **state)
{
    enum { MAX = 20000 };
    struct stats_cache *cache = stats_cache_new(MAX);

    (void)state;
    for (int64_t hour = 0; hour < 500; hour++) {
        struct stats_slot *slot = a_slot(hour, (int)(hour % (HISTOGRAM_BUCKETS + 1)));
        stats_cache_put(cache, slot);
        stats_slot_unref(slot);
        assert_true(stats_cache_bytes(cache) <= MAX);
        slot = stats_cache_get(cache, STATS_HOUR, hour * HOUR_US);
        assert_slot(slot, hour, (int)(hour % (HISTOGRAM_BUCKETS + 1)));
        stats_slot_unref(slot);
        assert_null(stats_cache_get(cache, STATS_DAY, hour * HOUR_US));
    }
    assert_null(stats_cache_get(cache, STATS_HOUR, 0));
    /* What is larger than the cache does not empty it. */
    struct stats_slot *huge = stats_slot_new(STATS_DAY, DAY_US);
    for (int i = 0; i < 1000; i++)
        assert_true(stats_slot_add(huge, i, &(struct stats_sums){.dispatched = 1}));
    stats_cache_put(cache, huge);
    stats_slot_unref(huge);
    assert_null(stats_cache_get(cache, STATS_DAY, DAY_US));
    struct stats_slot *last = stats_cache_get(cache, STATS_HOUR, 499 * HOUR_US);
    assert_non_null(last);
    stats_cache_free(cache); /* who has a reference keeps it */
    assert_slot(last, 499, 499 % (HISTOGRAM_BUCKETS + 1));
    stats_slot_unref(last);
}

static void test_minutes_that_are_not_summed_up_stay(void **state)
{
    struct store *s;

    (void)state;
    make_minutes();
    int64_t n = sql_int("select count(*) from joblog.minute where minute > now() - interval '15 minutes'");
    s = store_again(&(struct store_options){.minute_days = 1});
    await_rollup();
    await_sql("select (min(minute) >= now() - interval '1 day 1 minute')::int from joblog.minute");
    assert_true(n > 0 &&
                sql_int("select count(*) from joblog.minute where minute > now() - interval '15 minutes'") >= n);
    store_close(s);
}

/* Of a request id that is old enough: the janitor deletes it after it has read the statistics. What its connection did
 * last tells nothing, as its statements are shown there while they are prepared, too. */
static const char put_old_request[] =
    "insert into joblog.request values ('of the day before', 1, '', now() - interval '2 days')";
static const char old_request_is_gone[] =
    "select (count(*) = 0)::int from joblog.request where request_id = 'of the day before'";

/* PostgreSQL's end of a connection outlives ours for a moment. */
static const char no_janitor[] = "select (count(*) = 0)::int from pg_stat_activity"
                                 " where application_name = 'joblog janitor' and datname = current_database()";

static void test_the_first_statistics_after_a_start_are_in_memory(void **state)
{
    struct store *s;

    (void)state;
    make_minutes();
    keep_minutes();
    s = store_again(NULL);
    int64_t mark_us = await_rollup(), day_us = floor_to(mark_us, DAY_US);
    store_close(s);
    await_sql(no_janitor);
    sql_value(put_old_request);
    s = store_again(NULL);
    await_sql(old_request_is_gone);
    sql_value("delete from joblog.rollup");
    sql_value("delete from joblog.minute where minute < (select until from joblog.rollup_mark where span = 1)");
    check_range(s, day_us - 19 * DAY_US, floor_to(clock_wall_us(), MINUTE_US), DAY_US);
    check_range(s, mark_us - 7 * DAY_US, mark_us, HOUR_US);
    store_close(s);
}

/* Minutes that may have been deleted are not told, whether they have been or not, and whoever has them in memory. */
static void test_minutes_are_not_told_for_longer_than_they_are_kept(void **state)
{
    struct store *s;

    (void)state;
    make_minutes();
    s = store_again(NULL);
    await_rollup();
    int64_t old_us = floor_to(clock_wall_us(), MINUTE_US) - 3 * DAY_US;
    struct store_stats st = stats_of(s, old_us - HOUR_US, old_us, MINUTE_US); /* into memory */
    assert_true(st.rows[0].sums.dispatched > 0);
    store_close(s);
    s = store_again(&(struct store_options){.minute_days = 2});
    st = stats_of(s, old_us - HOUR_US, old_us, MINUTE_US);
    assert_int_equal(st.rows[0].sums.dispatched, 0);
    st = stats_of(s, old_us + 2 * DAY_US - HOUR_US, old_us + 2 * DAY_US, MINUTE_US);
    assert_true(st.rows[0].sums.dispatched > 0);
    arena_reset(&arena);
    store_close(s);
}

static const struct stats_row *row_named(const struct store_stats *st, const char *name)
{
    for (size_t i = 0; i < st->n_rows; i++)
        if (span_eq(st->rows[i].name, span_str(name)))
            return &st->rows[i];
    fail_msg("no row %s", name);
    return NULL;
}

static void test_backlog(void **state)
{
    struct store *s = store_fresh(NULL);
    struct job urgent = a_job("a"), later = a_job("b");
    int64_t before = clock_wall_us(), now;

    (void)state;
    dispatch_ok(s, a_job("a")); /* the oldest, behind the urgent one */
    int64_t between = clock_wall_us();
    urgent.priority = 5;
    dispatch_ok(s, urgent);
    later.run_us = clock_wall_us() + DAY_US;
    dispatch_ok(s, later);
    now = clock_wall_us();
    struct store_stats st = stats_of(s, now - HOUR_US, now + HOUR_US, 0);
    assert_int_equal(row_named(&st, "a")->counts[JOB_PENDING], 2);
    assert_in_range(row_named(&st, "a")->waiting_since_us, before, between);
    assert_int_equal(row_named(&st, "b")->counts[JOB_PENDING], 1);
    assert_int_equal(row_named(&st, "b")->waiting_since_us, 0);
    assert_int_equal(st.n_workers, 0);
    struct worker w = worker_open(s, "w", "q");
    st = stats_of(s, now - HOUR_US, now + HOUR_US, 0);
    assert_int_equal(st.n_workers, 1);
    worker_close(&w, false);
    store_close(s);
}

static int64_t workers_of(struct store *s, const char *queue, const char *name)
{
    struct span queues = span_str(queue ? queue : ""), names = span_str(name ? name : "");
    int64_t now = clock_wall_us();
    struct store_stats st = {.cmd.op = STORE_STATS,
                             .arena = &arena,
                             .queues = &queues,
                             .n_queues = queue != NULL,
                             .names = &names,
                             .n_names = name != NULL,
                             .from_us = now - HOUR_US,
                             .to_us = now};

    assert_int_equal(run_cmd(s, &st.cmd), 0);
    return st.n_workers;
}

/* Who serves what was asked for. The server's own are nobody's, until their queue is asked for. */
static void test_workers_of_queues_and_names(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w", "q"), other = worker_open(s, "w", "r"), own = worker_open(s, "w", "joblog.x");

    (void)state;
    assert_int_equal(workers_of(s, NULL, NULL), 2);
    assert_int_equal(workers_of(s, "q", NULL), 1);
    assert_int_equal(workers_of(s, "nobody's", NULL), 0);
    assert_int_equal(workers_of(s, "joblog.x", NULL), 1);
    assert_int_equal(workers_of(s, "q", "any"), 1);
    sql_value("update joblog.session set job_names = '[\"mail\", \"report\"]' where queues @> '[\"q\"]'");
    assert_int_equal(workers_of(s, "q", "any"), 0);
    assert_int_equal(workers_of(s, "q", "report"), 1);
    assert_int_equal(workers_of(s, NULL, "any"), 1);
    worker_close(&own, false);
    worker_close(&other, false);
    worker_close(&w, false);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hours_and_days_equal_the_minutes),
        cmocka_unit_test(test_minutes_that_are_not_summed_up_stay),
        cmocka_unit_test(test_the_first_statistics_after_a_start_are_in_memory),
        cmocka_unit_test(test_minutes_are_not_told_for_longer_than_they_are_kept),
        cmocka_unit_test(test_backlog),
        cmocka_unit_test(test_workers_of_queues_and_names),
        cmocka_unit_test(test_memory_is_bounded),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
