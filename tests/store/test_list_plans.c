/* Lists by error, by labels and by what no index knows: which indexes their statements use, and what they find. */
#include "store_fixture.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    char *plan = plan_of(SQL_LIST_SIFT, "'{1,2}', null, 'x', null, null, null, null, '{a}', '{b}', '{null}'");

    (void)state;
    if (strstr(plan, "Seq Scan") || !strstr(plan, "id = u.id)"))
        fail_msg("%s", plan);
    free(plan);
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
        cmocka_unit_test(test_labels_are_found_month_by_month),
        cmocka_unit_test(test_failed_jobs_of_a_name_have_an_index),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
