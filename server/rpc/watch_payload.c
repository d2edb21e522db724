/* See watch_payload.h. */
#include "rpc/watch_payload.h"

#include "base/alloc.h"

struct payload_look *payload_look_new(const struct job_filter *filter, bool until_final)
{
    struct payload_look *look = mem_zalloc(sizeof *look);
    if (!look)
        return NULL;
    arena_init(&look->arena, NULL, 0, 0);
    look->filter = filter;
    look->until_final = until_final;
    return look;
}

void payload_look_free(struct payload_look *look)
{
    if (!look)
        return;
    while (look->at < look->n_taken)
        job_snapshot_unref(look->taken[look->at++]);
    seen_done(&look->matching);
    arena_done(&look->arena);
    mem_free(look);
}

void payload_look_add(struct payload_look *look, int64_t job_id)
{
    look->ids[look->n_ids++] = job_id;
}

void payload_look_take(struct payload_look *look, struct hub *hub, struct hub_watch *watch, struct job_snapshot *first)
{
    bool cut; /* is said again when the next one is asked for */
    look->n_taken = look->at = 0;
    for (struct job_snapshot *s = first; s; s = hub_next(hub, watch, &cut)) {
        look->taken[look->n_taken++] = s;
        payload_look_add(look, s->job.id);
        if (look->n_taken == PAYLOAD_LOOK_MAX)
            break;
    }
}

struct store_cmd *payload_look_ask(struct payload_look *look)
{
    arena_reset(&look->arena);
    look->list = (struct store_list){.cmd = {.op = STORE_LIST},
                                     .filter = {.ids = look->ids,
                                                .n_ids = look->n_ids,
                                                .payload = look->filter->payload,
                                                .n_payload = look->filter->n_payload},
                                     .limit = PAYLOAD_LOOK_MAX,
                                     .arena = &look->arena};
    look->n_ids = 0;
    return &look->list.cmd;
}

bool payload_look_fits(const struct payload_look *look, int64_t job_id)
{
    for (size_t i = 0; i < look->list.n_jobs; i++)
        if (look->list.jobs[i].id == job_id)
            return true;
    return false;
}

void payload_look_sent(struct payload_look *look, const struct job *job)
{
    /* A completed job stays what it is but for its payload, which nobody patches any more. */
    if (job->status == JOB_COMPLETED)
        seen_remove(&look->matching, job->id);
    else if (look->matching.n_jobs < HUB_SHOWN_MAX || seen_revision(&look->matching, job->id))
        (void)seen_put(&look->matching, job->id, job->revision, true);
}

static bool is_wanted(struct payload_look *look, const struct job *job)
{
    bool fits = payload_look_fits(look, job->id);
    bool matched = seen_revision(&look->matching, job->id) != 0 || (fits && job_filter_lets_go(look->filter, job));
    if (fits && job_filter_matches_now(look->filter, job)) {
        payload_look_sent(look, job);
        return true;
    }
    /* Who waits for the end of what matched follows it to its end. */
    if (matched && (!look->until_final || job_status_is_final(job->status)))
        seen_remove(&look->matching, job->id);
    return matched;
}

struct job_snapshot *payload_look_next(struct payload_look *look)
{
    while (look->at < look->n_taken) {
        struct job_snapshot *s = look->taken[look->at++];
        if (is_wanted(look, &s->job))
            return s;
        job_snapshot_unref(s);
    }
    return NULL;
}
