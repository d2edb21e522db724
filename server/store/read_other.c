/* The catalogue of statuses, and the files of exports. A reader's thread. */
#include <inttypes.h>

#include "store/reader.h"

static bool keep(struct arena *a, struct span s, struct span *ret)
{
    *ret = arena_span(a, s);
    return ret->data != NULL;
}

int read_statuses(struct reader *r, struct store_statuses *cmd, struct err *ret_err)
{
    struct pg_result *rows;
    struct status_info *list;
    bool good;

    pg_params_clear(&r->params);
    pg_add_text(&r->params, cmd->language);
    rows = read_rows(r, SQL_STATUS_LIST, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->n_statuses = (size_t)pg_rows(rows);
    cmd->statuses = list = arena_alloc(cmd->arena, cmd->n_statuses * sizeof *list);
    good = list != NULL;
    for (int i = 0; good && i < pg_rows(rows); i++) {
        list[i].status = (int)pg_int(rows, i, 0);
        good = keep(cmd->arena, pg_text(rows, i, 1), &list[i].name) &&
               keep(cmd->arena, pg_text(rows, i, 2), &list[i].label) &&
               keep(cmd->arena, pg_text(rows, i, 3), &list[i].color) &&
               keep(cmd->arena, pg_text(rows, i, 4), &list[i].icon);
    }
    pg_free(rows);
    return good ? 0 : read_out_of_memory(ret_err);
}

int read_export_file(struct reader *r, struct store_export_file *cmd, struct err *ret_err)
{
    struct pg_param *ids;
    struct pg_result *rows;
    struct export_file *list;
    bool good;

    cmd->n_files = 0;
    pg_params_clear(&r->params);
    ids = pg_add_array(&r->params, PG_INT8);
    for (size_t i = 0; i < cmd->n_job_ids; i++)
        pg_put_int8(ids, cmd->job_ids[i]);
    rows = read_rows(r, SQL_EXPORT_FILE, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    cmd->files = list = arena_alloc(cmd->arena, (size_t)pg_rows(rows) * sizeof *list);
    good = list != NULL;
    for (int i = 0; good && i < pg_rows(rows); i++) {
        list[i].job_id = pg_int(rows, i, 0);
        list[i].size = pg_int(rows, i, 4);
        list[i].rows = pg_int(rows, i, 5);
        list[i].expire_us = pg_time(rows, i, 6);
        list[i].chunk_bytes = (int32_t)pg_int(rows, i, 7);
        good = keep(cmd->arena, pg_text(rows, i, 1), &list[i].name) &&
               keep(cmd->arena, pg_text(rows, i, 2), &list[i].content_type) &&
               keep(cmd->arena, pg_text(rows, i, 3), &list[i].sha256);
    }
    if (good)
        cmd->n_files = (size_t)pg_rows(rows);
    pg_free(rows);
    return good ? 0 : read_out_of_memory(ret_err);
}

int read_export_chunk(struct reader *r, struct store_export_chunk *cmd, struct err *ret_err)
{
    struct pg_result *rows;
    bool good;

    pg_params_clear(&r->params);
    pg_add_int8(&r->params, cmd->job_id);
    pg_add_int4(&r->params, cmd->seq);
    rows = read_rows(r, SQL_EXPORT_CHUNK, ret_err);
    if (!rows)
        return -(int)ret_err->code;
    if (pg_rows(rows) == 0) {
        pg_free(rows);
        return err_set(ret_err, ERR_NOT_FOUND, "EXPORT_CHUNK_NOT_FOUND", "export %" PRId64 " has no chunk %d",
                       cmd->job_id, cmd->seq);
    }
    good = keep(cmd->arena, pg_text(rows, 0, 0), &cmd->data);
    cmd->crc32c = (uint32_t)pg_int(rows, 0, 1);
    pg_free(rows);
    return good ? 0 : read_out_of_memory(ret_err);
}
