/* See chunk_book.h. */
#include "export/chunk_book.h"

int chunk_book_open(const char *uri, const char *name, struct pg_conn **ret, struct err *ret_err)
{
    struct pg_conn *pg;
    int rc = pg_open(uri, name, &pg, ret_err);
    if (rc != 0)
        return rc;
    rc = pg_exec(pg, "SET idle_in_transaction_session_timeout = 0", ret_err);
    for (int i = 0; rc == 0 && i < EXPORT_SQL_COUNT; i++)
        rc = pg_prepare(pg, export_sql_texts[i].name, export_sql_texts[i].text, ret_err);
    if (rc != 0)
        pg_close(pg);
    else
        *ret = pg;
    return rc;
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

int chunk_book_begin(struct pg_conn *pg, const struct chunk_owner *owner, const struct export_file *description,
                     struct span owner_name, int64_t *ret_used_bytes, struct err *ret_err)
{
    struct pg_params params = {0};
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
        chunk_book_send(pg, EXPORT_SQL_CHUNK_DELETE, &params);
        rc = pg_commit(pg, ret_err);
    }
    pg_params_done(&params);
    return rc;
}

int chunk_over_quota(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "EXPORT_QUOTA",
                   "your exports take as much room as they may: delete some, or ask for fewer rows");
}

/* Is there room for so many bytes more? Holds until the end of the transaction: files of one owner that become known at
 * the same moment wait for each other. 0; -code: and it has been rolled back. */
static int take_room(struct pg_conn *pg, struct pg_params *params, int64_t job_id, int64_t bytes,
                     struct span owner_name, int64_t budget, struct err *ret_err)
{
    pg_params_clear(params);
    pg_add_text(params, owner_name);
    chunk_book_send(pg, EXPORT_SQL_OWNER_LOCK, params);
    pg_params_clear(params);
    pg_add_text(params, owner_name);
    pg_add_int8(params, job_id);
    chunk_book_send(pg, EXPORT_SQL_OWNER_BYTES, params);
    pg_flush(pg);
    pg_free(pg_read(pg));
    struct pg_result *r = pg_read(pg);
    if (!r)
        return pg_commit(pg, ret_err); /* of a failed one: rolls back and says why */
    bool fits = pg_int(r, 0, 0) + bytes <= budget;
    pg_free(r);
    if (fits)
        return 0;
    pg_rollback(pg);
    return chunk_over_quota(ret_err);
}

int chunk_book_commit(struct pg_conn *pg, struct pg_params *params, const struct chunk_owner *owner,
                      const struct export_file *file, struct span owner_name, int64_t budget, struct err *ret_err)
{
    if (budget > 0) {
        int rc = take_room(pg, params, owner->job_id, file->size, owner_name, budget, ret_err);
        if (rc != 0)
            return rc;
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
    chunk_book_send(pg, EXPORT_SQL_FILE_INSERT, params);
    pg_flush(pg);
    struct pg_result *r = pg_read(pg);
    bool held = r && pg_rows(r) == 1;
    pg_free(r);
    if (r && !held) {
        pg_rollback(pg);
        return lease_lost(ret_err);
    }
    chunk_book_add_owner(params, owner);
    chunk_book_send(pg, EXPORT_SQL_WRITING_DELETE, params);
    return pg_commit(pg, ret_err);
}

int chunk_book_discard(struct pg_conn *pg, const struct chunk_owner *owner, bool *ret_keep, struct err *ret_err)
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
