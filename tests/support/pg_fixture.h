/* One embedded PostgreSQL for a test program, in a temporary directory, without fsync. Main thread; not for product
 * code. Use as a group fixture: start in the group's setup, stop in its teardown. */
#ifndef SUPPORT_PG_FIXTURE_H
#define SUPPORT_PG_FIXTURE_H

/* Starts the cluster on the first call. URI of the superuser on the empty database `joblog`; borrowed until
 * pg_fixture_stop. NULL on failure, after a line to stderr. */
const char *pg_fixture_start(void);

/* Makes a fresh empty database on the fixture's cluster and gives its URI in a buffer that the next call overwrites.
 * For tests that must not see each other's rows. NULL on failure, after a line to stderr. */
const char *pg_fixture_database(const char *name);

/* The temporary directory; "pg" and "pg.log" are in it. */
const char *pg_fixture_dir(void);

/* Stops the cluster and removes the directory. */
void pg_fixture_stop(void);

#endif
