/* A connection that reads: one snapshot, one COPY ... TO STDOUT at a time, row by row in constant memory. Never blocks
 * for long: while it waits it calls the owner's tick, which may end the wait. One thread at a time. Text of the
 * database goes to the log, never into a struct err. */
#ifndef PG_COPY_H
#define PG_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct pg_copy;

struct pg_copy_options {
    const char *uri;   /* libpq URI or keyword string */
    const char *name;  /* application_name within the snapshot; what rests is called "NAME, idle" */
    const char *about; /* in its lines of the log, such as "job=5 "; NULL: nothing. Until it rests or is closed */
    /* Called at every wait, and at least ten times a second in a long one. Not 0: what is under way ends with that. */
    int (*tick)(void *user);
    void *user;
    /* When nothing has come for so long within one wait, the server is asked by another connection whether it is there,
     * and again after each such time. A statement may take as long as it likes; a server that does not answer is gone:
     * the wait ends with -UNAVAILABLE. 0: it is never asked. */
    int64_t silence_ms;
};

/* Connects (for at most some seconds) and begins a snapshot, which reads only: UTF-8, ISO dates, UTC, no limit on idle
 * transactions. Copies options but for what they point to, which it keeps. Gives *ret (pg_copy_close). 0, -code or
 * what tick gave. */
int pg_copy_open(const struct pg_copy_options *options, struct pg_copy **ret, struct err *ret_err);
/* After the last row: ends the snapshot and all else that the session was told, so that it may serve others. True: only
 * pg_copy_resume and pg_copy_close are of use now. False: only pg_copy_close; so after a row of more than a megabyte,
 * as libpq would keep its memory. Waits for half a second at most. */
bool pg_copy_rest(struct pg_copy *copy);
/* Of one that rests: as pg_copy_open, on this connection, which is to the same database. False: it is not there any
 * more, or does not answer within a second: pg_copy_close, and open another. */
bool pg_copy_resume(struct pg_copy *copy, const struct pg_copy_options *options);
/* Ends it, whatever runs: a running statement is cancelled first, so that the server does not go on working for
 * nobody, if that gets through in half a second. Takes NULL. */
void pg_copy_close(struct pg_copy *copy);

/* One statement whose rows do not matter. 0, -code, or what tick gave; after a failure only pg_copy_close is of use. */
int pg_copy_exec(struct pg_copy *copy, const char *sql, struct err *ret_err);
/* One statement with one row and one integer. */
int pg_copy_int(struct pg_copy *copy, const char *sql, int64_t *ret, struct err *ret_err);
/* What the columns of a query hold: gives an array of *ret_n (mem_free). sql: of no rows. */
struct pg_copy_column {
    uint32_t type; /* OID of the type; of a domain, that of what it is made of */
    char category; /* pg_type.typcategory: 'N' numbers, 'S' strings, 'A' arrays ... */
    char kind;     /* pg_type.typtype: 'b' base, 'c' composite ... */
};
int pg_copy_describe(struct pg_copy *copy, const char *sql, struct pg_copy_column **ret, size_t *ret_n,
                     struct err *ret_err);
/* COPY ... TO STDOUT; then rows. */
int pg_copy_start(struct pg_copy *copy, const char *sql, struct err *ret_err);
/* 1 and the next row as it came, its line end included, valid until the next call; 0: that was all, and it went well;
 * -code or what tick gave. */
int pg_copy_next(struct pg_copy *copy, struct span *ret_row, struct err *ret_err);
/* Process that serves it, on the machine of the database. */
int pg_copy_backend_pid(const struct pg_copy *copy);
/* SQLSTATE of the last failure; "" for none. */
const char *pg_copy_sqlstate(const struct pg_copy *copy);

#endif
