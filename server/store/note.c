/* What a batch changes, for the log of changes: what the observer will be told, here or by another replica. Writer
 * thread. */
#include "store/change.h"
#include "store/engine.h"

static void note_change(struct writer *w, const struct job *job, bool is_transition)
{
    struct change change = {.job_id = job->id,
                            .revision = job->revision,
                            .time_us = w->batch.now_us,
                            .attempt = job->attempt,
                            .status = job->status,
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
