/* Lists by error and by what no index knows: which indexes their statements use. */
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
    char text[4096], *plan;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_have_an_index),
        cmocka_unit_test(test_sifting_looks_by_ids),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
