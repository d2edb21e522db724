/* The reader threads and their queue: queries are served in order of arrival by whichever reader is free. */
#include <pthread.h>
#include <stdio.h>

#include "store/job_log.h"
#include "store/reader.h"
#include "store/stats_cache.h"
#include "store/workers.h"

struct readers {
    struct store *store;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct mpsc_node *head, **tail;
    bool stopping;
    struct stats_cache *stats;
    unsigned n;
    struct reader reader[];
};

int read_out_of_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
}

int64_t stats_minute_days(const struct reader *r)
{
    return r->readers->store->options.minute_days;
}

struct stats_cache *readers_stats(const struct store *store)
{
    return store->readers->stats;
}

struct pg_result *read_rows(struct reader *r, enum sql_id id, struct err *ret_err)
{
    return pg_run(r->pg, sql_name(id), &r->params, ret_err);
}

/* The writer tells those that are connected here, soon. */
static int drain_workers(struct reader *r, struct store_worker_ask *cmd, struct err *ret_err)
{
    int rc = read_worker_ask(r, cmd, ret_err);

    store_look(r->readers->store);
    return rc;
}

struct pg_result *read_ascending(struct reader *r, enum sql_id id, struct err *ret_err)
{
    char name[80];

    snprintf(name, sizeof name, "%s_asc", sql_name(id));
    return pg_run(r->pg, name, &r->params, ret_err);
}

static int dispatch(struct reader *r, struct store_cmd *cmd, struct err *ret_err)
{
    switch (cmd->op) {
    case STORE_GET:
        return read_get(r, (struct store_get *)cmd, ret_err);
    case STORE_LIST:
        return read_list(r, (struct store_list *)cmd, ret_err);
    case STORE_STATS:
        return read_stats(r, (struct store_stats *)cmd, ret_err);
    case STORE_QUEUES:
        return read_queues(r, (struct store_queues *)cmd, ret_err);
    case STORE_STATUSES:
        return read_statuses(r, (struct store_statuses *)cmd, ret_err);
    case STORE_CLEANUP:
        return read_cleanup(r, (struct store_cleanup *)cmd, ret_err);
    case STORE_CHANGES:
        return read_changes(r, (struct store_changes *)cmd, ret_err);
    case STORE_LOG_READ:
        return read_log(r, (struct store_log_read *)cmd, ret_err);
    case STORE_WORKER_LIST:
        return read_worker_list(r, (struct store_worker_list *)cmd, ret_err);
    case STORE_WORKER_DRAIN:
    case STORE_WORKER_PAUSE:
    case STORE_WORKER_RESUME:
        return drain_workers(r, (struct store_worker_ask *)cmd, ret_err);
    case STORE_TOKEN_CREATE:
        return read_token_create(r, (struct store_token_create *)cmd, ret_err);
    case STORE_TOKEN_REVOKE:
        return read_token_revoke(r, (struct store_token_revoke *)cmd, ret_err);
    case STORE_TOKEN_LIST:
        return read_token_list(r, (struct store_token_list *)cmd, ret_err);
    case STORE_TOKEN_LOAD:
        return read_token_load(r, (struct store_token_load *)cmd, ret_err);
    case STORE_TOKEN_USED:
        return read_token_used(r, (struct store_token_used *)cmd, ret_err);
    default:
        return err_set(ret_err, ERR_INTERNAL, NULL, "no such query");
    }
}

static int connect(struct reader *r, struct err *ret_err)
{
    int rc;

    if (r->pg && !pg_lost(r->pg))
        return 0;
    pg_close(r->pg);
    r->pg = NULL;
    rc = pg_open(r->readers->store->uri, "joblog reader", &r->pg, ret_err);
    if (rc == 0 && (rc = prepare_all(r->pg, false, ret_err)) < 0) {
        pg_close(r->pg);
        r->pg = NULL;
    }
    return rc;
}

/* A connection that was lost while nobody used it shows at the next query, which is then run once more. */
static void serve(struct reader *r, struct store_cmd *cmd)
{
    struct err err = ERR_NONE;
    int rc = -1;

    for (int tries = 0; rc < 0 && tries < 2; tries++) {
        err = ERR_NONE;
        rc = connect(r, &err);
        if (rc == 0)
            rc = dispatch(r, cmd, &err);
        if (!r->pg || !pg_lost(r->pg))
            break;
    }
    if (r->pg && pg_lost(r->pg) && rc < 0)
        (void)connect(r, NULL); /* in vain: the next command tries again */
    cmd->err = rc < 0 ? err : ERR_NONE;
}

/* What is asked for most is asked for once before anybody does, since the first time a connection plans a statement
 * over all months takes tens of milliseconds. In vain when the connection is lost: then the first one pays for it. */
static void make_plans(struct reader *r)
{
    struct arena arena;
    struct err err;

    arena_init(&arena, NULL, 0, 0);
    int64_t now_us = clock_wall_us();
    struct store_stats stats = {.cmd.op = STORE_STATS, .arena = &arena, .from_us = now_us - 60000000, .to_us = now_us};
    struct store_list list = {.cmd.op = STORE_LIST, .arena = &arena, .limit = 50};
    if (read_stats(r, &stats, &err) == 0)
        (void)read_list(r, &list, &err);
    arena_done(&arena);
}

static void *reader_main(void *arg)
{
    struct reader *r = arg;
    struct readers *all = r->readers;

    make_plans(r);

    pthread_mutex_lock(&all->lock);
    for (;;) {
        if (!all->head)
            atomic_store_explicit(&all->store->read_wait_us, 0, memory_order_relaxed);
        while (!all->head && !all->stopping)
            pthread_cond_wait(&all->more, &all->lock);
        struct mpsc_node *node = all->head;
        if (!node)
            break;
        all->head = node->next;
        if (!all->head)
            all->tail = &all->head;
        pthread_mutex_unlock(&all->lock);
        struct store_cmd *cmd = (struct store_cmd *)((char *)node - offsetof(struct store_cmd, node));
        atomic_store_explicit(&all->store->read_wait_us, clock_mono_us() - cmd->submit_us, memory_order_relaxed);
        serve(r, cmd);
        atomic_fetch_sub_explicit(&all->store->n_queued, 1, memory_order_relaxed);
        tag_post(cmd->done, true);
        pthread_mutex_lock(&all->lock);
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

int readers_start(struct store *store, struct err *ret_err)
{
    unsigned n = store->options.n_readers;
    struct readers *all = mem_zalloc(sizeof *all + n * sizeof(struct reader));

    if (!all)
        return read_out_of_memory(ret_err);
    all->store = store;
    all->tail = &all->head;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->more, NULL);
    store->readers = all;
    all->stats = stats_cache_new(STATS_CACHE_BYTES);
    if (!all->stats) {
        readers_stop(store);
        return read_out_of_memory(ret_err);
    }
    for (unsigned i = 0; i < n; i++) {
        struct reader *r = &all->reader[i];
        r->readers = all;
        r->stats = all->stats;
        int rc = connect(r, ret_err);
        if (rc < 0) {
            readers_stop(store);
            return rc;
        }
        if (pthread_create(&r->thread, NULL, reader_main, r) != 0) {
            pg_close(r->pg);
            readers_stop(store);
            return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "cannot start a thread");
        }
        all->n++;
    }
    return 0;
}

void readers_stop(struct store *store)
{
    struct readers *all = store->readers;

    if (!all)
        return;
    pthread_mutex_lock(&all->lock);
    all->stopping = true;
    pthread_cond_broadcast(&all->more);
    pthread_mutex_unlock(&all->lock);
    for (unsigned i = 0; i < all->n; i++) {
        pthread_join(all->reader[i].thread, NULL);
        pg_close(all->reader[i].pg);
        pg_params_done(&all->reader[i].params);
    }
    stats_cache_free(all->stats);
    pthread_cond_destroy(&all->more);
    pthread_mutex_destroy(&all->lock);
    mem_free(all);
    store->readers = NULL;
}

void readers_submit(struct store *store, struct store_cmd *cmd)
{
    struct readers *all = store->readers;

    cmd->node.next = NULL;
    pthread_mutex_lock(&all->lock);
    *all->tail = &cmd->node;
    all->tail = &cmd->node.next;
    pthread_cond_signal(&all->more);
    pthread_mutex_unlock(&all->lock);
}
