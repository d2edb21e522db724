/* Lists by error, by labels and by what no index knows: which indexes their statements use, and what they find. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/engine.h"
#include "store/sql_text.h"

/* As the readers have it. */
static const char settings[] = "set plan_cache_mode = force_generic_plan; set enable_hashjoin = off;"
                               " set enable_mergejoin = off; set enable_seqscan = off;";

static void run(PGconn *c, const char *sql)
{
    PGresult *r = PQexec(c, sql);

    if (PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s", PQerrorMessage(c));
    PQclear(r);
}

/* The plan as one text; to be freed. */
static char *plan_of(enum sql_id id, const char *arguments)
{
    PGconn *c = PQconnectdb(store_uri());
    char text[16384], *plan;
    PGresult *r;

    run(c, settings);
    snprintf(text, sizeof text, "prepare q as %s", sql_texts[id].text);
    run(c, text);
    snprintf(text, sizeof text, "explain (format json) execute q(%s)", arguments);
    r = PQexec(c, text);
    if (PQresultStatus(r) != PGRES_TUPLES_OK)
        fail_msg("%s", PQerrorMessage(c));
    plan = strdup(PQgetvalue(r, 0, 0));
    PQclear(r);
    PQfinish(c);
    return plan;
}

static void test_errors_have_an_index(void **state)
{
    struct store *s = store_fresh(NULL);
    char *plan = plan_of(SQL_LIST_BY_ERROR,
                         "9223372036854775807, 0, 51, 0, null, null, null, null, null, null, null, null, null, '{E}'");

    (void)state;
    if (!strstr(plan, "error_type = ") || !strstr(plan, "\"Scan Direction\": \"Backward\"") || strstr(plan, "Seq Scan"))
        fail_msg("%s", plan);
    free(plan);
    store_close(s);
}

static void test_sifting_looks_by_ids(void **state)
{
    struct store *s = store_fresh(NULL);
    char *state_plan = plan_of(SQL_LIST_SIFT, "'{1,2}', null, 'x', null, null, null, null, 4"),
         *payload_plan = plan_of(SQL_LIST_SIFT_PAYLOAD, "'{1,2}', '{a}', '{b}', '{null}'");

    (void)state;
    if (strstr(state_plan, "Seq Scan") || !strstr(state_plan, "id = u.id)"))
        fail_msg("%s", state_plan);
    if (strstr(payload_plan, "Seq Scan") || !strstr(payload_plan, "id = u.id)") || strstr(payload_plan, "job_state"))
        fail_msg("%s", payload_plan);
    free(state_plan);
    free(payload_plan);
    store_close(s);
}

/* What is asked for by ids alone reads the index alone, once vacuum has been there. */
static void test_keys_are_read_from_their_index_alone(void **state)
{
    static const struct {
        enum sql_id id;
        const char *arguments, *index;
    } keys[] = {
        {SQL_LIST_KEY_ALL, "9223372036854775807, 0, 51, 0", "_pkey"},
        {SQL_LIST_KEY_LANE, "9223372036854775807, 0, 51, 0, '{1}'", "_lane_id_id_idx"},
        {SQL_LIST_KEY_OWNER, "9223372036854775807, 0, 51, 0, '{o}'", "_owner_id_idx"},
        {SQL_LIST_KEY_SOURCE, "9223372036854775807, 0, 51, 0, 's', '1'", "_source_type_source_id_id_idx"},
        {SQL_LIST_KEY_TYPE, "9223372036854775807, 0, 51, 0, 's', 2000", "_source_type_source_id_id_idx"},
        {SQL_LIST_KEY_BATCH, "9223372036854775807, 0, 51, 0, 'b'", "_batch_id_idx"},
        {SQL_LIST_KEY_ERROR, "9223372036854775807, 0, 51, 0, '{E}'", "_error_type_id_idx"},
    };
    struct store *s = store_fresh(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char *plan = plan_of(keys[i].id, keys[i].arguments);
        if (!strstr(plan, "\"Index Only Scan\"") || strstr(plan, "\"Index Scan\"") || strstr(plan, "Heap") ||
            !strstr(plan, keys[i].index) ||
            (keys[i].id != SQL_LIST_KEY_TYPE && !strstr(plan, "\"Backward\""))) /* that is put in order afterwards */
            fail_msg("%s: %s", sql_texts[keys[i].id].name, plan);
        free(plan);
    }
    store_close(s);
}

/* Rows that lie far apart are read as bitmaps, whose pages are asked for ahead. */
static void test_pages_are_read_many_at_a_time(void **state)
{
    static const struct {
        enum sql_id id;
        const char *arguments;
    } bitmaps[] = {
        {SQL_LIST_TOUCH_JOB, "array[joblog.id_floor(now())], joblog.id_floor(now()), joblog.id_floor(now())"},
        {SQL_LIST_TOUCH_STATE, "array[joblog.id_floor(now())], joblog.id_floor(now()), joblog.id_floor(now())"},
        {SQL_LIST_BY_OWNER,
         "9223372036854775807, 0, 51, 0, null, null, null, null, null, null, null, null, null, '{o}'"},
        {SQL_LIST_BY_LANE, "9223372036854775807, 0, 51, 0, '{1}', null, null, null, null, null, null, null, null"},
        {SQL_LIST_BY_SOURCE_ID, "9223372036854775807, 0, 51, 0, null, null, 's', '1', null, null, null, null, null"},
    };
    struct store *s = store_fresh(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof bitmaps / sizeof *bitmaps; i++) {
        char *plan = plan_of(bitmaps[i].id, bitmaps[i].arguments);
        if (!strstr(plan, "\"Bitmap Heap Scan\"") || strstr(plan, "Seq Scan") ||
            strstr(plan, "\"Node Type\": \"Index Scan\",\n              \"Parent Relationship\": \"Member\""))
            fail_msg("%s: %s", sql_texts[bitmaps[i].id].name, plan);
        free(plan);
    }
    store_close(s);
}

/* Readers ask for pages ahead. */
static void test_readers_look_ahead(void **state)
{
    struct store *s = store_fresh(NULL);
    struct pg_conn *pg;
    struct err err;

    (void)state;
    assert_int_equal(pg_open(store_uri(), "test", &pg, &err), 0);
    assert_int_equal(prepare_all(pg, false, &err), 0);
    assert_int_equal(pg_prepare(pg, "ahead", "select current_setting('effective_io_concurrency')::int", &err), 0);
    struct pg_result *r = pg_run(pg, "ahead", NULL, &err);
    assert_non_null(r);
    assert_int_equal(pg_int(r, 0, 0), 64);
    pg_free(r);
    pg_close(pg);
    store_close(s);
}

/* 9000 jobs over four months: every second has the label "half", a few have "rare"; completed, failed, pending. */
static const char some_jobs[] =
    "select joblog.ensure_partitions(current_date - 90, current_date);"
    "insert into joblog.lane (queue, job_name) values ('q', 'a'), ('q', 'b');"
    "insert into joblog.job (id, run_time, lane_id, max_attempts, priority, owner, labels, payload)"
    " select joblog.id_floor(now() - i * interval '14 min') + i, now(), 1 + i % 2, 1, 0, 'o' || i % 3,"
    " case when i % 2 = 0 then '{\"half\": \"1\"}'::jsonb else '{}' end ||"
    " case when i % 700 = 3 then '{\"rare\": \"1\"}'::jsonb else '{}' end, '{}' from generate_series(1, 9000) i;"
    "insert into joblog.job_state (id, revision, last_token, run_time, lane_id, attempt, attempts_left, status)"
    " select id, 3 << 20, id, now(), lane_id, 1, 0, 3 + id % 2 from joblog.job where id % 3 > 0";

/* What the function gives is what a plain query gives, over months and behind the jobs that it looks at one by one. */
static const char compare_labels[] =
    "do $$ declare f record; got bigint[]; want bigint[]; n_found int := 0; begin"
    " for f in select l::jsonb, d, st, n, lo.id as lo, hi.id as hi, own from"
    " unnest(array['{\"half\": \"1\"}', '{\"rare\": \"1\"}', '{\"none\": \"1\"}']) l, unnest(array[' DESC', ' ASC']) d,"
    " unnest(array[0, 2, 8, 16]) st, unnest(array[1, 51, 4000]) n, unnest(array[null, 'o1']) own,"
    " (select 0::bigint union all select id from joblog.job where (id >> 22) % 4000 = 7) lo(id),"
    " (select 9223372036854775807 union all select min(id) + 2000000000000000 from joblog.job) hi(id) loop"
    " select coalesce(array_agg(i), '{}') into got from joblog.ids_by_labels(f.hi, f.lo, f.n, f.st, null, f.own, null, "
    "null,"
    " null, f.l, null, null, null, f.d) i;"
    " select coalesce(array_agg(id), '{}') into want from (select j.id from joblog.job j"
    " left join joblog.job_state t on t.id = j.id"
    " where j.labels @> f.l and j.id < f.hi and j.id >= f.lo and (f.own is null or j.owner = f.own)"
    " and (f.st = 0 or f.st >> coalesce(t.status, 1) & 1 = 1)"
    " order by case when f.d = ' ASC' then j.id end, j.id desc limit f.n) x;"
    " if got is distinct from want then raise exception '% gives % and not %', f, got, want; end if;"
    " n_found := n_found + cardinality(got); end loop;"
    " if n_found < 10000 then raise exception 'found only %', n_found; end if; end $$";

static void test_labels_are_found_month_by_month(void **state)
{
    struct store *s = store_fresh(NULL);
    PGconn *c = PQconnectdb(store_uri());

    (void)state;
    PQclear(PQexec(c, some_jobs));
    run(c, settings);
    run(c, compare_labels);
    PQfinish(c);
    store_close(s);
}

/* A name that never fails among many that do. */
static void test_failed_jobs_of_a_name_have_an_index(void **state)
{
    struct store *s = store_fresh(NULL);
    char *plan = plan_of(SQL_LIST_BY_STATUS,
                         "9223372036854775807, 0, 51, 16, '{1}', null, null, null, null, null, null, null, null, 51");

    (void)state;
    if (!strstr(plan, "lane_id_status_id_idx") || !strstr(plan, "(lane_id = u.lane_id) AND (status = 4)"))
        fail_msg("%s", plan);
    free(plan);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_have_an_index),
        cmocka_unit_test(test_sifting_looks_by_ids),
        cmocka_unit_test(test_keys_are_read_from_their_index_alone),
        cmocka_unit_test(test_pages_are_read_many_at_a_time),
        cmocka_unit_test(test_readers_look_ahead),
        cmocka_unit_test(test_labels_are_found_month_by_month),
        cmocka_unit_test(test_failed_jobs_of_a_name_have_an_index),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
