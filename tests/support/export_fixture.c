/* See export_fixture.h. */
#include "support/export_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/export_client.h"
#include "support/pg_fixture.h"

static const char types_text[] =
    "{\"export_types\": ["
    " {\"name\": \"people\", \"title\": \"People\", \"relation\": \"app.people\","
    "  \"columns\": [{\"name\": \"id\", \"title\": \"Id\"}, {\"name\": \"name\", \"title\": \"Name, \\\"full\\\"\"},"
    "              {\"name\": \"note\"}, {\"name\": \"born\"}, {\"name\": \"seen\"}],"
    "  \"filters\": [{\"field\": \"search\", \"operators\": [\"search\"], \"columns\": [\"name\", \"note\"]},"
    "              {\"field\": \"id\", \"type\": \"integer\", \"operators\": [\"equals\", \"in\", \"at_most\"]},"
    "              {\"field\": \"born\", \"type\": \"date\", \"operators\": [\"at_least\", \"equals\"]}],"
    "  \"order\": {\"column\": \"id\"}},"
    " {\"name\": \"slow\", \"title\": \"Slow\", \"relation\": \"app.slow\","
    "  \"columns\": [{\"name\": \"id\"}, {\"name\": \"nap\"}]},"
    " {\"name\": \"slow-count\", \"title\": \"Slow\", \"relation\": \"app.slow_count\", \"columns\": [{\"name\": "
    "\"id\"}]},"
    " {\"name\": \"broken\", \"title\": \"Broken\", \"relation\": \"app.broken\", \"columns\": [{\"name\": \"id\"}]}]}";

/* Every fifth row is a nasty one. The rows are several chunks long together. */
static const char schema_sql[] =
    "CREATE SCHEMA app;"
    "CREATE TABLE app.people (id bigint PRIMARY KEY, name text, note text, born date, seen timestamptz);"
    "INSERT INTO app.people SELECT g, CASE g % 5 WHEN 0 THEN E'Ann \"the quote\"\\r\\nO''Hara, \\\\.' WHEN 1 THEN NULL"
    "  WHEN 2 THEN '' WHEN 3 THEN 'Ñandú 🦤 50%_x' ELSE 'Bob ' || g END,"
    "  repeat(E'line\\n', g % 7) || repeat('x', g % 200), date '2000-01-01' + (g % 1000)::int,"
    "  timestamptz '2026-01-31 12:00:00.123456+01' + g * interval '1 minute' FROM generate_series(1, 12000) g;"
    "INSERT INTO app.people VALUES (20000, repeat('long', 400000), E'\\\\.', NULL, NULL);"
    "CREATE TABLE app.pace (seconds float8);"
    "INSERT INTO app.pace VALUES (0.01);"
    "CREATE FUNCTION app.nap(id bigint) RETURNS text STABLE LANGUAGE plpgsql AS"
    "  $$BEGIN PERFORM pg_sleep(seconds) FROM app.pace; RETURN 'nap ' || id || repeat('z', 400); END$$;"
    "CREATE VIEW app.slow AS SELECT g AS id, app.nap(g) AS nap FROM generate_series(1::bigint, 3000) g;"
    "CREATE VIEW app.slow_count AS SELECT g AS id, pg_sleep(0.1)::text AS nap FROM generate_series(1, 3000) g;"
    "CREATE VIEW app.broken AS SELECT 1000 / (g - 500) AS id FROM generate_series(1, 1000) g;";

struct export_fixture fx;
static char types_path[128];

void export_fixture_sql(const char *sql)
{
    PGresult *r = PQexec(fx.db, sql);
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%.200s: %s", sql, PQerrorMessage(fx.db));
    PQclear(r);
}

int64_t export_fixture_ask(const char *fmt, int64_t id)
{
    char sql[400];
    snprintf(sql, sizeof sql, fmt, (long long)id);
    PGresult *r = PQexec(fx.db, sql);
    if (PQntuples(r) != 1)
        fail_msg("%s: %s", sql, PQerrorMessage(fx.db));
    int64_t value = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return value;
}

bool export_fixture_types(const char *text)
{
    FILE *f = fopen(types_path, "w");
    return f && fputs(text ? text : types_text, f) >= 0 && fclose(f) == 0;
}

int export_fixture_start(void **state)
{
    static const char *args[] = {fx.types_arg, "--lease-timeout-ms=1000", NULL};
    (void)state;
    if (!pg_fixture_start())
        return -1;
    const char *made = pg_fixture_database("exports");
    if (!made)
        return -1;
    snprintf(fx.uri, sizeof fx.uri, "%s", made);
    snprintf(types_path, sizeof types_path, "%s/types.json", pg_fixture_dir());
    snprintf(fx.types_arg, sizeof fx.types_arg, "--export-types=%s", types_path);
    fx.db = PQconnectdb(fx.uri);
    export_fixture_sql(schema_sql);
    export_fixture_sql("SET timezone = 'UTC'");
    if (!export_fixture_types(NULL))
        return -1;
    fx.server = server_fixture_start(&(struct server_fixture_options){.database = fx.uri, .args = args});
    if (!fx.server)
        return -1;
    fx.ann = export_channel(fx.server, "ann");
    fx.bob = export_channel(fx.server, "bob");
    return 0;
}

int export_fixture_stop(void **state)
{
    (void)state;
    crpc_channel_free(fx.ann);
    crpc_channel_free(fx.bob);
    int rc = fx.server ? server_fixture_stop(fx.server) : 0;
    server_fixture_free(fx.server);
    PQfinish(fx.db);
    pg_fixture_stop();
    return rc;
}
