/* What the tests of the chunk stores share: a PostgreSQL with the schema, both stores over it, and a job 7 with the
 * lease
 * 70. A group fixture of cmocka. Not for product code. */
#ifndef SUPPORT_CHUNK_FIXTURE_H
#define SUPPORT_CHUNK_FIXTURE_H

#include <libpq-fe.h>

#include "export/chunk_store.h"

extern char uri[256];
extern PGconn *db; /* of the test itself */
/* The stores, tested one after the other. */
extern struct chunk_store stores[EXPORT_STORAGE_COUNT];
extern const struct chunk_store *store;

/* Group setup and teardown. */
int chunk_fixture_start(void **state);
int chunk_fixture_stop(void **state);
/* Nothing but the lease: setups of a test, which choose the store. */
int use_database(void **state);
int use_directory(void **state);
/* Runs SQL; fails the test when it fails. */
void run_sql(const char *sql);
/* One integer. */
int64_t ask(const char *sql);
/* Opens a sink and begins a file, of ann's. As chunk_store.open and .begin; closed where the latter fails. */
int begin_file(const struct chunk_store *in, const struct chunk_owner *owner, const struct export_file *file,
               struct chunk_sink **ret, int64_t *ret_used, struct err *ret_err);
/* Of job 7. */
struct export_file file_of(int64_t size);

#define BOTH(test)                                                                                                     \
    cmocka_unit_test_setup(test, use_database),                                                                        \
    {                                                                                                                  \
#test " (directory)", test, use_directory, NULL, NULL                                                          \
    }

#endif
