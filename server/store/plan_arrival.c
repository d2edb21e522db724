/* Jobs that were dispatched from SQL: taken up by a batch as if they had been dispatched in it, but that their rows are
 * there already. Writer thread. */
#include "store/engine.h"

void arrival_send(struct writer *w)
{
    pg_send(w->pg, sql_name(SQL_ARRIVAL_TAKE), NULL);
    w->batch.n_sent++;
}

static void plan_row(struct writer *w, const struct pg_result *r, int row)
{
    struct lane *lane =
        lanes_add(w, (int32_t)pg_int(r, row, ROW_LANE), pg_text(r, row, ROW_QUEUE), pg_text(r, row, ROW_NAME));
    struct dispatch_item *item = arena_zalloc(&w->batch.arena, sizeof *item);

    if (!lane || !item || !row_job(r, row, &w->batch.arena, &item->job)) {
        w->batch.failed_memory = true;
        return;
    }
    if (!batch_own(w, item->job.id)) {
        w->batch.spoilt = true; /* somebody's command is about it: first that, then this */
        return;
    }
    item->job.status = JOB_PENDING;
    dispatch_place(w, item, lane);
}

void arrival_plan(struct writer *w)
{
    const struct pg_result *r = w->batch.arrived;

    for (int i = 0; r && i < pg_rows(r); i++)
        plan_row(w, r, i);
    /* Where there are some there may be more. */
    if (r)
        w->arrivals = pg_rows(r) > 0;
}
