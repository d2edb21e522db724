/* What the tests of exports share: a database with tables and views to export (slow ones, a broken one), a joblogd with
 * types for them, and two callers. A group fixture of cmocka. Not for product code. */
#ifndef SUPPORT_EXPORT_FIXTURE_H
#define SUPPORT_EXPORT_FIXTURE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "crpc/client.h"
#include "support/server_fixture.h"

struct export_fixture {
    struct server_fixture *server;
    struct crpc_channel *ann, *bob; /* callers */
    PGconn *db;                     /* of the test itself */
    char uri[256], types_arg[160];  /* of the database; the argument that names the file of types */
};

extern struct export_fixture fx;

/* Group setup and teardown. */
int export_fixture_start(void **state);
int export_fixture_stop(void **state);
/* Writes the file of types: text, or NULL for the fixture's own. */
bool export_fixture_types(const char *text);
/* Runs SQL; fails the test when it fails. */
void export_fixture_sql(const char *sql);
/* One integer; fmt takes one %lld. */
int64_t export_fixture_ask(const char *fmt, int64_t id);

#endif
