/* Deleting the records of jobs that have ended, with all that belongs to them; a chunk is one short transaction. The
 * thread that owns the connection. */
#ifndef STORE_CLEANUP_H
#define STORE_CLEANUP_H

#include "pg/pg.h"
#include "store/sql_text.h"

struct cleanup_chunk {
    int64_t after_id;     /* in: only larger ids; out: go on with this */
    bool end;             /* out: there is nothing further */
    int64_t by_status[6]; /* out: how many, by enum job_status; 0 when the statement does not tell */
    int64_t n;            /* out: all of them */
};

/* Runs a statement that names jobs to delete (its parameters are in params, the first of them after_id), and deletes
 * them. 0 or -code. */
int cleanup_run(struct pg_conn *pg, struct pg_params *params, enum sql_id pick, struct cleanup_chunk *chunk,
                struct err *ret_err);

#endif
