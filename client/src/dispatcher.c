/* See joblog/dispatcher.h. Callers pack their jobs and put them into a list; the dispatcher's thread
 * (dispatcher_thread.c) sends them and gives the answers. This file is what callers call. */
#include "dispatcher.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "check_texts.h"
#include "convert.h"
#include "deadline.h"

/* LENGTH: bytes of a length in front of a field. */
enum { OPEN_DEFAULT = 10000, LENGTH_MAX = 10 };

/* What would have the server refuse the whole message that the job travels in is refused here. */
static struct item *item_pack(const Joblog__V1__DispatchJobRequest *request, struct err *ret_err)
{
    size_t size = protobuf_c_message_get_packed_size(&request->base), rest = size;
    if (check_texts(&request->base, ret_err) < 0)
        return NULL;
    if (size > MESSAGE_BYTES) {
        err_field(ret_err, "job", "a job must have at most %d bytes, has %zu", MESSAGE_BYTES, size);
        return NULL;
    }
    struct item *item = mem_alloc(sizeof *item + LENGTH_MAX + size);
    if (!item) {
        error_no_memory(ret_err);
        return NULL;
    }
    *item = (struct item){.len = 0};
    for (; rest > 0x7f; rest >>= 7)
        item->wire[item->len++] = (uint8_t)(rest | 0x80);
    item->wire[item->len++] = (uint8_t)rest;
    item->len += protobuf_c_message_pack(&request->base, item->wire + item->len);
    return item;
}

static struct item *item_new(const struct joblog_dispatcher *d, const struct joblog_spec *spec, struct err *ret_err)
{
    Joblog__V1__DispatchJobRequest request = JOBLOG__V1__DISPATCH_JOB_REQUEST__INIT;
    char room[2048], made_id[REQUEST_ID_SIZE];
    struct arena arena;
    struct item *item = NULL;
    arena_init(&arena, room, sizeof room, 0);
    request.job = convert_spec(&arena, spec, ret_err);
    if (request.job) {
        /* Without tries nobody asks what became of it. */
        if (!spec->request_id && d->client->retry)
            request_id_make(made_id);
        request.request_id = text_for_message(spec->request_id ? spec->request_id : d->client->retry ? made_id : NULL);
        item = item_pack(&request, ret_err);
    }
    arena_done(&arena);
    return item;
}

static bool is_own_thread(const struct joblog_dispatcher *d)
{
    return pthread_equal(pthread_self(), d->thread) != 0;
}

/* With the lock. */
static void wait_for_answers(struct joblog_dispatcher *d)
{
    d->n_blocked++;
    pthread_cond_wait(&d->answered, &d->lock);
    d->n_blocked--;
}

int joblog_dispatcher_add(struct joblog_dispatcher *d, const struct joblog_spec *spec, joblog_dispatched *done,
                          void *user, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct item *item = item_new(d, spec, &e);
    if (!item)
        return error_give(error, &e);
    item->done = done;
    item->user = user;
    bool own = is_own_thread(d);
    pthread_mutex_lock(&d->lock);
    while (d->n_open >= d->max_open && !own)
        wait_for_answers(d);
    d->n_open++;
    item->n = d->n_added++;
    item->ends_ms = deadline_in_ms(d->client->timeout_ms); /* the wait for room is no part of it */
    DL_APPEND(d->waiting, item);
    bool wake = !d->woken && !own;
    d->woken |= wake;
    pthread_mutex_unlock(&d->lock);
    if (wake)
        crpc_loop_wake(d->loop);
    return 0;
}

/* One that waits for its answer. */
struct waiter {
    sem_t answered;
    int64_t id;
    struct err err;
};

static void on_answer(void *user, const struct joblog_outcome *outcome)
{
    struct waiter *w = user;
    w->id = outcome->id;
    if (outcome->code != JOBLOG_OK) {
        err_set(&w->err, (enum err_code)outcome->code, outcome->reason, "%s", outcome->message);
        snprintf(w->err.field, sizeof w->err.field, "%s", outcome->field);
        w->err.retry_after_ms = outcome->retry_after_ms;
    }
    sem_post(&w->answered);
}

int joblog_dispatcher_dispatch(struct joblog_dispatcher *d, const struct joblog_spec *spec, int64_t *ret_id,
                               struct joblog_error *error)
{
    struct waiter w = {.err = ERR_NONE};
    if (is_own_thread(d)) {
        err_set(&w.err, ERR_FAILED_PRECONDITION, NULL, "a callback of a dispatcher must not wait for it");
        return error_give(error, &w.err);
    }
    sem_init(&w.answered, 0, 0);
    int rc = joblog_dispatcher_add(d, spec, on_answer, &w, error);
    if (rc == 0) {
        while (sem_wait(&w.answered) != 0 && errno == EINTR) {
        }
        if (ret_id && w.err.code == ERR_OK)
            *ret_id = w.id;
        rc = error_give(error, &w.err);
    }
    sem_destroy(&w.answered);
    return rc;
}

void joblog_dispatcher_flush(struct joblog_dispatcher *d)
{
    pthread_mutex_lock(&d->lock);
    for (uint64_t n = d->n_added; d->n_settled < n && !is_own_thread(d);)
        wait_for_answers(d);
    pthread_mutex_unlock(&d->lock);
}

static void dispatcher_done(struct joblog_dispatcher *d)
{
    if (d->loop) {
        crpc_loop_release(d->loop);
        crpc_loop_free(d->loop);
    }
    pthread_cond_destroy(&d->answered);
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}

struct joblog_dispatcher *joblog_dispatcher_new(struct joblog_client *client, size_t max_open,
                                                struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct joblog_dispatcher *d = mem_zalloc(sizeof *d);
    if (!d) {
        error_no_memory(&e);
        error_give(error, &e);
        return NULL;
    }
    d->client = client;
    d->max_open = max_open ? max_open : OPEN_DEFAULT;
    d->backoff = BACKOFF_CALL;
    d->bytes_max = MESSAGE_BYTES;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->answered, NULL);
    d->loop = crpc_loop_new();
    if (d->loop)
        crpc_loop_hold(d->loop);
    int rc = d->loop ? thread_start(&d->thread, dispatcher_run, d) : -1;
    if (rc != 0) {
        err_set(&e, ERR_RESOURCE_EXHAUSTED, NULL, "could not start a thread");
        error_give(error, &e);
        dispatcher_done(d);
        return NULL;
    }
    return d;
}

void joblog_dispatcher_free(struct joblog_dispatcher *d)
{
    if (!d)
        return;
    joblog_dispatcher_flush(d);
    pthread_mutex_lock(&d->lock);
    d->over = true;
    pthread_mutex_unlock(&d->lock);
    crpc_loop_wake(d->loop);
    pthread_join(d->thread, NULL);
    dispatcher_done(d);
}
