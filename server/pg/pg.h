/* A connection to PostgreSQL in pipeline mode, with binary parameters and results. What the store knows of libpq.
 *
 * Statements are sent without waiting; their results are read in the order of sending. All statements up to pg_commit
 * are one transaction: an error in one undoes all. After an error (pg_failed) nothing useful can be sent until
 * pg_commit or pg_rollback has ended the transaction.
 *
 * A connection belongs to one thread at a time. Text of the database goes to the log, never into a struct err. */
#ifndef PG_PG_H
#define PG_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "pg/params.h"

struct pg_conn;
struct pg_result;

/* Connects (blocking) and enters pipeline mode. uri: libpq URI or keyword string (borrowed); name: application_name.
 * Gives *ret (pg_close). 0 or -UNAVAILABLE … */
int pg_open(const char *uri, const char *name, struct pg_conn **ret, struct err *ret_err);
/* The same for as long as goes_on(user) says so; it is asked some twenty times a second. -CANCELLED: it does not. */
int pg_open_while(const char *uri, const char *name, bool (*goes_on)(void *user), void *user, struct pg_conn **ret,
                  struct err *ret_err);
void pg_close(struct pg_conn *pg); /* takes NULL */
/* The connection is gone; open another. */
bool pg_lost(const struct pg_conn *pg);
int pg_backend_pid(const struct pg_conn *pg);
int pg_socket(const struct pg_conn *pg);

/* Runs SQL that may hold several statements and takes no parameters; outside of a transaction. Blocking. 0 or -code. */
int pg_exec(struct pg_conn *pg, const char *sql, struct err *ret_err);
/* Makes a prepared statement; to be used within this connection by name. Blocking. 0 or -code. */
int pg_prepare(struct pg_conn *pg, const char *name, const char *sql, struct err *ret_err);
/* The same without waiting: pg_commit tells whether it, and those sent with it, went well. */
void pg_send_prepare(struct pg_conn *pg, const char *name, const char *sql);

/* Sends a prepared statement. params NULL: none. A failure shows in pg_failed or pg_lost. */
void pg_send(struct pg_conn *pg, const char *name, struct pg_params *params);
/* Asks the server to send what it has; needed before pg_read within a transaction. */
void pg_flush(struct pg_conn *pg);
/* Sends what has not left yet, so that the server can begin. */
void pg_push(struct pg_conn *pg);
/* Result of the oldest statement that was sent and not yet read; gives it (pg_free). NULL: it failed, or the connection
 * is lost. */
struct pg_result *pg_read(struct pg_conn *pg);
/* Reads away the oldest results, but for so many. */
void pg_skip(struct pg_conn *pg, int n_left);
/* The same, for results of many KiB. */
struct pg_result *pg_read_long(struct pg_conn *pg);
/* Ends the transaction: commits unless a statement failed. Reads away the results that nobody read. 0: committed.
 * -code: not committed, and *ret_err says why by the SQLSTATE; with pg_lost() the outcome is unknown. */
int pg_commit(struct pg_conn *pg, struct err *ret_err);
/* Sends the end of the transaction at once: it commits, unless a statement failed, whether or not this process lives to
 * read the results. They can be read, and then pg_commit tells the outcome; nothing else may be sent before. */
void pg_send_commit(struct pg_conn *pg);
/* Undoes what was sent. */
void pg_rollback(struct pg_conn *pg);
/* A statement of the present transaction failed. */
bool pg_failed(const struct pg_conn *pg);
/* Asks the server to give up what this connection waits for; the statement fails then (57014). From another thread than
 * the connection's, while that waits; blocks for as long as it takes to tell the server. */
void pg_interrupt(struct pg_conn *pg);
/* For a connection that has lain idle: does its server answer within ms? Otherwise it counts as lost. Between
 * transactions. */
bool pg_answers(struct pg_conn *pg, int ms);
/* At the end of the process: is no call of libpq under way that was given up (pg/aside.h)? Otherwise its libraries must
 * not be torn down under it: end by _exit. Any thread. */
bool pg_is_at_rest(void);
/* The SQLSTATE of a connection that is lost. */
#define PG_LOST "08006"
/* A failure with this SQLSTATE is an answer like another from now on, and no warning in the log; NULL: none is. Kept.
 */
void pg_expect(struct pg_conn *pg, const char *sqlstate);
/* SQLSTATE of the last failure, five characters; "" for none. */
const char *pg_sqlstate(const struct pg_conn *pg);

/* Sends one statement, commits and gives its result. NULL and *ret_err on failure. */
struct pg_result *pg_run(struct pg_conn *pg, const char *name, struct pg_params *params, struct err *ret_err);

/* Takes in what has arrived: did another connection notify on a channel that this one listens to (pg_exec "listen …")?
 * But whether anybody did on `channel` is told apart. Between transactions, for a thread that waits in poll() for
 * pg_socket. */
bool pg_notified(struct pg_conn *pg, const char *channel, bool *ret_on_channel);

/* ---- results: rows and columns from 0; texts borrow from the result ---- */

int pg_rows(const struct pg_result *r);
int pg_columns(const struct pg_result *r);
bool pg_is_null(const struct pg_result *r, int row, int col);
/* Of int2, int4 or int8; 0 when null. */
int64_t pg_int(const struct pg_result *r, int row, int col);
/* tid: where a row lies, as one number, never 0; 0 when null. Of the row until it is written again. */
uint64_t pg_place(const struct pg_result *r, int row, int col);
double pg_double(const struct pg_result *r, int row, int col); /* of float4 or float8 */
/* timestamptz as microseconds since 1970; 0 when null. */
int64_t pg_time(const struct pg_result *r, int row, int col);
/* text, bytea and the like; empty when null. */
struct span pg_text(const struct pg_result *r, int row, int col);
/* jsonb as its text. */
struct span pg_json(const struct pg_result *r, int row, int col);
/* A one-dimensional int4 array: adds its elements to sums[lower bound + i], as far as they fall into 0 … n-1. */
void pg_add_ints(const struct pg_result *r, int row, int col, int64_t *sums, int n);
void pg_free(struct pg_result *r); /* takes NULL */

#endif
