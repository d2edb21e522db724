/* Cancels and retries that are sent again: known by their request ids before the batch begins, since it could not undo
 * that a job was taken out of the queue. One that another replica does meanwhile shows when the id is inserted (23505):
 * then the batch runs again and finds it. Writer thread. */
#include <assert.h>

#include "store/replay.h"

struct steer_key *steer_key_of(struct store_cmd *cmd)
{
    return cmd->op == STORE_CANCEL  ? &((struct store_cancel *)cmd)->key
           : cmd->op == STORE_RETRY ? &((struct store_retry *)cmd)->key
                                    : NULL;
}

static int64_t job_of(const struct store_cmd *cmd)
{
    return cmd->op == STORE_CANCEL ? ((const struct store_cancel *)cmd)->job_id
                                   : ((const struct store_retry *)cmd)->job_id;
}

static void set_found(struct store_cmd *cmd, const struct pg_result *r, int row)
{
    struct steer_key *key = steer_key_of(cmd);
    struct span hash = pg_text(r, row, 2);

    assert(key); /* only those with one were asked for */
    key->replayed = pg_int(r, row, 1) == job_of(cmd) && hash.data && hash.len == sizeof key->body_hash &&
                    memcmp(hash.data, key->body_hash, sizeof key->body_hash) == 0;
    key->reused = !key->replayed;
}

bool steer_look_up(struct writer *w, struct unit *units, size_t n, struct err *ret_err)
{
    struct pg_param *ids = NULL;
    struct pg_result *r;
    size_t *unit_of = NULL;
    int n_asked = 0;

    for (size_t i = 0; i < n; i++) {
        struct steer_key *key = steer_key_of(units[i].cmd);
        if (!key)
            continue;
        key->replayed = key->reused = false;
        if (key->id.len == 0)
            continue;
        if (!ids) {
            unit_of = arena_alloc(&w->batch.arena, n * sizeof *unit_of);
            if (!unit_of) {
                err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
                return false;
            }
            pg_params_clear(&w->params);
            ids = pg_add_array(&w->params, PG_TEXT);
        }
        pg_put_text(ids, key->id);
        unit_of[n_asked++] = i;
    }
    if (!ids)
        return true;
    r = pg_run(w->pg, sql_name(SQL_REQUEST_FIND), &w->params, ret_err);
    if (!r)
        return false;
    for (int i = 0; i < pg_rows(r); i++)
        set_found(units[unit_of[pg_int(r, i, 0) - 1]].cmd, r, i);
    pg_free(r);
    return true;
}

bool steer_is_known(struct unit *u)
{
    struct steer_key *key = steer_key_of(u->cmd);

    if (key->reused)
        err_set(&u->cmd->err, ERR_ALREADY_EXISTS, "REQUEST_ID_REUSED",
                "request_id was used before with a different request");
    return key->replayed || key->reused;
}

void steer_note(struct writer *w, struct steer_key *key, int64_t job_id)
{
    static const enum pg_type types[] = {PG_TEXT, PG_INT8, PG_BYTEA};
    struct pg_params *p = &w->batch.rows.steer_request;

    if (key->id.len == 0)
        return;
    if (p->n == 0)
        pg_arrays(p, types, 3);
    pg_put_text(&p->v[0], key->id);
    pg_put_int8(&p->v[1], job_id);
    pg_put_text(&p->v[2], span_of((const char *)key->body_hash, sizeof key->body_hash));
}
