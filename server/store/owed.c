/* What is owed to the counters: the present values of a lane or two, as JSON in the replica's own row, which each batch
 * writes anyway. To write the rows of two tables as well is a fifth of a millisecond, as much as a job and its lease
 * together; so it is done once in OWED_US, or when a batch is about more lanes than fit. The views tally_now and
 * minute_now have both. Writer thread. */
#include <inttypes.h>

#include "store/engine.h"
#include "store/owed.h"

enum {
    OWED_LANES = 3,
    OWED_BYTES = 1600, /* more would be kept apart from the row (TOAST) */
    OWED_US = 1000 * 1000
};

bool owed_due(const struct writer *w, int64_t now_us)
{
    const struct lanes *l = &w->lanes;

    return l->owing && (now_us - l->owing_us >= OWED_US || now_us < l->owing_us || w->final);
}

int64_t owed_due_us(const struct writer *w)
{
    return w->lanes.owing ? w->lanes.owing_us + OWED_US : INT64_MAX;
}

static void add_minute(struct buf *b, const struct minute_counters *c)
{
    buf_printf(
        b, "\"c\":[%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "]",
        c->dispatched, c->completed, c->failed, c->cancelled, c->retried, c->n_runs, c->run_us_sum, c->wait_us_sum);
    buf_add_str(b, ",\"r\":\"");
    counters_hist(b, c->run_hist);
    buf_add_str(b, "\",\"w\":\"");
    counters_hist(b, c->wait_hist);
    buf_add_char(b, '"');
}

static void add_lane(struct buf *b, const struct lane *l, int64_t minute_us)
{
    struct minute_counters c;

    buf_printf(b, "{\"lane\":%" PRId32 ",\"n\":", l->id);
    for (int s = 1; s < JOB_STATUS_COUNT; s++)
        buf_printf(b, "%c%" PRId64, s == 1 ? '[' : ',', l->tally[s] + l->tally_more[s]);
    buf_add_str(b, "],");
    if (counters_minute(l, minute_us, false, &c))
        add_minute(b, &c);
    else
        buf_add_str(b, "\"c\":null");
    buf_add_char(b, '}');
}

bool owed_note(struct writer *w, int64_t minute_us)
{
    struct buf *b = &w->owed;
    int n = 0;

    buf_printf(b, "{\"minute\":%" PRId64 ",\"lanes\":", minute_us / 1000000);
    for (const struct lane *l = w->lanes.touched; l; l = l->next_touched) {
        if (n == OWED_LANES || b->len > OWED_BYTES || (l->owes_minute && l->minute_us != minute_us)) {
            n = 0;
            break;
        }
        buf_add_char(b, n++ == 0 ? '[' : ',');
        add_lane(b, l, minute_us);
    }
    buf_add_str(b, "]}");
    if (n > 0 && b->len <= OWED_BYTES && !b->failed)
        return true;
    buf_clear(b);
    return false;
}

void owed_committed(struct writer *w, struct lane *l, bool minute, unsigned statuses)
{
    l->owes_minute |= minute;
    l->owed_statuses |= statuses;
    if (!l->owes_minute && !l->owed_statuses)
        return;
    l->next_owing = w->lanes.owing;
    w->lanes.owing = l;
}

int owed_settle(struct pg_conn *pg, struct pg_params *params, int replica, struct err *ret_err)
{
    struct pg_result *r;

    pg_params_clear(params);
    if (replica >= 0)
        pg_add_int4(params, replica);
    else
        pg_add_null(params);
    r = pg_run(pg, sql_name(SQL_OWED_SETTLE), params, ret_err);
    pg_free(r);
    return r ? 0 : -(int)ret_err->code;
}
