/* Exact counters: what a batch adds is gathered by lane and written in the batch's own transaction. A row belongs to
 * one replica number and is written as its present value, so that writing it twice does no harm. Writer thread.
 *
 * These few rows have a new version with each batch, which PostgreSQL prunes as it goes, but not while an old snapshot
 * is held. Then each look at the index would pass all of them. So a row is written by where it lies, as the last write
 * of it told; by its key when that is not known, after a batch that failed or a reconnect.
 *
 * A batch that is about a few lanes only notes what it would write (owed.c). */
#include <limits.h>
#include <stdio.h>

#include "store/engine.h"
#include "store/owed.h"

enum { MINUTE_US = 60 * 1000 * 1000 };

static void touch(struct writer *w, struct lane *lane)
{
    if (lane->touched)
        return;
    lane->touched = true;
    lane->next_touched = w->lanes.touched;
    w->lanes.touched = lane;
}

void count_change(struct writer *w, struct lane *lane, int from, int to)
{
    touch(w, lane);
    if (from)
        lane->tally_more[from]--;
    lane->tally_more[to]++;
    if (!from)
        lane->more.dispatched++;
    else if (to == JOB_COMPLETED)
        lane->more.completed++;
    else if (to == JOB_FAILED)
        lane->more.failed++;
    else if (to == JOB_CANCELLED)
        lane->more.cancelled++;
}

void count_retry(struct writer *w, struct lane *lane)
{
    touch(w, lane);
    lane->more.retried++;
}

void count_run(struct writer *w, struct lane *lane, const struct job *job)
{
    int64_t run = job->end_us - job->start_us, wait = job->start_us - job->run_us;

    touch(w, lane);
    run = run > 0 ? run : 0;
    wait = wait > 0 ? wait : 0;
    lane->more.n_runs++;
    lane->more.run_us_sum += run;
    lane->more.wait_us_sum += wait;
    lane->more.run_hist[histogram_bucket(run)]++;
    lane->more.wait_hist[histogram_bucket(wait)]++;
}

static void add_counters(struct minute_counters *to, const struct minute_counters *more)
{
    to->dispatched += more->dispatched;
    to->completed += more->completed;
    to->failed += more->failed;
    to->cancelled += more->cancelled;
    to->retried += more->retried;
    to->n_runs += more->n_runs;
    to->run_us_sum += more->run_us_sum;
    to->wait_us_sum += more->wait_us_sum;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        to->run_hist[i] += more->run_hist[i];
        to->wait_hist[i] += more->wait_hist[i];
    }
}

void counters_hist(struct buf *buf, const int32_t *hist)
{
    int first = 0, last = HISTOGRAM_BUCKETS - 1;

    while (first < last && hist[first] == 0)
        first++;
    while (last > first && hist[last] == 0)
        last--;
    if (hist[first] == 0) {
        buf_add_str(buf, "{}");
        return;
    }
    buf_printf(buf, "[%d:%d]=", first, last); /* the lower bound says which the first is */
    for (int i = first; i <= last; i++)
        buf_printf(buf, "%c%d", i > first ? ',' : '{', hist[i]);
    buf_add_char(buf, '}');
}

static int64_t minute_of(int64_t us)
{
    return us - us % MINUTE_US;
}

/* Claims move jobs to running without an entry for the minute. */
static bool minute_touched(const struct minute_counters *c)
{
    return c->dispatched || c->completed || c->failed || c->cancelled || c->retried || c->n_runs;
}

bool counters_minute(const struct lane *lane, int64_t minute_us, bool past, struct minute_counters *ret)
{
    bool same = lane->minute_us == minute_us;

    if (!(same && lane->owes_minute) && (past || !minute_touched(&lane->more)))
        return false;
    *ret = past ? (struct minute_counters){0} : lane->more;
    if (same)
        add_counters(ret, &lane->now);
    return true;
}

static void put_minute(struct pg_params *p, struct buf *room, const struct lane *lane, const struct minute_counters *c)
{
    const int64_t values[] = {c->dispatched, c->completed, c->failed,     c->cancelled,
                              c->retried,    c->n_runs,    c->run_us_sum, c->wait_us_sum};
    struct pg_param *a = p->v;
    pg_put_int4(a++, lane->id);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        pg_put_int8(a++, values[i]);
    buf_clear(room);
    counters_hist(room, c->run_hist);
    a->buf.failed |= room->failed;
    pg_put_text(a++, buf_span(room));
    buf_clear(room);
    counters_hist(room, c->wait_hist);
    pg_put_text(a, buf_span(room));
    a->buf.failed |= room->failed;
}

/* Those whose place is known, or the others. False: there are none. */
static bool send_minutes(struct writer *w, int64_t minute_us, bool known)
{
    static const enum pg_type types[] = {PG_INT4, PG_INT8, PG_INT8, PG_INT8, PG_INT8, PG_INT8,
                                         PG_INT8, PG_INT8, PG_INT8, PG_TEXT, PG_TEXT, PG_TID};
    enum { PLACES = 11 };
    bool past = minute_us != minute_of(w->batch.now_us);
    struct pg_params *p = &w->params;
    struct minute_counters c;

    pg_params_clear(p);
    pg_arrays(p, types, known ? PLACES + 1 : PLACES);
    for (struct lane *l = w->lanes.touched; l; l = l->next_touched) {
        bool has_place = l->minute_us == minute_us && l->minute_place && !past;
        if (has_place != known || !counters_minute(l, minute_us, past, &c))
            continue;
        put_minute(p, &w->owed, l, &c);
        if (known)
            pg_put_place(&p->v[PLACES], l->minute_place);
    }
    buf_clear(&w->owed);
    int32_t n = p->v[0].n;
    if (n == 0)
        return false;
    pg_add_int4(p, w->replica);
    pg_add_time(p, minute_us);
    if (known)
        pg_add_int4(p, n);
    pg_send(w->pg, sql_name(known ? SQL_MINUTE_SET : SQL_MINUTE_PUT), p);
    return true;
}

/* The minute before, of which rows are owed. */
static bool send_past_minute(struct writer *w)
{
    int64_t minute_us = minute_of(w->batch.now_us);

    for (const struct lane *l = w->lanes.touched; l; l = l->next_touched)
        if (l->owes_minute && l->minute_us != minute_us)
            return send_minutes(w, l->minute_us, false);
    return false;
}

/* Those whose place is known, or the others. False: there are none. */
static bool send_tallies(struct writer *w, bool known)
{
    struct pg_params *p = &w->params;
    struct pg_param *lanes, *statuses, *values, *places = NULL;

    pg_params_clear(p);
    pg_add_int4(p, w->replica);
    lanes = pg_add_array(p, PG_INT4);
    statuses = pg_add_array(p, PG_INT2);
    values = pg_add_array(p, PG_INT8);
    if (known)
        places = pg_add_array(p, PG_TID);
    for (struct lane *l = w->lanes.touched; l; l = l->next_touched) {
        for (int s = 1; s < JOB_STATUS_COUNT; s++) {
            if ((l->tally_more[s] == 0 && !(l->owed_statuses & 1u << s)) || (l->tally_place[s] != 0) != known)
                continue;
            pg_put_int4(lanes, l->id);
            pg_put_int2(statuses, (int16_t)s);
            pg_put_int8(values, l->tally[s] + l->tally_more[s]);
            if (known)
                pg_put_place(places, l->tally_place[s]);
        }
    }
    if (lanes->n == 0)
        return false;
    if (known)
        pg_add_int4(p, lanes->n);
    pg_send(w->pg, sql_name(known ? SQL_TALLY_SET : SQL_TALLY_PUT), p);
    return true;
}

void counters_send(struct writer *w)
{
    struct batch *b = &w->batch;
    int64_t minute_us = minute_of(b->now_us);
    bool due = owed_due(w, b->now_us);

    buf_clear(&w->owed);
    if (b->n_sent == 0 && !due)
        return;
    for (struct lane *l = w->lanes.owing; l; l = l->next_owing)
        touch(w, l);
    if (!w->lanes.touched)
        return;
    b->owes = !due && owed_note(w, minute_us);
    if (b->owes)
        return;
    b->pays = w->lanes.owing != NULL;
    b->sent_minute_past = send_past_minute(w);
    b->sent_minute_set = send_minutes(w, minute_us, true);
    b->sent_minute_put = send_minutes(w, minute_us, false);
    b->sent_tally_set = send_tallies(w, true);
    b->sent_tally_put = send_tallies(w, false);
    b->by_place |= b->sent_minute_set || b->sent_tally_set;
    b->n_sent++;
}

static void read_minutes(struct writer *w)
{
    struct pg_result *r = pg_read(w->pg);

    for (int i = 0; r && i < pg_rows(r); i++) {
        struct lane *l = lanes_by_id(&w->lanes, (int32_t)pg_int(r, i, 0));
        if (l)
            l->minute_place = pg_place(r, i, 1);
    }
    pg_free(r);
}

static void read_tallies(struct writer *w)
{
    struct pg_result *r = pg_read(w->pg);

    for (int i = 0; r && i < pg_rows(r); i++) {
        struct lane *l = lanes_by_id(&w->lanes, (int32_t)pg_int(r, i, 0));
        int64_t status = pg_int(r, i, 1);
        if (l && status > 0 && status < JOB_STATUS_COUNT)
            l->tally_place[status] = pg_place(r, i, 2);
    }
    pg_free(r);
}

void counters_read(struct writer *w, int n_after)
{
    struct batch *b = &w->batch;

    pg_skip(w->pg, b->sent_minute_past + b->sent_minute_set + b->sent_minute_put + b->sent_tally_set +
                       b->sent_tally_put + n_after);
    if (b->sent_minute_past)
        pg_free(pg_read(w->pg));
    if (b->sent_minute_set)
        read_minutes(w);
    if (b->sent_minute_put)
        read_minutes(w);
    if (b->sent_tally_set)
        read_tallies(w);
    if (b->sent_tally_put)
        read_tallies(w);
}

static void forget_places(struct lane *l)
{
    l->minute_place = 0;
    memset(l->tally_place, 0, sizeof l->tally_place);
}

/* What a committed batch added. */
static void commit_lane(struct writer *w, struct lane *l)
{
    int64_t minute = minute_of(w->batch.now_us);
    bool owes = w->batch.owes, new_minute = minute_touched(&l->more);
    unsigned new_statuses = 0;

    if (l->minute_us != minute) {
        memset(&l->now, 0, sizeof l->now);
        if (owes || !new_minute)
            l->minute_place = 0; /* of the minute before */
    }
    l->minute_us = minute;
    add_counters(&l->now, &l->more);
    for (int s = 1; s < JOB_STATUS_COUNT; s++) {
        l->tally[s] += l->tally_more[s];
        new_statuses |= l->tally_more[s] ? 1u << s : 0;
    }
    if (owes) {
        owed_committed(w, l, new_minute, new_statuses);
    } else {
        l->owes_minute = false;
        l->owed_statuses = 0;
    }
}

static void untouch(struct writer *w, bool commit)
{
    if (commit && w->lanes.touched) { /* all that owed something are among them */
        if (!w->lanes.owing)
            w->lanes.owing_us = w->batch.now_us;
        w->lanes.owing = NULL;
        w->lanes.owed_rest_us = w->batch.owes ? w->lanes.owed_rest_us : 0;
    }
    for (struct lane *l = w->lanes.touched; l; l = l->next_touched) {
        if (commit)
            commit_lane(w, l);
        else
            forget_places(l);
        memset(&l->more, 0, sizeof l->more);
        memset(l->tally_more, 0, sizeof l->tally_more);
        l->touched = false;
    }
    w->lanes.touched = NULL;
}

void counters_commit(struct writer *w)
{
    untouch(w, true);
}

void counters_drop(struct writer *w)
{
    if (w->batch.pays)
        owed_rest(w);
    untouch(w, false);
}

static void read_hist(const struct pg_result *r, int row, int col, int32_t *hist)
{
    int64_t sums[HISTOGRAM_BUCKETS] = {0};

    pg_add_ints(r, row, col, sums, HISTOGRAM_BUCKETS);
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        hist[i] = sums[i] > INT_MAX ? INT_MAX : (int32_t)sums[i];
}

static void read_minute(struct writer *w, const struct pg_result *r, int64_t minute_us)
{
    for (int i = 0; i < pg_rows(r); i++) {
        struct lane *l = lanes_by_id(&w->lanes, (int32_t)pg_int(r, i, 0));
        if (!l)
            continue;
        l->minute_us = minute_us;
        l->now = (struct minute_counters){
            .dispatched = pg_int(r, i, 1),
            .completed = pg_int(r, i, 2),
            .failed = pg_int(r, i, 3),
            .cancelled = pg_int(r, i, 4),
            .retried = pg_int(r, i, 5),
            .n_runs = pg_int(r, i, 6),
            .run_us_sum = pg_int(r, i, 7),
            .wait_us_sum = pg_int(r, i, 8),
        };
        read_hist(r, i, 9, l->now.run_hist);
        read_hist(r, i, 10, l->now.wait_hist);
    }
}

/* A minute that began before the batch may end meanwhile; the one that follows starts from zero. A row of the new
 * minute can only be there when the clock stepped back, so the rows of the present and the next minute are looked at.
 */
static int load_minute(struct writer *w, int64_t minute_us, struct err *ret_err)
{
    struct pg_result *r;

    pg_params_clear(&w->params);
    pg_add_int4(&w->params, w->replica);
    pg_add_time(&w->params, minute_us);
    r = pg_run(w->pg, sql_name(SQL_MINUTE_LIST), &w->params, ret_err);
    if (!r)
        return -(int)ret_err->code;
    read_minute(w, r, minute_us);
    pg_free(r);
    return 0;
}

int counters_load(struct writer *w, struct err *ret_err)
{
    struct lane *l, *next;
    struct pg_result *r;

    HASH_ITER(hh, w->lanes.by_id, l, next)
    {
        l->minute_us = 0;
        memset(&l->now, 0, sizeof l->now);
        memset(l->tally, 0, sizeof l->tally);
        l->owes_minute = false;
        l->owed_statuses = 0;
        forget_places(l);
    }
    w->lanes.owing = NULL;
    if (owed_settle(w->pg, &w->params, w->replica, ret_err) < 0)
        return -(int)ret_err->code;
    pg_params_clear(&w->params);
    pg_add_int4(&w->params, w->replica);
    r = pg_run(w->pg, sql_name(SQL_TALLY_LIST), &w->params, ret_err);
    if (!r)
        return -(int)ret_err->code;
    for (int i = 0; i < pg_rows(r); i++) {
        int status = (int)pg_int(r, i, 1);
        l = lanes_by_id(&w->lanes, (int32_t)pg_int(r, i, 0));
        if (l && status > 0 && status < JOB_STATUS_COUNT)
            l->tally[status] = pg_int(r, i, 2);
    }
    pg_free(r);
    return load_minute(w, minute_of(clock_wall_us()), ret_err);
}
