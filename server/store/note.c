/* What a batch changes, for the log of changes: what the observer will be told, here or by another replica; and how
 * long it is kept: for a time, and at a high load only as far back as a resume point may reach, so that the table does
 * not grow with the load. Writer thread. */
#include <string.h>

#include "store/change.h"
#include "store/engine.h"

static void note_change(struct writer *w, const struct job *job, bool is_transition)
{
    struct change change = {.job_id = job->id,
                            .revision = job->revision,
                            .time_us = w->batch.now_us,
                            .attempt = job->attempt,
                            .status = job->status,
                            .retried_from = job->retried_from,
                            .is_transition = is_transition};

    change_put(&w->changes, &change);
}

void note_changes(struct writer *w)
{
    struct job job;

    buf_clear(&w->changes);
    for (const struct effect *e = w->batch.effects; e; e = e->next) {
        switch (e->kind) {
        case EFFECT_DISPATCHED:
        case EFFECT_CHANGED:
        case EFFECT_ENDED:
        case EFFECT_CANCEL_ASKED:
            note_change(w, e->job, true);
            break;
        case EFFECT_LEASED:
            note_change(w, &e->lease->base->job, true);
            break;
        case EFFECT_WRITTEN:
            lease_job(e->lease, &job);
            note_change(w, &job, false);
            break;
        case EFFECT_LOGGED: /* its lease is written soon, and noted then */
        case EFFECT_ADOPTED:
        case EFFECT_TOUCHED:
        case EFFECT_SESSION:
            break;
        }
    }
}

void note_committed(struct writer *w)
{
    w->change_bytes += (int64_t)w->changes.len;
    if (w->change_bytes < w->options->change_bytes)
        return;
    w->change_bytes = 0;
    if (w->n_change_marks == CHANGES_MARKS)
        memmove(w->change_marks, w->change_marks + 1, --w->n_change_marks * sizeof *w->change_marks);
    w->change_marks[w->n_change_marks++] = w->batch_number;
}

void note_forget(struct writer *w)
{
    w->n_change_marks = 0;
    w->change_bytes = w->changes_gone = 0;
}

bool note_purge(struct writer *w, int64_t now_us)
{
    enum { KEPT_AT_LEAST_US = 60 * 1000 * 1000 };
    struct pg_params *p = &w->params;
    int64_t beyond = w->batch_number - CHANGES_KEPT_BATCHES;
    struct err err;

    if (w->n_change_marks < CHANGES_MARKS)
        return false;
    pg_params_clear(p);
    pg_add_int4(p, w->replica);
    pg_add_int8(p, w->change_marks[0] < beyond ? w->change_marks[0] : beyond);
    pg_add_int8(p, w->changes_gone);
    pg_add_time(p, now_us - KEPT_AT_LEAST_US); /* for a reader who is just at it */
    struct pg_result *r = pg_run(w->pg, sql_name(SQL_CHANGE_BEYOND), p, &err);
    bool more = r && pg_int(r, 0, 0) > 0;
    if (more)
        w->changes_gone = pg_int(r, 0, 1);
    pg_free(r);
    return more;
}
