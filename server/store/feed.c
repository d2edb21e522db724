/* See feed.h. The feed's own thread, but for what feed.h says of others; the lock is held for moments.
 *
 * A round: read, of one moment, how far each replica is and the log of changes behind what is known of each. Whatever
 * another replica committed before a batch of ours that shows there is in that log, and nothing that followed a batch
 * of ours that does not show. So the changes of our batches up to that one (the writer is waited for until it has
 * handed them over) can be merged with the log and told.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "store/changes.h"
#include "store/engine.h"
#include "store/feed.h"
#include "store/point.h"
#include "store/silent.h"

enum {
    ITEMS_MAX = 200000, /* that wait while the database is away; past it the watches are cut */
    POLL_MS = 200,      /* without a notification */
    ALONE_MS = 1000,    /* how soon a new replica is noticed */
    ROUND_MS = 2,       /* at least, from round to round */
    NOTIFY_MS = 20,     /* at least, from notification to notification */
    APPLIED_MS = 2000   /* how long the writer may take to hand over what it has committed */
};

/* A change of this replica that waits for its turn. */
struct feed_item {
    struct job_snapshot *snapshot;
    int64_t batch, since_us;
    bool is_transition;
    struct feed_item *next;
};

struct feed {
    struct store *store;
    pthread_t thread;
    int wake_fd;
    struct pg_conn *pg; /* NULL: to be opened */
    struct pg_params params;
    struct arena arena; /* of a round */
    int64_t round_ms, notify_ms, silent_ms;
    int64_t notified; /* batch of ours that others were told of */
    pthread_mutex_t lock;
    pthread_cond_t more; /* applied has grown, or stopping */
    /* Under the lock. */
    bool stopping, others, cut;
    struct feed_item *first, **end;
    size_t n_items;
    int own;
    int64_t applied;   /* batch of ours whose changes are told or here */
    struct point told; /* what the observer has been told of */
};

/* ---- any thread, and the writer's ---- */

static void wake(struct feed *f)
{
    uint64_t one = 1;

    if (write(f->wake_fd, &one, sizeof one) < 0) {
        /* Only when the counter is full: then the thread is about to wake up anyhow. */
    }
}

bool feed_take(struct feed *f, int64_t batch, struct job_snapshot *snapshot, bool is_transition, int64_t since_us)
{
    pthread_mutex_lock(&f->lock);
    bool taken = f->others;
    if (taken) {
        struct feed_item *item = f->n_items < ITEMS_MAX ? mem_alloc(sizeof *item) : NULL;
        if (item) {
            *item = (struct feed_item){job_snapshot_ref(snapshot), batch, since_us, is_transition, NULL};
            *f->end = item;
            f->end = &item->next;
            f->n_items++;
        } else {
            f->cut = true; /* a gap must not go unseen */
        }
    }
    pthread_mutex_unlock(&f->lock);
    return taken;
}

bool feed_applied(struct feed *f, int replica, int64_t batch)
{
    pthread_mutex_lock(&f->lock);
    bool others = f->others;
    /* Another number counts other batches; what waits was committed before. */
    for (struct feed_item *item = replica == f->own ? NULL : f->first; item; item = item->next)
        item->batch = batch;
    f->own = replica;
    f->applied = batch;
    if (!others)
        f->told.batch[replica] = batch;
    pthread_cond_signal(&f->more);
    pthread_mutex_unlock(&f->lock);
    if (others)
        wake(f);
    return others;
}

void feed_point(struct feed *f, struct buf *ret_point)
{
    pthread_mutex_lock(&f->lock);
    struct point point = f->told;
    pthread_mutex_unlock(&f->lock);
    point.time_us = clock_wall_us();
    point_write(&point, ret_point);
}

/* ---- telling ---- */

static void item_free(struct feed_item *item)
{
    job_snapshot_unref(item->snapshot);
    mem_free(item);
}

static void tell_item(struct feed *f, const struct feed_item *item)
{
    const struct store_observer *o = &f->store->options.observer;

    if (item->since_us && o->repeated)
        o->repeated(o->user, item->snapshot, item->since_us);
    else if (!item->since_us)
        o->changed(o->user, item->snapshot, item->is_transition);
}

/* All of it, the changes of others where they belong. Frees the items. */
static void tell_merged(struct feed *f, struct feed_item *items, struct changes *others)
{
    const struct store_observer *o = &f->store->options.observer;

    while (items) {
        struct feed_item *item = items;
        items = item->next;
        changes_tell(others, item->snapshot->job.id, item->snapshot->job.revision, o);
        tell_item(f, item);
        item_free(item);
    }
    changes_tell_rest(others, o);
}

/* ---- a round ---- */

/* The cursor of each replica but our own, whose number is returned. */
static int put_cursor(struct feed *f)
{
    struct pg_param *replicas, *batches;

    pg_params_clear(&f->params);
    replicas = pg_add_array(&f->params, PG_INT4);
    batches = pg_add_array(&f->params, PG_INT8);
    pthread_mutex_lock(&f->lock);
    for (int i = 0; i < POINT_REPLICAS; i++) {
        if (i == f->own || f->told.batch[i] < 0)
            continue;
        pg_put_int4(replicas, i);
        pg_put_int8(batches, f->told.batch[i]);
    }
    int own = f->own;
    pthread_mutex_unlock(&f->lock);
    pg_add_int4(&f->params, CHANGES_BATCHES_MAX);
    return own;
}

/* The items of our batches up to `batch`, once the writer has handed them over. None when our number has changed since:
 * the next round will see. */
static struct feed_item *take_items(struct feed *f, int own, int64_t batch)
{
    struct timespec until;
    struct feed_item *taken, **end = &taken;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += APPLIED_MS / 1000;
    pthread_mutex_lock(&f->lock);
    while (f->own == own && f->applied < batch && f->others && !f->stopping)
        if (pthread_cond_timedwait(&f->more, &f->lock, &until) == ETIMEDOUT)
            break;
    taken = f->first;
    while (*end && f->own == own && (*end)->batch <= batch) {
        end = &(*end)->next;
        f->n_items--;
    }
    f->first = *end;
    *end = NULL;
    if (!f->first)
        f->end = &f->first;
    pthread_mutex_unlock(&f->lock);
    return taken;
}

/* What the round found out, after it has been told. skip: nothing was. */
static void note_round(struct feed *f, const struct pg_result *log, bool skip)
{
    bool others = false;

    pthread_mutex_lock(&f->lock);
    for (int i = 0; i < pg_rows(log); i++) {
        int64_t number = pg_int(log, i, 0);
        int64_t *told = &f->told.batch[number];
        if (number == f->own)
            continue;
        if (!changes_is_replica(log, i)) {
            *told = *told > pg_int(log, i, 1) ? *told : pg_int(log, i, 1);
            continue;
        }
        others |= pg_int(log, i, 3) != 0;
        if (*told < 0)
            *told = 0; /* it is new: all that it does is */
        if (skip)
            *told = pg_int(log, i, 1);
    }
    if (f->n_items == 0)
        f->told.batch[f->own] = f->applied;
    /* Back to telling at once only when nothing waits here. */
    f->others = others || f->n_items > 0;
    f->cut |= skip;
    pthread_mutex_unlock(&f->lock);
}

/* Jobs that wait and cancels are for the writer too. */
static void nudge_writer(struct feed *f, const struct pg_result *log)
{
    for (int i = 0; i < pg_rows(log); i++) {
        struct span entries = pg_text(log, i, 2);
        for (size_t k = 0, n = change_count(entries); k < n; k++) {
            struct change c = change_at(entries, k);
            if (c.is_transition && (c.status == JOB_PENDING || c.revision % (1 << JOB_REVISION_SHIFT) != 0)) {
                store_look(f->store);
                return;
            }
        }
    }
}

static bool has_items(struct feed *f)
{
    pthread_mutex_lock(&f->lock);
    bool has = f->first != NULL;
    pthread_mutex_unlock(&f->lock);
    return has;
}

/* True: there is more to tell already. */
static bool round_run(struct feed *f)
{
    struct changes others = {.n = 0};
    struct pg_result *log;
    struct err err = ERR_NONE;

    arena_reset(&f->arena);
    int own = put_cursor(f);
    log = pg_run(f->pg, sql_name(SQL_CHANGE_POLL), &f->params, &err);
    if (!log)
        return false;
    bool behind = changes_behind(log);
    if (behind || changes_load(&others, f->pg, log, &f->store->options.observer, &f->arena, &err) == 0) {
        tell_merged(f, take_items(f, own, changes_batch(log, own)), &others);
        note_round(f, log, behind);
        nudge_writer(f, log);
    }
    pg_free(log);
    return has_items(f);
}

static void notify_others(struct feed *f)
{
    struct err err;

    pthread_mutex_lock(&f->lock);
    int64_t applied = f->applied;
    bool others = f->others;
    pthread_mutex_unlock(&f->lock);
    if (!others || applied == f->notified || clock_mono_ms() - f->notify_ms < NOTIFY_MS)
        return;
    f->notify_ms = clock_mono_ms();
    f->notified = applied;
    pg_free(pg_run(f->pg, sql_name(SQL_CHANGE_NOTIFY), NULL, &err));
}

/* ---- the thread ---- */

static int open_feed(struct feed *f, struct err *ret_err)
{
    if (f->pg && !pg_lost(f->pg))
        return 0;
    pg_close(f->pg);
    f->pg = NULL;
    int rc = pg_open(f->store->uri, "joblog feed", &f->pg, ret_err);
    if (rc == 0)
        rc = prepare_all(f->pg, false, ret_err);
    if (rc == 0 && !f->store->options.poll_only)
        rc = pg_exec(f->pg, "listen joblog_change; listen joblog_dispatch", ret_err);
    if (rc < 0) {
        pg_close(f->pg);
        f->pg = NULL;
    }
    return rc;
}

/* What was missed cannot be told any more: every watch must begin anew. */
static void cut_if_needed(struct feed *f)
{
    const struct store_observer *o = &f->store->options.observer;

    pthread_mutex_lock(&f->lock);
    bool cut = f->cut;
    f->cut = false;
    pthread_mutex_unlock(&f->lock);
    if (cut && o->lost) {
        log_error("watches are cut: too many changes wait for the database");
        o->lost(o->user);
    }
}

/* Until there is something to do. */
static void rest(struct feed *f)
{
    struct pollfd p[2] = {{.fd = f->wake_fd, .events = POLLIN},
                          {.fd = f->pg ? pg_socket(f->pg) : -1, .events = POLLIN}};
    uint64_t count;

    pthread_mutex_lock(&f->lock);
    int ms = f->others ? POLL_MS : ALONE_MS;
    bool hurry = f->others && f->first != NULL;
    pthread_mutex_unlock(&f->lock);
    if (!hurry && poll(p, 2, ms) > 0 && (p[0].revents & POLLIN) && read(f->wake_fd, &count, sizeof count) < 0 &&
        errno != EAGAIN)
        log_error("reading the feed's wake-up descriptor failed errno=%d", errno);
    int64_t early = f->round_ms + ROUND_MS - clock_mono_ms();
    if (early > 0) {
        struct timespec pause = {.tv_nsec = early * 1000000};
        nanosleep(&pause, NULL);
    }
}

static bool is_stopping(struct feed *f)
{
    pthread_mutex_lock(&f->lock);
    bool stopping = f->stopping;
    pthread_mutex_unlock(&f->lock);
    return stopping;
}

static int own_number(struct feed *f)
{
    pthread_mutex_lock(&f->lock);
    int own = f->own;
    pthread_mutex_unlock(&f->lock);
    return own;
}

/* Our own commits alone need a round only when somebody here watches; others are told of them in any case. */
static bool round_due(struct feed *f, bool notified)
{
    pthread_mutex_lock(&f->lock);
    bool due = notified || f->first != NULL || clock_mono_ms() - f->round_ms >= (f->others ? POLL_MS : ALONE_MS);
    pthread_mutex_unlock(&f->lock);
    return due;
}

static void *feed_main(void *arg)
{
    struct feed *f = arg;
    struct err err;

    while (!is_stopping(f)) {
        cut_if_needed(f);
        if (open_feed(f, &err) < 0) {
            rest(f);
            struct timespec pause = {.tv_nsec = POLL_MS * INT64_C(1000000)};
            nanosleep(&pause, NULL);
            continue;
        }
        bool dispatched, changed = pg_notified(f->pg, "joblog_dispatch", &dispatched);
        if (dispatched)
            store_arrived(f->store);
        if (round_due(f, changed)) {
            f->round_ms = clock_mono_ms();
            while (round_run(f) && !is_stopping(f))
                ;
        }
        notify_others(f);
        silent_end(f->pg, own_number(f), &f->silent_ms);
        rest(f);
    }
    return NULL;
}

static void feed_free(struct feed *f)
{
    while (f->first) {
        struct feed_item *item = f->first;
        f->first = item->next;
        item_free(item);
    }
    pg_close(f->pg);
    pg_params_done(&f->params);
    arena_done(&f->arena);
    if (f->wake_fd >= 0)
        close(f->wake_fd);
    pthread_cond_destroy(&f->more);
    pthread_mutex_destroy(&f->lock);
    mem_free(f);
}

/* Where the others are now: what they did before does not concern anybody here. */
static int read_start(struct feed *f, struct err *ret_err)
{
    struct pg_result *r;
    int rc = open_feed(f, ret_err);

    if (rc < 0)
        return rc;
    (void)put_cursor(f);
    if (!(r = pg_run(f->pg, sql_name(SQL_CHANGE_POLL), &f->params, ret_err)))
        return -(int)ret_err->code;
    for (int i = 0; i < pg_rows(r); i++) {
        f->told.batch[pg_int(r, i, 0)] = pg_int(r, i, 1);
        f->others |= pg_int(r, i, 0) != f->own && pg_int(r, i, 3) != 0;
    }
    pg_free(r);
    /* They shall hear of us at once, and merge from then on. */
    if (f->others)
        pg_free(pg_run(f->pg, sql_name(SQL_CHANGE_NOTIFY), NULL, ret_err));
    return 0;
}

struct feed *feed_start(struct store *store, int replica, int64_t batch, struct err *ret_err)
{
    struct feed *f = mem_zalloc(sizeof *f);
    pthread_condattr_t attr;

    if (!f) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        return NULL;
    }
    f->store = store;
    f->own = replica;
    f->applied = f->notified = batch;
    f->end = &f->first;
    for (int i = 0; i < POINT_REPLICAS; i++)
        f->told.batch[i] = -1;
    arena_init(&f->arena, NULL, 0, 0);
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->more, &attr);
    pthread_condattr_destroy(&attr);
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->wake_fd < 0) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "no file descriptors left");
        goto fail;
    }
    if (read_start(f, ret_err) < 0)
        goto fail;
    if (pthread_create(&f->thread, NULL, feed_main, f) != 0) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "cannot start a thread");
        goto fail;
    }
    return f;
fail:
    feed_free(f);
    return NULL;
}

void feed_stop(struct feed *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_signal(&f->more);
    pthread_mutex_unlock(&f->lock);
    wake(f);
    pthread_join(f->thread, NULL);
    feed_free(f);
}
