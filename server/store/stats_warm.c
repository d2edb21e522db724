/* See stats_warm.h. */
#include "store/stats_warm.h"

#include "base/clock.h"
#include "store/read_stats.h"

#define MINUTE_US (INT64_C(60) * 1000000)
#define HOUR_US   (60 * MINUTE_US)
#define DAY_US    (24 * HOUR_US)
/* A minute has come to rest by then (read_stats_range.c). */
#define REST_US (15 * MINUTE_US)

/* What is asked for most comes first. A piece is some hundred rows with 20 lanes. */
static const struct {
    enum stats_span span;
    int64_t piece_us, reach_us;
} steps[] = {
    {STATS_MINUTE, 15 * MINUTE_US, 3 * HOUR_US},
    {STATS_HOUR, 12 * HOUR_US, 32 * DAY_US},
    {STATS_DAY, 8 * DAY_US, 400 * DAY_US},
};
enum { STEPS = sizeof steps / sizeof *steps };

static bool read_marks(struct stats_warm *w, struct pg_conn *pg)
{
    struct err err;
    struct pg_result *rows = pg_run(pg, sql_name(SQL_STATS_MARKS), NULL, &err);

    if (!rows)
        return false;
    w->hours_us = pg_time(rows, 0, 0);
    w->days_us = pg_time(rows, 0, 1);
    pg_free(rows);
    return true;
}

static void begin_step(struct stats_warm *w)
{
    int64_t now_us = clock_wall_us(), rest_us = now_us - REST_US;

    switch (steps[w->step].span) {
    case STATS_MINUTE: /* those that no hour holds yet */
        w->next_us = rest_us - rest_us % MINUTE_US;
        w->end_us = w->hours_us;
        break;
    case STATS_HOUR:
        w->next_us = w->hours_us;
        w->end_us = 0;
        break;
    default:
        w->next_us = w->days_us;
        w->end_us = 0;
        break;
    }
    if (w->end_us < w->next_us - steps[w->step].reach_us)
        w->end_us = w->next_us - steps[w->step].reach_us;
}

static bool next_step(struct stats_warm *w)
{
    while (w->next_us <= w->end_us) {
        if (++w->step == STEPS)
            return false;
        begin_step(w);
    }
    return true;
}

static bool read_piece(struct stats_warm *w, const struct store *store, struct pg_conn *pg)
{
    struct reader r = {.readers = store->readers, .pg = pg, .stats = readers_stats(store)};
    int64_t from_us = w->next_us - steps[w->step].piece_us;
    struct err err;
    int rc;

    if (from_us < w->end_us)
        from_us = w->end_us;
    rc = read_stats_keep(&r, steps[w->step].span, from_us, w->next_us, &err);
    pg_params_done(&r.params);
    w->next_us = from_us;
    /* With very many lanes the latest is what there is room for. */
    return rc == 0 && stats_cache_bytes(r.stats) < STATS_CACHE_BYTES / 2;
}

bool stats_warm_more(struct stats_warm *w, const struct store *store, struct pg_conn *pg)
{
    if (w->done)
        return false;
    if (!w->begun) {
        w->begun = true;
        w->done = !read_marks(w, pg);
        if (!w->done)
            begin_step(w);
    }
    w->done = w->done || !next_step(w) || !read_piece(w, store, pg);
    return !w->done;
}
