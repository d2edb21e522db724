/* The store from outside: opening, submitting, closing. store_submit runs on any thread; the rest on the owner's. */
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "store/engine.h"
#include "store/janitor.h"
#include "store/pause.h"

static void set_defaults(struct store_options *o)
{
    if (o->n_readers == 0)
        o->n_readers = 2;
    if (o->batch_max == 0)
        o->batch_max = 1000;
    if (o->change_bytes == 0)
        o->change_bytes = CHANGES_MARK_BYTES;
    if (o->queue_max == 0)
        o->queue_max = 100000;
    if (o->lease_timeout_ms == 0)
        o->lease_timeout_ms = 30000;
    if (o->held_bytes == 0)
        o->held_bytes = INT64_C(64) << 20;
    if (o->reconnect_ms == 0)
        o->reconnect_ms = 30000;
    if (o->minute_days == 0)
        o->minute_days = 14;
    if (o->request_ttl_ms == 0)
        o->request_ttl_ms = INT64_C(24) * 3600 * 1000;
}

static void writer_free(struct writer *w)
{
    struct lease *l, *next;
    struct store_session *s;

    if (!w)
        return;
    batch_done(&w->batch);
    HASH_ITER(hh, w->leases.map, l, next)
    {
        leases_forget(w, l);
    }
    while ((s = w->sessions) != NULL) {
        w->sessions = s->next;
        session_free(s);
    }
    while ((s = w->closed) != NULL) {
        w->closed = s->next;
        session_free(s);
    }
    lanes_done(&w->lanes);
    pause_done(w);
    rows_done(&w->batch.rows);
    arena_done(&w->batch.arena);
    pg_params_done(&w->params);
    buf_done(&w->changes);
    buf_done(&w->owed);
    pg_close(w->pg);
    mem_free(w->units);
    mem_free(w->expired);
    mem_free(w);
}

static struct writer *writer_new(struct store *store)
{
    struct writer *w = mem_zalloc(sizeof *w);

    if (!w)
        return NULL;
    w->store = store;
    w->options = &store->options;
    w->light_end = w->pending_end = &w->pending;
    w->replica = -1;
    w->cancel_seen_us = clock_wall_us();
    arena_init(&w->batch.arena, NULL, 0, 0);
    if (getrandom(&w->random, sizeof w->random, 0) != (ssize_t)sizeof w->random)
        w->random = (uint64_t)clock_wall_us();
    w->random |= 1;
    return w;
}

static void store_free(struct store *store)
{
    writer_free(store->writer);
    if (store->wake_fd >= 0)
        close(store->wake_fd);
    mem_free(store->uri);
    mem_free(store);
}

static int prepare_database(struct store *store, struct err *ret_err)
{
    struct pg_conn *pg;
    int rc = pg_open(store->uri, "joblog migrations", &pg, ret_err);

    if (rc < 0)
        return rc;
    rc = migrate(pg, ret_err);
    if (rc == 0)
        rc = pg_exec(pg,
                     "select joblog.ensure_partitions((now() at time zone 'UTC')::date - 1,"
                     " (now() at time zone 'UTC')::date + 10), joblog.ensure_log_partitions()",
                     ret_err);
    pg_close(pg);
    return rc;
}

struct store *store_open(const struct store_options *options, struct err *ret_err)
{
    struct store *store = mem_zalloc(sizeof *store);

    if (!store)
        goto fail_memory;
    store->options = *options;
    set_defaults(&store->options);
    store->wake_fd = -1;
    store->uri = mem_strdup(options->uri);
    store->options.uri = store->uri;
    store->writer = writer_new(store);
    if (!store->uri || !store->writer)
        goto fail_memory;
    store->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (store->wake_fd < 0) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "no file descriptors left");
        goto fail;
    }
    if (prepare_database(store, ret_err) < 0 || writer_connect(store->writer, false, ret_err) < 0)
        goto fail;
    store->feed = feed_start(store, store->writer->replica, store->writer->batch_number, ret_err);
    if (!store->feed || readers_start(store, ret_err) < 0)
        goto fail;
    store->janitor = janitor_start(store, ret_err);
    if (!store->janitor)
        goto fail;
    if (pthread_create(&store->writer_thread, NULL, writer_main, store->writer) != 0) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "cannot start a thread");
        goto fail;
    }
    return store;
fail_memory:
    err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
fail:
    if (store) {
        janitor_stop(store->janitor);
        feed_stop(store->feed);
        readers_stop(store);
        store_free(store);
    }
    return NULL;
}

static void wake(struct store *store)
{
    uint64_t one = 1;

    if (write(store->wake_fd, &one, sizeof one) < 0) {
        /* Only when the counter is full: then the writer is about to wake up anyhow. */
    }
}

void store_arrived(struct store *store)
{
    if (!atomic_exchange(&store->arrived, true))
        wake(store);
}

void store_look(struct store *store)
{
    if (!atomic_exchange(&store->look, true))
        wake(store);
}

void store_point(struct store *store, struct buf *ret_point)
{
    feed_point(store->feed, ret_point);
}

void store_hurry(struct store *store)
{
    atomic_store(&store->hurried, true);
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store_hurry(store);
    atomic_store(&store->closing, true);
    wake(store);
    janitor_stop(store->janitor);
    pthread_join(store->writer_thread, NULL);
    feed_stop(store->feed);
    readers_stop(store);
    store_free(store);
}

int64_t store_lease_timeout_ms(const struct store *store)
{
    return store->options.lease_timeout_ms;
}

int store_no_job(int64_t id, struct err *ret_err)
{
    return err_set(ret_err, ERR_NOT_FOUND, "JOB_NOT_FOUND", "there is no job %" PRId64, id);
}

static int64_t read_us(const atomic_llong *us)
{
    return atomic_load_explicit(us, memory_order_relaxed);
}

int64_t store_wait_ms(const struct store *store, bool reads)
{
    if (reads)
        return read_us(&store->read_wait_us) / 1000;
    int64_t wait = read_us(&store->write_wait_us), ahead = read_us(&store->write_ahead_us);
    int64_t since = read_us(&store->batch_since_us), under_way = since ? clock_mono_us() - since : 0;
    if (ahead > wait)
        wait = ahead;
    return (under_way > wait ? under_way : wait) / 1000;
}

int store_submit(struct store *store, struct store_cmd *cmd, struct err *ret_err)
{
    if (atomic_load(&store->closing))
        return err_set(ret_err, ERR_UNAVAILABLE, "SHUTTING_DOWN", "the server is shutting down");
    /* The signs that a stream is gone must not be lost, or its leases would stay: they may exceed the bound. */
    if (atomic_fetch_add_explicit(&store->n_queued, 1, memory_order_relaxed) >= store->options.queue_max &&
        cmd->op != STORE_SESSION_CLOSE) {
        atomic_fetch_sub_explicit(&store->n_queued, 1, memory_order_relaxed);
        int rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "QUEUE_FULL", "too many calls wait for the database");
        if (ret_err)
            ret_err->retry_after_ms = 200;
        return rc;
    }
    cmd->submit_us = clock_mono_us();
    if (cmd->op >= STORE_GET)
        readers_submit(store, cmd);
    else if (mpsc_push(&store->in, &cmd->node))
        wake(store);
    return 0;
}
