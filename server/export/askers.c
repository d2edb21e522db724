/* See ask.h. Each thread opens its connection when it is first needed, and another when that one is lost. */
#include "export/askers.h"

#include <pthread.h>
#include <stddef.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "core/id.h"
#include "export/chunk_book.h"
#include "export/request.h"
#include "export/room.h"

enum {
    THREADS = 4,         /* of all lanes */
    CHUNKS_THREADS = 2,  /* of LANE_CHUNKS */
    TOGETHER = 4,        /* chunks that a thread asks for at once */
    WAITING_MAX = 10000, /* in a lane: three a download, and max-calls is of that order */
    COME_AGAIN_MS = 1000,
    DAY_S = 24 * 3600,
    OPEN_DAYS = 30 /* an export that has waited for longer is not counted as running */
};

/* What takes long does not go before what does not. */
enum lane { LANE_SHORT, LANE_CHUNKS, LANE_DELETES, LANE_COUNT };
static const enum lane lanes[] = {[EXPORT_ASK_FILES] = LANE_SHORT,
                                  [EXPORT_ASK_USAGE] = LANE_SHORT,
                                  [EXPORT_ASK_CHUNK] = LANE_CHUNKS,
                                  [EXPORT_ASK_DELETE] = LANE_DELETES};
/* Chunks: one more than the processors that PostgreSQL leaves on a small machine. */
static const enum lane lane_of_thread[THREADS] = {LANE_SHORT, LANE_CHUNKS, LANE_CHUNKS, LANE_DELETES};

struct queue {
    pthread_cond_t more;
    struct mpsc_node *head, **tail;
    unsigned n_waiting;
};

struct asker {
    struct export_askers *all;
    struct queue *queue;
    pthread_t thread;
    struct pg_conn *pg;
    struct pg_params params;
};

struct export_askers {
    const struct chunk_store *stores;
    const char *uri;
    pthread_mutex_t lock;
    struct queue queues[LANE_COUNT];
    unsigned n_threads;
    bool stopping;
    struct export_room *room;
    struct asker askers[THREADS];
};

/* ---- answers ---- */

static int no_memory(struct err *err)
{
    return err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
}

static bool keep(struct arena *arena, struct span text, struct span *ret)
{
    *ret = arena_span(arena, text);
    return ret->data != NULL;
}

static bool read_file(const struct pg_result *r, int row, struct arena *arena, struct export_file *ret)
{
    *ret = (struct export_file){.job_id = pg_int(r, row, 0),
                                .size = pg_int(r, row, 4),
                                .rows = pg_int(r, row, 5),
                                .expire_us = pg_time(r, row, 6),
                                .chunk_bytes = (int32_t)pg_int(r, row, 7),
                                .token = pg_int(r, row, 8),
                                .storage = (enum export_storage)pg_int(r, row, 9),
                                .cut_cells = pg_int(r, row, 10),
                                .state = (enum export_file_state)pg_int(r, row, 11)};
    return keep(arena, pg_text(r, row, 1), &ret->name) && keep(arena, pg_text(r, row, 2), &ret->content_type) &&
           keep(arena, pg_text(r, row, 3), &ret->sha256) &&
           export_columns_decode(pg_text(r, row, 12), arena, &ret->columns, &ret->n_columns);
}

/* A job may have a finished file of an attempt that nobody heard of and one in the making: the latter is meant. */
static int answer_files(struct asker *a, struct export_ask_files *ask, struct err *err)
{
    pg_params_clear(&a->params);
    struct pg_param *ids = pg_add_array(&a->params, PG_INT8);
    for (size_t i = 0; i < ask->n_job_ids; i++)
        pg_put_int8(ids, ask->job_ids[i]);
    struct pg_result *r = chunk_book_run(a->pg, EXPORT_SQL_FILE_LIST, &a->params, err);
    if (!r)
        return -(int)err->code;
    size_t n = (size_t)pg_rows(r);
    ask->n_files = 0;
    ask->files = arena_alloc(ask->arena, n * sizeof *ask->files);
    bool ok = ask->files != NULL;
    for (size_t i = 0; ok && i < n; i++) {
        struct export_file file;
        size_t at = 0;
        ok = read_file(r, (int)i, ask->arena, &file);
        while (at < ask->n_files && ask->files[at].job_id != file.job_id)
            at++;
        ask->n_files += at == ask->n_files;
        ask->files[at] = file;
    }
    pg_free(r);
    return ok ? 0 : no_memory(err);
}

/* Has the file of this chunk been taken away? Else it lacks a chunk that it must have. */
static int missing_chunk(struct asker *a, const struct export_ask_chunk *ask, struct err *err)
{
    struct err ignored = ERR_NONE;
    chunk_book_add_owner(&a->params, &(struct chunk_owner){ask->file.job_id, ask->file.token});
    struct pg_result *r = chunk_book_run(a->pg, EXPORT_SQL_FILE_KNOWN, &a->params, &ignored);
    bool known = r && pg_int(r, 0, 0) != 0;
    pg_free(r);
    return known ? chunk_damaged(ask->seq, err) : -ERR_NOT_FOUND;
}

static const struct chunk_store *store_of(const struct asker *a, const struct export_ask_chunk *ask)
{
    return &a->all->stores[ask->file.storage == EXPORT_IN_DIRECTORY];
}

/* What was read becomes what was asked for. Room was taken for a whole chunk; one that is kept packed needs less. */
static int give_chunk(struct asker *a, struct export_ask_chunk *ask, struct err *err)
{
    struct export_room *room = a->all->room;
    struct chunk_data *chunk = &ask->chunk;
    int64_t taken = ask->file.chunk_bytes, bytes = taken;
    if (ask->as_kept) {
        bytes = (int64_t)chunk->data.len < taken ? (int64_t)chunk->data.len : taken;
    } else {
        if (chunk_data_unpack(chunk, ask->seq, err) != 0)
            return -(int)err->code;
        if (crc32c(0, chunk->data.data, chunk->data.len) != chunk->crc32c) {
            chunk_data_done(chunk);
            return chunk_damaged(ask->seq, err);
        }
    }
    if (!export_room_hang(room, bytes, chunk)) {
        chunk_data_done(chunk);
        return no_memory(err);
    }
    if (bytes < taken)
        export_room_give(room, taken - bytes);
    return 0;
}

static int find_chunk(struct asker *a, struct export_ask_chunk *ask, struct err *err)
{
    const struct chunk_store *store = store_of(a, ask);
    struct chunk_owner owner = {ask->file.job_id, ask->file.token};
    if (!store->uri)
        return err_set(err, ERR_UNIMPLEMENTED, "EXPORT_ELSEWHERE",
                       "the file is in a directory that this server has not");
    int rc = store->read(store, a->pg, &owner, ask->seq, ask->file.chunk_bytes, &ask->chunk, err);
    if (rc == -ERR_NOT_FOUND && ask->file.state == EXPORT_FILE_THERE)
        return missing_chunk(a, ask, err);
    return rc != 0 ? rc : give_chunk(a, ask, err);
}

static int answer_chunk(struct asker *a, struct export_ask_chunk *ask, struct err *err)
{
    int rc = find_chunk(a, ask, err);
    const struct chunk_store *store = store_of(a, ask);
    if (rc == 0 && ask->hold && store->hold)
        *ask->hold = store->hold(store, &(struct chunk_owner){ask->file.job_id, ask->file.token});
    return rc;
}

static int answer_usage(struct asker *a, struct export_ask_usage *ask, struct err *err)
{
    int64_t now_us = clock_wall_us();
    pg_params_clear(&a->params);
    pg_add_text(&a->params, ask->owner);
    pg_add_int8(&a->params, id_floor(now_us - INT64_C(1000000) * DAY_S));
    pg_add_int8(&a->params, id_floor(now_us - INT64_C(1000000) * DAY_S * OPEN_DAYS));
    pg_add_text(&a->params, ask->request_id);
    struct pg_result *r = chunk_book_run(a->pg, EXPORT_SQL_USAGE, &a->params, err);
    if (!r)
        return -(int)err->code;
    ask->n_running = pg_int(r, 0, 0);
    ask->n_today = pg_int(r, 0, 1);
    ask->bytes = pg_int(r, 0, 2);
    ask->repeated = pg_int(r, 0, 3) != 0;
    pg_free(r);
    return 0;
}

static int answer_delete(struct asker *a, struct export_ask_delete *ask, struct err *err)
{
    pg_params_clear(&a->params);
    pg_add_int8(&a->params, ask->job_id);
    struct pg_result *r = chunk_book_run(a->pg, EXPORT_SQL_FILE_DELETE, &a->params, err);
    if (!r)
        return -(int)err->code;
    int rc = 0;
    if (pg_rows(r) == 1) {
        struct chunk_owner owner = {ask->job_id, pg_int(r, 0, 0)};
        const struct chunk_store *store = &a->all->stores[pg_int(r, 0, 1) == EXPORT_IN_DIRECTORY];
        if (store->uri) /* else a replica that has the directory sweeps it */
            rc = store->remove(store, a->pg, &owner, err);
    }
    pg_free(r);
    return rc;
}

static int answer(struct asker *a, struct export_ask *ask, struct err *err)
{
    switch (ask->op) {
    case EXPORT_ASK_FILES:
        return answer_files(a, (struct export_ask_files *)ask, err);
    case EXPORT_ASK_CHUNK:
        return answer_chunk(a, (struct export_ask_chunk *)ask, err);
    case EXPORT_ASK_USAGE:
        return answer_usage(a, (struct export_ask_usage *)ask, err);
    case EXPORT_ASK_DELETE:
        return answer_delete(a, (struct export_ask_delete *)ask, err);
    }
    return err_set(err, ERR_INTERNAL, NULL, "unknown question");
}

/* ---- threads ---- */

static int connect(struct asker *a, struct err *err)
{
    if (a->pg && !pg_lost(a->pg))
        return 0;
    pg_close(a->pg);
    a->pg = NULL;
    int rc = chunk_book_open(a->all->uri, "joblogd export readers", &a->pg, err);
    return rc != 0 ? rc : pg_exec(a->pg, "SET statement_timeout = '30s'", err);
}

/* A connection that was lost while nobody used it shows at the next question, which is then asked once more. */
static void serve(struct asker *a, struct export_ask *ask)
{
    struct err err = ERR_NONE;
    int rc = -1;
    for (int tries = 0; rc < 0 && tries < 2; tries++) {
        err = ERR_NONE;
        if ((rc = connect(a, &err)) != 0)
            break;
        rc = answer(a, ask, &err);
        if (!pg_lost(a->pg))
            break;
    }
    ask->err = rc < 0 ? err : ERR_NONE;
    if (rc < 0 && ask->op == EXPORT_ASK_CHUNK)
        export_room_give(a->all->room, ((struct export_ask_chunk *)ask)->file.chunk_bytes);
}

static struct export_ask *ask_of(struct mpsc_node *node)
{
    return (struct export_ask *)((char *)node - offsetof(struct export_ask, node));
}

static bool is_in_database(const struct mpsc_node *node)
{
    const struct export_ask *ask = node ? ask_of((struct mpsc_node *)node) : NULL;
    return ask && ask->op == EXPORT_ASK_CHUNK &&
           ((const struct export_ask_chunk *)ask)->file.storage == EXPORT_IN_DATABASE;
}

static struct export_ask *take(struct queue *q)
{
    struct mpsc_node *node = q->head;
    q->head = node->next;
    if (!q->head)
        q->tail = &q->head;
    q->n_waiting--;
    return ask_of(node);
}

/* Of chunks in the database several: while one is worked on the next ones come. The other threads of the lane want some
 * too. */
static int take_some(struct queue *q, struct export_ask *asks[TOGETHER])
{
    unsigned share = (q->n_waiting + CHUNKS_THREADS - 1) / CHUNKS_THREADS;
    int n = 0;
    bool more;
    do {
        more = is_in_database(q->head) && n + 1 < TOGETHER && n + 1 < (int)share;
        asks[n++] = take(q);
    } while (more && is_in_database(q->head));
    return n;
}

/* All at once. What does not go well, and all after it, is asked for once more by itself; gives how many went well. */
static int serve_together(struct asker *a, struct export_ask *asks[], int n)
{
    const struct chunk_store *store = &a->all->stores[0];
    struct err err = ERR_NONE;
    int done = 0;
    if (n < 2 || !store->read_begin || connect(a, &err) != 0)
        return 0;
    for (int i = 0; i < n; i++) {
        const struct export_ask_chunk *ask = (struct export_ask_chunk *)asks[i];
        store->read_begin(a->pg, &a->params, &(struct chunk_owner){ask->file.job_id, ask->file.token}, ask->seq);
    }
    for (bool well = true; well && done < n; done += well) {
        struct export_ask_chunk *ask = (struct export_ask_chunk *)asks[done];
        well = store->read_end(a->pg, ask->seq, ask->file.chunk_bytes, &ask->chunk, &err) == 0 &&
               give_chunk(a, ask, &err) == 0;
        if (well) {
            ask->ask.err = ERR_NONE;
            tag_post(ask->ask.done, true);
        }
    }
    pg_commit(a->pg, &err);
    return done;
}

static void *asker_main(void *user)
{
    struct asker *a = user;
    struct export_askers *all = a->all;
    struct queue *q = a->queue;
    struct export_ask *asks[TOGETHER];
    pthread_mutex_lock(&all->lock);
    for (;;) {
        while (!q->head && !all->stopping)
            pthread_cond_wait(&q->more, &all->lock);
        if (!q->head)
            break;
        int n = take_some(q, asks);
        pthread_mutex_unlock(&all->lock);
        for (int i = serve_together(a, asks, n); i < n; i++) {
            serve(a, asks[i]);
            tag_post(asks[i]->done, true);
        }
        pthread_mutex_lock(&all->lock);
    }
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

int export_askers_start(const struct chunk_store *stores, const char *uri, int64_t room_bytes,
                        struct export_askers **ret, struct err *ret_err)
{
    struct export_askers *all = mem_zalloc(sizeof *all);
    if (!all)
        return no_memory(ret_err);
    all->stores = stores;
    all->uri = uri;
    pthread_mutex_init(&all->lock, NULL);
    for (int i = 0; i < LANE_COUNT; i++) {
        all->queues[i].tail = &all->queues[i].head;
        pthread_cond_init(&all->queues[i].more, NULL);
    }
    if (!(all->room = export_room_new(room_bytes))) {
        export_askers_stop(all);
        return no_memory(ret_err);
    }
    while (all->n_threads < THREADS) {
        struct asker *a = &all->askers[all->n_threads];
        a->all = all;
        a->queue = &all->queues[lane_of_thread[all->n_threads]];
        if (pthread_create(&a->thread, NULL, asker_main, a) != 0) {
            export_askers_stop(all);
            return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "cannot start a thread");
        }
        all->n_threads++;
    }
    *ret = all;
    return 0;
}

void export_askers_stop(struct export_askers *all)
{
    if (!all)
        return;
    pthread_mutex_lock(&all->lock);
    all->stopping = true;
    for (int i = 0; i < LANE_COUNT; i++)
        pthread_cond_broadcast(&all->queues[i].more);
    pthread_mutex_unlock(&all->lock);
    for (unsigned i = 0; i < all->n_threads; i++) {
        pthread_join(all->askers[i].thread, NULL);
        pg_close(all->askers[i].pg);
        pg_params_done(&all->askers[i].params);
    }
    for (int i = 0; i < LANE_COUNT; i++)
        pthread_cond_destroy(&all->queues[i].more);
    export_room_free(all->room);
    pthread_mutex_destroy(&all->lock);
    mem_free(all);
}

static int come_again(struct err *err, const char *reason, const char *text)
{
    err_set(err, ERR_RESOURCE_EXHAUSTED, reason, "%s", text);
    if (err)
        err->retry_after_ms = COME_AGAIN_MS;
    return -ERR_RESOURCE_EXHAUSTED;
}

/* With the lock held. */
static int put(struct export_askers *all, struct queue *q, struct export_ask *ask, struct err *err)
{
    const struct export_ask_chunk *chunk = ask->op == EXPORT_ASK_CHUNK ? (const struct export_ask_chunk *)ask : NULL;
    if (all->stopping)
        return err_set(err, ERR_UNAVAILABLE, "SERVER_DRAINING", "the server is stopping");
    if (q->n_waiting >= WAITING_MAX)
        return come_again(err, "QUEUE_FULL", "too many ask for exports");
    if (chunk && !export_room_take(all->room, chunk->file.chunk_bytes, chunk->turn, clock_mono_ms()))
        return come_again(err, "DOWNLOAD_ROOM", "the downloads under way take all the memory there is for them");
    *q->tail = &ask->node;
    q->tail = &ask->node.next;
    q->n_waiting++;
    return 0;
}

int export_askers_put(struct export_askers *all, struct export_ask *ask, struct err *ret_err)
{
    ask->err = ERR_NONE;
    ask->node.next = NULL;
    struct queue *q = &all->queues[lanes[ask->op]];
    pthread_mutex_lock(&all->lock);
    int rc = put(all, q, ask, ret_err);
    pthread_mutex_unlock(&all->lock);
    if (rc == 0) /* who is woken finds the lock free */
        pthread_cond_signal(&q->more);
    return rc;
}

bool export_askers_room_wanted(struct export_askers *all)
{
    return export_room_is_wanted(all->room, clock_mono_ms());
}

bool export_askers_chunk_now(struct export_askers *all, const struct export_file *file, int held_fd, int32_t seq,
                             bool as_kept, struct chunk_data *ret)
{
    const struct chunk_store *store = &all->stores[file->storage == EXPORT_IN_DIRECTORY];
    if (held_fd < 0 || !store->read_now || !export_room_take(all->room, file->chunk_bytes, ROOM_AHEAD, clock_mono_ms()))
        return false; /* where there is little room it is asked for, and takes its turn */
    struct chunk_data chunk = {0};
    if (store->read_now(held_fd, seq, file->chunk_bytes, as_kept, &chunk) == 1 &&
        export_room_hang(all->room, file->chunk_bytes, &chunk)) {
        *ret = chunk;
        return true;
    }
    chunk_data_done(&chunk);
    export_room_give(all->room, file->chunk_bytes);
    return false;
}
