/* The books of the chunk stores, in PostgreSQL: which attempts write, which files there are. Blocking, on the thread
 * that has the connection. */
#ifndef EXPORT_CHUNK_BOOK_H
#define EXPORT_CHUNK_BOOK_H

#include "export/chunk_store.h"
#include "export/halt.h"
#include "export/sql_text.h"
#include "pg/pg.h"

/* Opens a connection with all statements of exports prepared. Gives *ret (pg_close). */
int chunk_book_open(const char *uri, const char *name, struct pg_conn **ret, struct err *ret_err);

/* The same for as long as halt says so (may be NULL), which has the connection until chunk_book_close. -CANCELLED. */
int chunk_book_open_while(const char *uri, const char *name, struct export_halt *halt, struct pg_conn **ret,
                          struct err *ret_err);
/* Takes pg, of chunk_book_open_while. */
void chunk_book_close(struct pg_conn *pg, struct export_halt *halt);

/* A connection for an attempt that is to write: gives *ret (chunk_book_end), one of the store's idle connections or a
 * new one (*ret_new); for chunk_book_begin, chunk_book_commit and EXPORT_SQL_CHUNK_INSERT. Its commits do not wait for
 * the disk: the file counts once the job has ended, whose commit comes after them in the write-ahead log and waits for
 * all that lies before it. */
int chunk_book_connect(const struct chunk_store *store, struct pg_conn **ret, bool *ret_new, struct err *ret_err);
/* An attempt begins to write. As chunk_store.begin. */
int chunk_book_begin(struct pg_conn *pg, bool is_new, const struct chunk_owner *owner,
                     const struct export_file *description, struct span owner_name, int64_t *ret_used_bytes,
                     struct err *ret_err);
/* Takes pg, or NULL. whole: the file has been committed, and the connection is good for another; idle: may be NULL. */
void chunk_book_end(struct export_idle *idle, struct pg_conn *pg, bool whole);
/* The file is there; a transaction of its own. As chunk_store.commit; -ABORTED (reason EXPORT_INCOMPLETE): chunks that
 * should be in the database are not. */
int chunk_book_commit(struct pg_conn *pg, struct pg_params *params, const struct chunk_owner *owner,
                      const struct export_file *file, struct span owner_name, int64_t budget, struct err *ret_err);
/* The file is not there. *ret_keep: it is, the attempt has completed the job. Gives *ret (pg_close), a connection that
 * waits for nobody for long, to remove its chunks by. */
int chunk_book_discard(const char *uri, const struct chunk_owner *owner, struct pg_conn **ret, bool *ret_keep,
                       struct err *ret_err);

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
