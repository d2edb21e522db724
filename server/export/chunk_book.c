/* See chunk_book.h. */
#include "export/chunk_book.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "export/idle.h"

#define WRITERS_NAME "joblogd export files"
enum { ANSWER_MS = 1000 /* for a connection that has lain idle; to make a new one may take as long */ };

/* Nobody waits here for long: neither this process for a lock that another one holds, nor others for a lock that this
 * one holds when it is stopped or its machine is gone. The stores rely on each statement seeing what was committed
 * before it. READ COMMITTED is named since a database may have another default. */
static const char session_sql[] =
    "SET default_transaction_isolation = 'read committed';"
    "SET lock_timeout = '10s';"
    "SET idle_in_transaction_session_timeout = '60s';"
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    "SET tcp_user_timeout = '25s'";

/* The n statements that are needed; ids NULL: the first n. It waits for whoever has one of their tables locked. */
static int prepare(struct pg_conn *pg, const enum export_sql_id *ids, int n, struct err *ret_err)
{
    for (int i = 0; i < n; i++) {
        enum export_sql_id id = ids ? ids[i] : (enum export_sql_id)i;
        pg_send_prepare(pg, export_sql_texts[id].name, export_sql_texts[id].text);
    }
    return pg_commit(pg, ret_err);
}

/* With settings of its own; empty: none. */
static int open_with(const char *uri, const char *name, const char *settings, struct pg_conn **ret, struct err *ret_err)
{
    struct pg_conn *pg;
    int rc = pg_open(uri, name, &pg, ret_err);
    if (rc != 0)
        return rc;
    if ((rc = pg_exec(pg, session_sql, ret_err)) == 0 && *settings)
        rc = pg_exec(pg, settings, ret_err);
    if (rc != 0)
        pg_close(pg);
    else
        *ret = pg;
    return rc;
}

static bool goes_on(void *halt)
{
    return export_halt_use(halt, -1);
}

int chunk_book_open_while(const char *uri, const char *name, struct export_halt *halt, struct pg_conn **ret,
                          struct err *ret_err)
{
    struct pg_conn *pg;
    int rc = pg_open_while(uri, name, goes_on, halt, &pg, ret_err);
    if (rc != 0)
        return rc;
    if (halt)
        pg_expect(pg, PG_LOST); /* which is how it ends; who uses it says what is not done then */
    if (!export_halt_use(halt, pg_socket(pg)))
        rc = err_set(ret_err, ERR_CANCELLED, NULL, "it is to end");
    if (rc == 0)
        rc = pg_exec(pg, session_sql, ret_err);
    if (rc == 0)
        rc = prepare(pg, NULL, EXPORT_SQL_COUNT, ret_err);
    if (rc != 0)
        chunk_book_close(pg, halt);
    else
        *ret = pg;
    return rc;
}

void chunk_book_close(struct pg_conn *pg, struct export_halt *halt)
{
    export_halt_use(halt, -1);
    pg_close(pg);
}

int chunk_book_open(const char *uri, const char *name, struct pg_conn **ret, struct err *ret_err)
{
    struct pg_conn *pg = NULL;
    int rc = open_with(uri, name, "", &pg, ret_err);
    if (rc == 0 && (rc = prepare(pg, NULL, EXPORT_SQL_COUNT, ret_err)) != 0)
        pg_close(pg);
    else if (rc == 0)
        *ret = pg;
    return rc;
}

int chunk_book_connect(const struct chunk_store *store, struct pg_conn **ret, bool *ret_new, struct err *ret_err)
{
    struct pg_conn *pg = export_idle_take(store->idle);
    *ret_new = false;
    if (pg && pg_answers(pg, ANSWER_MS)) {
        *ret = pg;
        return 0;
    }
    if (pg) {
        pg_close(pg);
        export_idle_trim(store->idle, INT64_MAX); /* the others have no server either */
    }
    *ret_new = true;
    return open_with(store->uri, WRITERS_NAME, "SET synchronous_commit = off", ret, ret_err);
}

void chunk_book_add_owner(struct pg_params *params, const struct chunk_owner *owner)
{
    pg_params_clear(params);
    pg_add_int8(params, owner->job_id);
    pg_add_int8(params, owner->token);
}

static int lease_lost(struct err *err)
{
    return err_set(err, ERR_FAILED_PRECONDITION, "LEASE_LOST", "the export was given to another attempt");
}

static int prepare_writing(struct pg_conn *pg, struct err *ret_err)
{
    static const enum export_sql_id ids[] = {EXPORT_SQL_WRITING_INSERT, EXPORT_SQL_WRITING_CLEAR,
                                             EXPORT_SQL_CHUNK_CLEAR,    EXPORT_SQL_CHUNK_INSERT,
                                             EXPORT_SQL_OWNER_LOCK,     EXPORT_SQL_FILE_INSERT};
    return prepare(pg, ids, sizeof ids / sizeof *ids, ret_err);
}

int chunk_book_begin(struct pg_conn *pg, bool is_new, const struct chunk_owner *owner,
                     const struct export_file *description, struct span owner_name, int64_t *ret_used_bytes,
                     struct err *ret_err)
{
    struct pg_params params = {0};
    if (is_new && prepare_writing(pg, ret_err) != 0)
        return -(int)ret_err->code;
    chunk_book_add_owner(&params, owner);
    pg_add_int2(&params, (int16_t)description->storage);
    pg_add_text(&params, description->name);
    pg_add_text(&params, description->content_type);
    pg_add_int4(&params, description->chunk_bytes);
    pg_add_text(&params, owner_name);
    struct pg_result *r = chunk_book_run(pg, EXPORT_SQL_WRITING_INSERT, &params, ret_err);
    int rc = !r ? -(int)ret_err->code : pg_rows(r) == 1 ? 0 : lease_lost(ret_err);
    if (rc == 0)
        *ret_used_bytes = pg_int(r, 0, 0);
    pg_free(r);
    if (rc == 0) { /* this attempt has the lease, so all others are over */
        chunk_book_add_owner(&params, owner);
        chunk_book_send(pg, EXPORT_SQL_WRITING_CLEAR, &params);
        chunk_book_add_owner(&params, owner);
        chunk_book_send(pg, EXPORT_SQL_CHUNK_CLEAR, &params);
        rc = pg_commit(pg, ret_err);
    }
    pg_params_done(&params);
    return rc;
}

void chunk_book_end(struct export_idle *idle, struct pg_conn *pg, bool whole)
{
    if (!pg || !whole || pg_failed(pg) || !export_idle_put(idle, pg, clock_mono_ms()))
        pg_close(pg);
}

int chunk_over_quota(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "EXPORT_QUOTA",
                   "your exports take as much room as they may: delete some, or ask for fewer rows");
}

/* What file_insert says. */
enum { FILE_LEASE_LOST = 0, FILE_RECORDED = 1, FILE_OVER_QUOTA = 2, FILE_INCOMPLETE = 3 };

static int verdict(int64_t said, const struct chunk_owner *owner, struct err *err)
{
    switch (said) {
    case FILE_RECORDED:
        return 0;
    case FILE_OVER_QUOTA:
        return chunk_over_quota(err);
    case FILE_INCOMPLETE:
        log_error("chunks of a file are gone job=%" PRId64, owner->job_id);
        return err_set(err, ERR_ABORTED, "EXPORT_INCOMPLETE", "parts of the file are gone before it was complete");
    default:
        return lease_lost(err);
    }
}

/* All of it goes out at once, with the end of the transaction: what happens to this process afterwards holds up nobody
 * who waits for the owner's lock. */
int chunk_book_commit(struct pg_conn *pg, struct pg_params *params, const struct chunk_owner *owner,
                      const struct export_file *file, struct span owner_name, int64_t budget, struct err *ret_err)
{
    if (budget > 0) {
        pg_params_clear(params);
        pg_add_text(params, owner_name);
        chunk_book_send(pg, EXPORT_SQL_OWNER_LOCK, params);
    }
    chunk_book_add_owner(params, owner);
    pg_add_text(params, file->name);
    pg_add_text(params, file->content_type);
    pg_add_int8(params, file->size);
    pg_add_int8(params, file->rows);
    pg_add_text(params, file->sha256);
    pg_add_int4(params, file->chunk_bytes);
    pg_add_time(params, file->expire_us);
    pg_add_text(params, owner_name);
    pg_add_int2(params, (int16_t)file->storage);
    pg_add_int8(params, file->cut_cells);
    pg_add_int8(params, budget);
    chunk_book_send(pg, EXPORT_SQL_FILE_INSERT, params);
    pg_send_commit(pg);
    if (budget > 0)
        pg_free(pg_read(pg));
    struct pg_result *r = pg_read(pg);
    int64_t said = r ? pg_int(r, 0, 0) : 0;
    pg_free(r);
    int rc = pg_commit(pg, ret_err);
    return rc != 0 ? rc : verdict(said, owner, ret_err);
}

static int discard(struct pg_conn *pg, const struct chunk_owner *owner, bool *ret_keep, struct err *ret_err)
{
    struct pg_params params = {0};
    chunk_book_add_owner(&params, owner);
    chunk_book_send(pg, EXPORT_SQL_WRITING_DELETE, &params);
    chunk_book_add_owner(&params, owner);
    chunk_book_send(pg, EXPORT_SQL_FILE_DISCARD, &params);
    pg_flush(pg);
    pg_free(pg_read(pg));
    struct pg_result *r = pg_read(pg);
    *ret_keep = r && pg_rows(r) == 0;
    pg_free(r);
    int rc = pg_commit(pg, ret_err);
    pg_params_done(&params);
    return rc;
}

int chunk_book_discard(const char *uri, const struct chunk_owner *owner, struct pg_conn **ret, bool *ret_keep,
                       struct err *ret_err)
{
    static const enum export_sql_id ids[] = {EXPORT_SQL_WRITING_DELETE, EXPORT_SQL_FILE_DISCARD,
                                             EXPORT_SQL_CHUNK_REMOVE};
    struct pg_conn *pg = NULL;
    int rc = open_with(uri, WRITERS_NAME, "SET lock_timeout = '200ms'; SET statement_timeout = '1s'", &pg, ret_err);
    if (rc == 0)
        rc = prepare(pg, ids, sizeof ids / sizeof *ids, ret_err);
    if (rc == 0)
        rc = discard(pg, owner, ret_keep, ret_err);
    if (rc != 0)
        pg_close(pg);
    else
        *ret = pg;
    return rc;
}
