/* Files of exports in PostgreSQL: one transaction for a file, its statements pipelined, so that a server that dies
 * leaves nothing behind. Each sink has a connection of its own; on the thread that uses it. */
#include "base/alloc.h"
#include "export/chunk_store.h"
#include "export/sql_text.h"
#include "pg/pg.h"

struct chunk_sink {
    struct pg_conn *pg;
    struct chunk_owner owner;
    struct pg_params params;
    int n_unread; /* chunks whose result was not read yet */
};

/* Opens a connection and prepares the statements from first to last of the list. */
static int connect_with(const char *uri, const enum export_sql_id *ids, size_t n, struct pg_conn **ret, struct err *err)
{
    struct pg_conn *pg;
    int rc = pg_open(uri, "joblogd export files", &pg, err);
    if (rc != 0)
        return rc;
    rc = pg_exec(pg, "SET idle_in_transaction_session_timeout = 0", err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = pg_prepare(pg, export_sql_texts[ids[i]].name, export_sql_texts[ids[i]].text, err);
    if (rc != 0)
        pg_close(pg);
    else
        *ret = pg;
    return rc;
}

static void send(struct pg_conn *pg, enum export_sql_id id, struct pg_params *params)
{
    pg_send(pg, export_sql_texts[id].name, params);
}

static void add_owner(struct pg_params *params, const struct chunk_owner *owner)
{
    pg_params_clear(params);
    pg_add_int8(params, owner->job_id);
    pg_add_int8(params, owner->token);
}

static void sink_close(struct chunk_sink *sink)
{
    if (!sink)
        return;
    pg_close(sink->pg);
    pg_params_done(&sink->params);
    mem_free(sink);
}

static int sink_open(const struct chunk_store *store, const struct chunk_owner *owner, struct chunk_sink **ret,
                     struct err *ret_err)
{
    static const enum export_sql_id ids[] = {EXPORT_SQL_CHUNK_CLEAR, EXPORT_SQL_CHUNK_INSERT, EXPORT_SQL_FILE_INSERT};
    struct chunk_sink *sink = mem_zalloc(sizeof *sink);
    if (!sink)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    sink->owner = *owner;
    int rc = connect_with(store->uri, ids, sizeof ids / sizeof ids[0], &sink->pg, ret_err);
    if (rc != 0) {
        sink_close(sink);
        return rc;
    }
    *ret = sink;
    return 0;
}

/* Reads results until at most `left` are outstanding; so a failure is seen early and the pipeline stays short. */
static bool read_results(struct chunk_sink *sink, int left)
{
    while (sink->n_unread > left && !pg_failed(sink->pg)) {
        pg_free(pg_read(sink->pg));
        sink->n_unread--;
    }
    return !pg_failed(sink->pg);
}

static int sink_write(struct chunk_sink *sink, int32_t seq, struct span data, uint32_t crc32c, struct err *ret_err)
{
    if (seq == 0) {
        add_owner(&sink->params, &sink->owner);
        send(sink->pg, EXPORT_SQL_CHUNK_CLEAR, &sink->params);
        sink->n_unread++;
    }
    add_owner(&sink->params, &sink->owner);
    pg_add_int4(&sink->params, seq);
    pg_add_text(&sink->params, data);
    pg_add_int8(&sink->params, crc32c);
    send(sink->pg, EXPORT_SQL_CHUNK_INSERT, &sink->params);
    pg_flush(sink->pg);
    sink->n_unread++;
    return read_results(sink, 1) ? 0 : pg_commit(sink->pg, ret_err); /* commit of a failed one: rolls back, says why */
}

static int sink_commit(struct chunk_sink *sink, const struct export_file *file, struct err *ret_err)
{
    struct pg_params *params = &sink->params;
    if (!read_results(sink, 0))
        return pg_commit(sink->pg, ret_err);
    add_owner(params, &sink->owner);
    pg_add_text(params, file->name);
    pg_add_text(params, file->content_type);
    pg_add_int8(params, file->size);
    pg_add_int8(params, file->rows);
    pg_add_text(params, file->sha256);
    pg_add_int4(params, file->chunk_bytes);
    pg_add_time(params, file->expire_us);
    send(sink->pg, EXPORT_SQL_FILE_INSERT, params);
    pg_flush(sink->pg);
    struct pg_result *r = pg_read(sink->pg);
    bool held = r && pg_rows(r) == 1;
    pg_free(r);
    if (r && !held) {
        pg_rollback(sink->pg);
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "LEASE_LOST", "the export was given to another attempt");
    }
    return pg_commit(sink->pg, ret_err);
}

static int discard(const struct chunk_store *store, const struct chunk_owner *owner, struct err *ret_err)
{
    static const enum export_sql_id ids[] = {EXPORT_SQL_FILE_DISCARD};
    struct pg_params params = {0};
    struct pg_conn *pg;
    int rc = connect_with(store->uri, ids, 1, &pg, ret_err);
    if (rc != 0)
        return rc;
    add_owner(&params, owner);
    send(pg, EXPORT_SQL_FILE_DISCARD, &params);
    rc = pg_commit(pg, ret_err);
    pg_params_done(&params);
    pg_close(pg);
    return rc;
}

static int sweep(const struct chunk_store *store, int64_t now_us, int64_t *ret_n, struct err *ret_err)
{
    static const enum export_sql_id ids[] = {EXPORT_SQL_EXPIRED_DELETE};
    struct pg_params params = {0};
    struct pg_conn *pg;
    int64_t n = 0;
    int rc = connect_with(store->uri, ids, 1, &pg, ret_err);
    if (rc != 0)
        return rc;
    for (;;) {
        pg_params_clear(&params);
        pg_add_time(&params, now_us);
        struct pg_result *r = pg_run(pg, export_sql_texts[EXPORT_SQL_EXPIRED_DELETE].name, &params, ret_err);
        if (!r)
            rc = -ERR_UNAVAILABLE;
        bool more = r && pg_rows(r) > 0;
        pg_free(r);
        if (!more)
            break;
        n++;
    }
    pg_params_done(&params);
    pg_close(pg);
    *ret_n = n;
    return rc;
}

struct chunk_store chunk_store_pg(const char *uri)
{
    return (struct chunk_store){.open = sink_open,
                                .write = sink_write,
                                .commit = sink_commit,
                                .close = sink_close,
                                .discard = discard,
                                .sweep = sweep,
                                .uri = uri};
}
