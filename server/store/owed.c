/* What is owed to the counters: the present values of a few lanes, as JSON in the replica's own row, which each batch
 * writes anyway. To write the rows of two tables as well is a fifth of a millisecond, as much as a job and its lease
 * together; so it is done once in OWED_US, or when a batch is about more lanes than fit. The views tally_now and
 * minute_now have both. Writer thread. */
#include <inttypes.h>

#include "store/engine.h"
#include "store/owed.h"

enum {
    OWED_LANES = 3,
    OWED_BYTES = 1600, /* more would be compressed, or kept apart from the row (TOAST) */
    OWED_US = 1000 * 1000,
    REST_US = 10 * 1000 * 1000 /* after a batch that could not write the rows: somebody may have locked one */
};

static int64_t due_us(const struct lanes *l)
{
    return l->owing_us + OWED_US > l->owed_rest_us ? l->owing_us + OWED_US : l->owed_rest_us;
}

bool owed_due(const struct writer *w, int64_t now_us)
{
    const struct lanes *l = &w->lanes;

    return l->owing && (now_us >= due_us(l) || now_us < l->owing_us || w->final);
}

int64_t owed_due_us(const struct writer *w)
{
    return w->lanes.owing ? due_us(&w->lanes) : INT64_MAX;
}

void owed_rest(struct writer *w)
{
    w->lanes.owed_rest_us = clock_wall_us() + REST_US; /* the batch may have waited for long */
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

static bool note_lanes(struct writer *w, int64_t minute_us)
{
    struct buf *b = &w->owed;
    int n = 0;

    buf_printf(b, "{\"minute\":%" PRId64 ",\"lanes\":", minute_us / 1000000);
    for (const struct lane *l = w->lanes.touched; l; l = l->next_touched) {
        if (n == OWED_LANES || (l->owes_minute && l->minute_us != minute_us))
            return false;
        buf_add_char(b, n++ == 0 ? '[' : ',');
        add_lane(b, l, minute_us);
    }
    buf_add_str(b, "]}");
    return b->len <= OWED_BYTES && !b->failed;
}

bool owed_note(struct writer *w, int64_t minute_us)
{
    bool good = note_lanes(w, minute_us);

    if (!good)
        buf_clear(&w->owed);
    return good;
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
    pg_params_clear(params);
    if (replica >= 0)
        pg_add_int4(params, replica);
    else
        pg_add_null(params);
    pg_send(pg, sql_name(SQL_OWED_SETTLE), params);
    pg_send_commit(pg); /* at once: whoever is stopped now keeps no replica's row locked */
    pg_free(pg_read(pg));
    return pg_commit(pg, ret_err);
}
