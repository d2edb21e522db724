/* The books of the chunk stores, in PostgreSQL: which attempts write, which files there are. Blocking, on the thread
 * that has the connection. */
#ifndef EXPORT_CHUNK_BOOK_H
#define EXPORT_CHUNK_BOOK_H

#include "export/chunk_store.h"
#include "export/sql_text.h"
#include "pg/pg.h"

/* Opens a connection with all statements of exports prepared. Gives *ret (pg_close). */
int chunk_book_open(const char *uri, const char *name, struct pg_conn **ret, struct err *ret_err);
/* With those of an attempt that writes and no others: chunk_book_begin, _commit, and EXPORT_SQL_CHUNK_INSERT. */
int chunk_book_open_writing(const char *uri, struct pg_conn **ret, struct err *ret_err);

/* An attempt begins to write. As chunk_store.open. */
int chunk_book_begin(struct pg_conn *pg, const struct chunk_owner *owner, const struct export_file *description,
                     struct span owner_name, int64_t *ret_used_bytes, struct err *ret_err);
/* The file is there; a transaction of its own, on disk. As chunk_store.commit; -ABORTED (reason EXPORT_INCOMPLETE):
 * chunks that should be in the database are not. */
int chunk_book_commit(struct pg_conn *pg, struct pg_params *params, const struct chunk_owner *owner,
                      const struct export_file *file, struct span owner_name, int64_t budget, struct err *ret_err);
/* The file is not there. *ret_keep: it is, the attempt has completed the job. */
int chunk_book_discard(struct pg_conn *pg, const struct chunk_owner *owner, bool *ret_keep, struct err *ret_err);

void chunk_book_add_owner(struct pg_params *params, const struct chunk_owner *owner);
static inline void chunk_book_send(struct pg_conn *pg, enum export_sql_id id, struct pg_params *params)
{
    pg_send(pg, export_sql_texts[id].name, params);
}
/* Sends one statement, commits, and gives its result; NULL and *ret_err on failure. */
static inline struct pg_result *chunk_book_run(struct pg_conn *pg, enum export_sql_id id, struct pg_params *params,
                                               struct err *ret_err)
{
    return pg_run(pg, export_sql_texts[id].name, params, ret_err);
}

#endif
