/* See pause.h. Writer thread. */
#include "store/pause.h"

bool pause_holds(const struct writer *w, struct span queue)
{
    for (size_t i = 0; i < w->n_paused; i++) {
        if (span_eq(w->paused[i], queue))
            return true;
    }
    return false;
}

/* The list and its texts are one piece of memory. NULL: out of memory. */
static struct span *copy_queues(const struct pg_result *r)
{
    size_t n = (size_t)pg_rows(r), bytes = 0;
    struct span *queues;
    char *at;

    for (size_t i = 0; i < n; i++)
        bytes += pg_text(r, (int)i, 0).len;
    queues = mem_alloc(n * sizeof *queues + bytes + 1);
    at = queues ? (char *)(queues + n) : NULL;
    for (size_t i = 0; queues && i < n; i++) {
        struct span text = pg_text(r, (int)i, 0);
        memcpy(at, text.data ? text.data : "", text.len);
        queues[i] = span_of(at, text.len);
        at += text.len;
    }
    return queues;
}

/* False: it could not be read. */
static bool read_queues(struct writer *w, struct err *ret_err)
{
    struct lane *l, *next;
    struct pg_result *r;
    struct span *queues;

    r = pg_run(w->pg, sql_name(SQL_QUEUE_PAUSE_LIST), NULL, ret_err);
    if (!r)
        return false;
    if (pg_rows(r) == 0 && w->n_paused == 0) {
        pg_free(r);
        return true;
    }
    queues = copy_queues(r);
    if (!queues) {
        pg_free(r);
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        return false;
    }
    mem_free(w->paused);
    w->paused = queues;
    w->n_paused = (size_t)pg_rows(r);
    pg_free(r);
    HASH_ITER(hh, w->lanes.by_id, l, next)
    {
        l->paused = pause_holds(w, l->queue);
    }
    return true;
}

void pause_read(struct writer *w)
{
    struct err err;

    (void)read_queues(w, &err);
}

int pause_set(struct writer *w, const struct store_pause *cmd, struct err *ret_err)
{
    bool pauses = cmd->cmd.op == STORE_PAUSE;
    struct pg_result *r;

    if (pg_lost(w->pg))
        goto fail_away;
    pg_params_clear(&w->params);
    pg_add_text(&w->params, cmd->queue);
    if (pauses) {
        pg_add_text(&w->params, cmd->actor);
        pg_add_text_or_null(&w->params, cmd->reason);
    }
    r = pg_run(w->pg, sql_name(pauses ? SQL_QUEUE_PAUSE : SQL_QUEUE_RESUME), &w->params, ret_err);
    if (!r)
        goto fail_run;
    pg_free(r);
    if (!read_queues(w, ret_err))
        goto fail_run;
    return 0;
fail_run:
    if (!pg_lost(w->pg))
        return -(int)ret_err->code;
fail_away:
    err_set(ret_err, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database cannot be reached");
    ret_err->retry_after_ms = 200;
    return -ERR_UNAVAILABLE;
}

void pause_done(struct writer *w)
{
    mem_free(w->paused);
    w->paused = NULL;
    w->n_paused = 0;
}
