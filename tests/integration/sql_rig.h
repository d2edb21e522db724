/* One joblogd on a fresh database, a channel to it, and a connection to the database beside it: for tests that do
 * things from SQL. */
#ifndef SQL_RIG_H
#define SQL_RIG_H

#include <libpq-fe.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/calls.h"
#include "support/channel.h"
#include "support/pg_fixture.h"
#include "support/server_fixture.h"

extern struct server_fixture *server;
extern struct crpc_channel *channel;
extern char uri[256];
extern PGconn *db;

/* Of the group. */
int sql_rig_start(void **state);
int sql_rig_stop(void **state);

void must_sql(PGconn *c, const char *sql);
/* One number. */
int64_t ask(PGconn *c, const char *sql);
/* A statement that must fail: its SQLSTATE, and the field at fault (COLUMN; NULL: any). */
void expect_refused(PGconn *c, const char *sql, const char *state, const char *field);
/* Until the statement gives 1. */
void await_sql(const char *sql);
/* All that was dispatched has been taken up, and the counters say what the tables say. */
void assert_counters_exact(void);
/* DispatchJobs refuses the job as DispatchJob did, which says how long to wait. */
void expect_same_outcome(const Joblog__V1__JobSpec *spec, const struct err *err);

#endif
