/* The second thread of an export; see writer.h. Opens and runs the sink, SHA-256 and CRC-32C. The owner and this thread
 * meet in two lists under one lock: free chunks and full ones. */
#include "export/writer.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "export/polite.h"

struct chunk_list {
    struct export_chunk_buffer *first, *last;
};

struct export_writer {
    const struct chunk_store *store;
    struct chunk_owner owner;
    struct export_file description;
    struct chunk_sink *sink; /* NULL: not open yet */
    pthread_t thread;
    EVP_MD_CTX *sha;

    pthread_mutex_t lock;
    pthread_cond_t to_owner, to_thread;
    struct chunk_list free_chunks, full;
    bool abandon, finishing, committed, failed, ended;
    struct err err;
    struct export_file file;
    struct span owner_name;
    char sha256[65];

    /* of the thread */
    int32_t seq;
    int64_t size, size_max; /* size_max 0: no limit */
    int64_t budget;         /* of all files of the owner, likewise */
    bool unpublished;
    int64_t publish_us; /* when it was last done */
};

enum {
    PUBLISH_US = 200000, /* who follows a download sees a chunk this late at most */
    PATIENCE_MS = 200    /* with the end of the thread, before what it waits for is interrupted */
};

static void list_push(struct chunk_list *list, struct export_chunk_buffer *chunk)
{
    chunk->next = NULL;
    if (list->last)
        list->last->next = chunk;
    else
        list->first = chunk;
    list->last = chunk;
}

static struct export_chunk_buffer *list_pop(struct chunk_list *list)
{
    struct export_chunk_buffer *chunk = list->first;
    if (chunk) {
        list->first = chunk->next;
        if (!list->first)
            list->last = NULL;
    }
    return chunk;
}

/* ---- the thread ---- */

static int write_chunk(struct export_writer *w, const struct export_chunk_buffer *chunk, struct err *err)
{
    if (EVP_DigestUpdate(w->sha, chunk->data, chunk->len) != 1)
        return err_set(err, ERR_INTERNAL, NULL, "SHA-256 failed");
    w->size += (int64_t)chunk->len;
    if (w->size_max > 0 && w->size > w->size_max)
        return chunk_over_quota(err);
    int rc =
        w->store->write(w->sink, w->seq++, span_of(chunk->data, chunk->len), crc32c(0, chunk->data, chunk->len), err);
    w->unpublished = rc == 0;
    return rc;
}

static int publish(struct export_writer *w, struct err *err)
{
    w->unpublished = false;
    w->publish_us = clock_mono_us();
    return w->store->publish(w->sink, err);
}

static int commit(struct export_writer *w, struct err *err)
{
    unsigned char digest[32];
    if (EVP_DigestFinal_ex(w->sha, digest, NULL) != 1)
        return err_set(err, ERR_INTERNAL, NULL, "SHA-256 failed");
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(w->sha256 + 2 * i, 3, "%02x", digest[i]);
    w->file.sha256 = span_of(w->sha256, 64);
    w->file.size = w->size;
    w->file.chunk_bytes = EXPORT_CHUNK_BYTES;
    w->file.storage = w->store->storage;
    return w->store->commit(w->sink, &w->file, w->owner_name, w->budget, err);
}

/* Here and not where the writer is made: the rows are asked for meanwhile. The sink is known before it waits for
 * anybody in the database, so that it can be interrupted. */
static int open_sink(struct export_writer *w, struct err *err)
{
    int64_t used = 0;
    struct chunk_sink *sink = NULL;
    int rc = w->store->open(w->store, &w->owner, EXPORT_CHUNK_BYTES, &sink, err);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&w->lock);
    w->sink = sink;
    bool abandon = w->abandon;
    pthread_mutex_unlock(&w->lock);
    if (abandon)
        return err_set(err, ERR_CANCELLED, NULL, "nobody wants the file any more");
    rc = w->store->begin(sink, &w->description, w->owner_name, &used, err);
    if (w->budget > 0)
        w->size_max = w->budget > used ? w->budget - used : 1;
    return rc;
}

static void *writer_main(void *user)
{
    struct export_writer *w = user;
    struct err opening = ERR_NONE;
    export_polite_thread();
    int opened = open_sink(w, &opening);
    pthread_mutex_lock(&w->lock);
    if (opened != 0) {
        w->failed = true;
        w->err = opening;
    }
    while (!w->abandon && !w->failed && !w->committed) {
        struct export_chunk_buffer *chunk = list_pop(&w->full);
        bool to_publish =
            w->unpublished && (!chunk || clock_mono_us() - w->publish_us > PUBLISH_US) && !(w->finishing && !chunk);
        if (!chunk && !w->finishing && !to_publish) {
            pthread_cond_wait(&w->to_thread, &w->lock);
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        struct err err = ERR_NONE;
        int rc = to_publish ? publish(w, &err) : 0;
        if (rc == 0 && chunk)
            rc = write_chunk(w, chunk, &err);
        bool commits = rc == 0 && !chunk && !to_publish;
        if (commits)
            rc = commit(w, &err);
        pthread_mutex_lock(&w->lock);
        if (chunk)
            list_push(&w->free_chunks, chunk);
        if (rc != 0) {
            w->failed = true;
            w->err = err;
        } else if (commits) {
            w->committed = true;
        }
        pthread_cond_signal(&w->to_owner);
    }
    w->ended = true;
    pthread_cond_signal(&w->to_owner);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- the owner ---- */

static bool init_locks(struct export_writer *w)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0)
        return false;
    bool ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_mutex_init(&w->lock, NULL) == 0 &&
              pthread_cond_init(&w->to_owner, &attr) == 0 && pthread_cond_init(&w->to_thread, &attr) == 0;
    pthread_condattr_destroy(&attr);
    return ok;
}

static void free_parts(struct export_writer *w)
{
    struct export_chunk_buffer *chunk;
    while ((chunk = list_pop(&w->free_chunks)) || (chunk = list_pop(&w->full)))
        mem_free(chunk);
    if (w->sink)
        w->store->close(w->sink);
    EVP_MD_CTX_free(w->sha);
    mem_free(w);
}

int export_writer_new(const struct chunk_store *store, const struct chunk_owner *owner,
                      const struct export_file *description, struct span owner_name, int64_t budget,
                      struct export_writer **ret, struct err *ret_err)
{
    struct export_writer *w = mem_zalloc(sizeof *w);
    if (!w)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    w->store = store;
    w->owner = *owner;
    w->owner_name = owner_name;
    w->budget = budget;
    w->description = *description;
    w->description.chunk_bytes = EXPORT_CHUNK_BYTES;
    w->description.storage = store->storage;
    bool ok = init_locks(w) && (w->sha = EVP_MD_CTX_new()) && EVP_DigestInit_ex(w->sha, EVP_sha256(), NULL) == 1;
    for (int i = 0; ok && i < EXPORT_CHUNKS_IN_FLIGHT; i++) {
        struct export_chunk_buffer *chunk = mem_alloc(sizeof *chunk);
        if (chunk)
            list_push(&w->free_chunks, chunk);
        ok = chunk != NULL;
    }
    int rc = ok ? 0 : err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    if (rc == 0 && pthread_create(&w->thread, NULL, writer_main, w) != 0)
        rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "no more threads");
    if (rc != 0) {
        free_parts(w);
        return rc;
    }
    *ret = w;
    return 0;
}

static struct timespec time_after(int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

int export_writer_take(struct export_writer *w, int wait_ms, struct export_chunk_buffer **ret, struct err *ret_err)
{
    struct timespec until = time_after(wait_ms);
    int rc = 0;
    pthread_mutex_lock(&w->lock);
    while (!w->failed && !w->free_chunks.first && pthread_cond_timedwait(&w->to_owner, &w->lock, &until) != ETIMEDOUT) {
    }
    if (w->failed) {
        rc = -(int)w->err.code;
        if (ret_err)
            *ret_err = w->err;
    } else if (w->free_chunks.first) {
        *ret = list_pop(&w->free_chunks);
        (*ret)->len = 0;
        rc = 1;
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

void export_writer_put(struct export_writer *w, struct export_chunk_buffer *chunk)
{
    pthread_mutex_lock(&w->lock);
    list_push(chunk->len ? &w->full : &w->free_chunks, chunk);
    pthread_cond_signal(&w->to_thread);
    pthread_mutex_unlock(&w->lock);
}

void export_writer_finish(struct export_writer *w, const struct export_file *file)
{
    pthread_mutex_lock(&w->lock);
    w->file = *file;
    w->finishing = true;
    pthread_cond_signal(&w->to_thread);
    pthread_mutex_unlock(&w->lock);
}

int export_writer_wait(struct export_writer *w, int wait_ms, struct export_file *ret_file, struct err *ret_err)
{
    struct timespec until = time_after(wait_ms);
    int rc = 0;
    pthread_mutex_lock(&w->lock);
    while (!w->failed && !w->committed && pthread_cond_timedwait(&w->to_owner, &w->lock, &until) != ETIMEDOUT) {
    }
    if (w->committed) {
        *ret_file = w->file;
        rc = 1;
    } else if (w->failed) {
        rc = -(int)w->err.code;
        if (ret_err)
            *ret_err = w->err;
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

/* What it waits for in the database, perhaps for a lock of another session, is given up. */
static void end_thread(struct export_writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->abandon = true;
    pthread_cond_signal(&w->to_thread);
    while (!w->ended) {
        struct timespec until = time_after(PATIENCE_MS);
        if (pthread_cond_timedwait(&w->to_owner, &w->lock, &until) == ETIMEDOUT && !w->ended) {
            struct chunk_sink *sink = w->sink;
            pthread_mutex_unlock(&w->lock);
            if (sink)
                w->store->interrupt(sink);
            pthread_mutex_lock(&w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
}

void export_writer_free(struct export_writer *w)
{
    if (!w)
        return;
    end_thread(w);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->to_owner);
    pthread_cond_destroy(&w->to_thread);
    pthread_mutex_destroy(&w->lock);
    free_parts(w);
}
