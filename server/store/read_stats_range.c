/* The counters of a range: days and hours where whole ones have been summed up and the buckets allow it, minutes
 * elsewhere. What cannot change any more is looked for in memory first, and kept there; so a call asks the database for
 * little more than the last quarter of an hour. A reader's thread. */
#include <string.h>

#include "store/read_stats.h"
#include "store/stats_cache.h"

#define MINUTE_US (INT64_C(60) * 1000000)
#define HOUR_US   (60 * MINUTE_US)
#define DAY_US    (24 * HOUR_US)
/* A minute has come to rest by then, as the janitor assumes of hours (janitor.c). */
#define REST_US (15 * MINUTE_US)

static const int64_t lengths[STATS_SPANS] = {MINUTE_US, HOUR_US, DAY_US};

struct range_reader {
    struct reader *r;
    struct store_stats *cmd; /* NULL: nothing is added up, only kept */
    const struct stats_table *t;
    int64_t kept_us; /* minutes before this, all of them summed up, may have been deleted */
    int64_t rest_us; /* minutes before this have come to rest */
};

static int64_t floor_to(int64_t us, int64_t length)
{
    return us - us % length;
}

static int64_t ceil_to(int64_t us, int64_t length)
{
    return floor_to(us + length - 1, length);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct stats_sums *bucket_of(const struct store_stats *cmd, int64_t time_us)
{
    int64_t at = cmd->bucket_us ? (time_us - cmd->from_us) / cmd->bucket_us : -1;

    return at >= 0 && (size_t)at < cmd->n_buckets ? &cmd->buckets[at] : NULL;
}

static void add_slot(const struct range_reader *rr, const struct stats_slot *slot, int64_t time_us)
{
    struct stats_sums *bucket = bucket_of(rr->cmd, time_us);
    const struct stats_lane *lane;

    for (size_t at = 0; (lane = stats_slot_next(slot, &at));) {
        struct stats_row *row = stats_table_row(rr->t, stats_lane_id(lane));
        if (!row)
            continue;
        stats_lane_add(lane, &row->sums);
        if (bucket)
            stats_lane_add(lane, bucket);
    }
}

static void read_sums(const struct pg_result *rows, int i, struct stats_sums *ret_sums)
{
    memset(ret_sums, 0, sizeof *ret_sums);
    ret_sums->dispatched = pg_int(rows, i, 2);
    ret_sums->completed = pg_int(rows, i, 3);
    ret_sums->failed = pg_int(rows, i, 4);
    ret_sums->cancelled = pg_int(rows, i, 5);
    ret_sums->retried = pg_int(rows, i, 6);
    ret_sums->n_runs = pg_int(rows, i, 7);
    ret_sums->run_us_sum = pg_int(rows, i, 8);
    ret_sums->wait_us_sum = pg_int(rows, i, 9);
    pg_add_ints(rows, i, 10, ret_sums->run_hist, HISTOGRAM_BUCKETS);
    pg_add_ints(rows, i, 11, ret_sums->wait_hist, HISTOGRAM_BUCKETS);
}

static struct pg_result *ask(struct reader *r, enum stats_span span, int64_t from_us, int64_t before_us,
                             struct err *ret_err)
{
    pg_params_clear(&r->params);
    pg_add_int4(&r->params, (int32_t)span);
    pg_add_time(&r->params, from_us);
    pg_add_time(&r->params, before_us);
    return read_rows(r, SQL_STATS_RANGE, ret_err);
}

/* The rows of one span of time, from row *at on, as a slot; NULL: out of memory. */
static struct stats_slot *take_slot(const struct pg_result *rows, int *at, enum stats_span span, int64_t time_us)
{
    struct stats_slot *slot = stats_slot_new(span, time_us);
    struct stats_sums sums;

    for (; slot && *at < pg_rows(rows) && pg_time(rows, *at, 0) == time_us; ++*at) {
        read_sums(rows, *at, &sums);
        if (!stats_slot_add(slot, (int32_t)pg_int(rows, *at, 1), &sums)) {
            stats_slot_unref(slot);
            slot = NULL;
        }
    }
    return slot;
}

/* Reads a part and adds it; `keep`: into the cache, too. */
static int load(const struct range_reader *rr, enum stats_span span, int64_t from_us, int64_t before_us, bool keep,
                struct err *ret_err)
{
    struct pg_result *rows = ask(rr->r, span, from_us, before_us, ret_err);
    int at = 0, rc = 0;

    if (!rows)
        return -(int)ret_err->code;
    for (int64_t time_us = from_us; rc == 0 && time_us < before_us; time_us += lengths[span]) {
        struct stats_slot *slot = take_slot(rows, &at, span, time_us);
        if (!slot) {
            rc = read_out_of_memory(ret_err);
            break;
        }
        if (keep)
            stats_cache_put(rr->r->stats, slot);
        if (rr->cmd)
            add_slot(rr, slot, time_us);
        stats_slot_unref(slot);
    }
    pg_free(rows);
    return rc;
}

/* What has come to rest, a whole number of spans: from memory; what is not there in as few queries as possible. */
static int add_settled(const struct range_reader *rr, enum stats_span span, int64_t from_us, int64_t before_us,
                       struct err *ret_err)
{
    int64_t missing_us = from_us;
    int rc = 0;

    for (int64_t time_us = from_us; rc == 0 && time_us < before_us; time_us += lengths[span]) {
        struct stats_slot *slot = stats_cache_get(rr->r->stats, span, time_us);
        if (!slot)
            continue;
        add_slot(rr, slot, time_us);
        stats_slot_unref(slot);
        if (missing_us < time_us)
            rc = load(rr, span, missing_us, time_us, true, ret_err);
        missing_us = time_us + lengths[span];
    }
    return rc == 0 && missing_us < before_us ? load(rr, span, missing_us, before_us, true, ret_err) : rc;
}

/* What may have been deleted is not told, be it still in a table or in memory: so all replicas say the same. */
static int add_minutes(const struct range_reader *rr, int64_t from_us, int64_t before_us, struct err *ret_err)
{
    int64_t from = ceil_to(from_us > rr->kept_us ? from_us : rr->kept_us, MINUTE_US);
    int64_t before = ceil_to(before_us, MINUTE_US);
    int64_t rest = least(before, rr->rest_us);
    int rc = from < rest ? add_settled(rr, STATS_MINUTE, from, rest, ret_err) : 0;

    if (from < rest)
        from = rest;
    return rc == 0 && from < before ? load(rr, STATS_MINUTE, from, before, false, ret_err) : rc;
}

/* Minutes, hours or days: the longest that no bucket cuts. */
static enum stats_span span_for(const struct store_stats *cmd)
{
    return cmd->bucket_us == 0 || cmd->bucket_us > HOUR_US ? STATS_DAY
           : cmd->bucket_us == HOUR_US                     ? STATS_HOUR
                                                           : STATS_MINUTE;
}

static int add_hours(const struct range_reader *rr, const struct stats_marks *marks, int64_t from_us, int64_t before_us,
                     struct err *ret_err)
{
    int64_t d1 = ceil_to(from_us, DAY_US), d2 = least(floor_to(before_us, DAY_US), marks->days_us);
    int rc;

    if (span_for(rr->cmd) < STATS_DAY || d1 >= d2)
        return add_settled(rr, STATS_HOUR, from_us, before_us, ret_err);
    if ((rc = add_settled(rr, STATS_HOUR, from_us, d1, ret_err)) != 0 ||
        (rc = add_settled(rr, STATS_DAY, d1, d2, ret_err)) != 0)
        return rc;
    return add_settled(rr, STATS_HOUR, d2, before_us, ret_err);
}

int read_stats_range(struct reader *r, struct store_stats *cmd, const struct stats_marks *marks,
                     const struct stats_table *t, struct err *ret_err)
{
    int64_t now_us = clock_wall_us();
    struct range_reader rr = {r, cmd, t, least(now_us - stats_minute_days(r) * DAY_US, marks->hours_us),
                              floor_to(now_us - REST_US, MINUTE_US)};
    /* What has not been yet would be looked through minute by minute, for nothing. */
    int64_t to_us = least(cmd->to_us, now_us + HOUR_US);
    int64_t h1 = ceil_to(cmd->from_us, HOUR_US), h2 = least(floor_to(to_us, HOUR_US), marks->hours_us);
    int rc;

    if (cmd->from_us >= to_us)
        return 0;
    if (span_for(cmd) < STATS_HOUR || h1 >= h2)
        return add_minutes(&rr, cmd->from_us, to_us, ret_err);
    if ((rc = add_minutes(&rr, cmd->from_us, h1, ret_err)) != 0 || (rc = add_hours(&rr, marks, h1, h2, ret_err)) != 0)
        return rc;
    return add_minutes(&rr, h2, to_us, ret_err);
}

int read_stats_keep(struct reader *r, enum stats_span span, int64_t from_us, int64_t before_us, struct err *ret_err)
{
    struct range_reader rr = {.r = r};

    return load(&rr, span, from_us, before_us, true, ret_err);
}
