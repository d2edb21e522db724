/* The catalogue of statuses. A reader's thread. */
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
