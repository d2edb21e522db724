/* The dispatcher's thread: a loop with one DispatchJobs stream, and messages made of what has come together. Several
 * messages are under way, answered in their order. When the stream ends, what had no answer goes back to the front of
 * the list. */
#include <utlist.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "convert.h"
#include "dispatcher.h"

enum {
    MESSAGE_JOBS = 500,
    CLOSE_MS = 2000 /* for a stream to end well */
};

/* ---- answers ---- */

/* 1; 0: it was told before. */
static size_t tell(struct item *item, const struct joblog_outcome *outcome)
{
    if (item->given)
        return 0;
    item->given = true;
    if (item->done)
        item->done(item->user, outcome);
    return 1;
}

static size_t tell_error(struct item *item, const struct err *e)
{
    return tell(item, &(struct joblog_outcome){.code = (int)e->code,
                                               .message = e->msg,
                                               .reason = e->reason,
                                               .field = e->field,
                                               .retry_after_ms = e->retry_after_ms});
}

/* The first of the message without an outcome; NULL: all have theirs. */
static struct item *first_open(const struct message *m)
{
    struct item *item = m->items;
    while (item && item->given)
        item = item->next;
    return item;
}

/* After n have been given their answers. */
static void settle(struct joblog_dispatcher *d, size_t n)
{
    pthread_mutex_lock(&d->lock);
    uint64_t first = d->waiting ? d->waiting->n : d->n_added;
    for (unsigned i = 0; i < d->n_messages; i++) {
        const struct item *item = first_open(&d->messages[(d->oldest + i) % MESSAGES]);
        if (item && item->n < first)
            first = item->n;
    }
    d->n_settled = first;
    d->n_open -= n;
    if (d->n_blocked > 0)
        pthread_cond_broadcast(&d->answered);
    pthread_mutex_unlock(&d->lock);
}

static size_t give_all_error(struct item *items, const struct err *e)
{
    struct item *item, *next;
    size_t n = 0;
    DL_FOREACH_SAFE(items, item, next)
    {
        n += tell_error(item, e);
        mem_free(item);
    }
    return n;
}

static int compare(const struct item *a, const struct item *b)
{
    return (a->n > b->n) - (a->n < b->n);
}

/* Another try, in front of those that have had none. The messages before may come back after those behind: settle and
 * expire look at the first of a list only. */
static void put_back(struct joblog_dispatcher *d, struct item *items)
{
    if (!items)
        return;
    pthread_mutex_lock(&d->lock);
    DL_CONCAT(items, d->waiting);
    DL_SORT(items, compare);
    d->waiting = items;
    pthread_mutex_unlock(&d->lock);
}

static void pause_after(struct joblog_dispatcher *d, const struct err *e)
{
    d->failure = *e;
    d->pause_until_ms = clock_mono_ms() + backoff_next_ms(&d->backoff, e->retry_after_ms);
}

/* ---- the stream's events ---- */

static struct joblog_outcome outcome_of(const Joblog__V1__DispatchOutcome *o)
{
    return (struct joblog_outcome){.id = o->id,
                                   .replayed = o->replayed,
                                   .existing = o->existing,
                                   .code = o->code,
                                   .message = text_of(o->message),
                                   .reason = text_of(o->reason),
                                   .field = text_of(o->field),
                                   .retry_after_ms = retry_ms_of(o->retry_after)};
}

static void on_message(struct crpc_async *stream, const ProtobufCMessage *msg)
{
    struct joblog_dispatcher *d = crpc_async_user(stream);
    const Joblog__V1__DispatchJobsResponse *response = (const Joblog__V1__DispatchJobsResponse *)msg;
    struct message *m = &d->messages[d->oldest];
    struct item *item, *next, *again = NULL;
    size_t n = 0, i = 0, n_items;
    if (d->failure.code == ERR_INTERNAL)
        return; /* no answer counts after one that was wrong */
    DL_COUNT(m->items, item, n_items);
    if (d->n_messages == 0 || response->n_outcomes != n_items) {
        err_set(&d->failure, ERR_INTERNAL, NULL, "the server answered %zu jobs of %zu", response->n_outcomes, n_items);
        crpc_async_cancel(stream);
        return;
    }
    DL_FOREACH_SAFE(m->items, item, next)
    {
        const Joblog__V1__DispatchOutcome *o = response->outcomes[i++];
        if (o->code == ERR_UNAVAILABLE && d->client->retry) {
            err_set(&d->failure, ERR_UNAVAILABLE, o->reason, "%s", text_of(o->message));
            DL_APPEND(again, item);
            continue;
        }
        struct joblog_outcome outcome = outcome_of(o);
        n += tell(item, &outcome);
        mem_free(item);
    }
    m->items = NULL;
    if (m->bytes > d->bytes_taken)
        d->bytes_taken = m->bytes;
    d->oldest = (d->oldest + 1) % MESSAGES;
    d->n_messages--;
    if (again)
        pause_after(d, &d->failure);
    else
        d->backoff = BACKOFF_CALL, d->failure = ERR_NONE;
    put_back(d, again);
    settle(d, n);
}

/* The server has refused a message for its size, and with it the stream. By send_waiting's rule it was the only one
 * under way, so nothing of it was done: it goes again in smaller ones, or is a job that is too large by itself. */
static bool split_refused(struct joblog_dispatcher *d, const struct err *e)
{
    struct message *m = &d->messages[d->oldest];
    if (d->n_messages != 1 || m->bytes <= d->bytes_taken || !message_too_large(e))
        return false;
    struct item *items = m->items, *item, *next;
    DL_FOREACH_SAFE(items, item, next)
    {
        if (item->given) {
            DL_DELETE(items, item);
            mem_free(item);
        }
    }
    d->n_messages = 0;
    m->items = NULL;
    if (items && !items->next) {
        settle(d, give_all_error(items, e));
    } else {
        d->bytes_max = m->bytes / 2;
        put_back(d, items);
    }
    return true;
}

static void on_end(struct crpc_async *stream, const struct err *status, const struct crpc_metadata_list *trailing)
{
    struct joblog_dispatcher *d = crpc_async_user(stream);
    struct item *open = NULL;
    struct err e = *status;
    (void)trailing;
    d->stream = NULL;
    if (!d->timed_out && split_refused(d, &e))
        return;
    for (; d->n_messages > 0; d->n_messages--, d->oldest = (d->oldest + 1) % MESSAGES) {
        DL_CONCAT(open, d->messages[d->oldest].items);
        d->messages[d->oldest].items = NULL;
    }
    if (d->timed_out)
        err_set(&e, ERR_DEADLINE_EXCEEDED, NULL, "the server did not answer in time");
    else if (d->failure.code == ERR_INTERNAL)
        e = d->failure;
    else if (e.code == ERR_OK)
        err_set(&e, ERR_UNAVAILABLE, NULL, "the server ended the stream");
    bool again = d->client->retry && (d->timed_out || stream_was_cut(&e));
    d->timed_out = false;
    if (again) {
        pause_after(d, &e);
        put_back(d, open);
    } else {
        d->failure = ERR_NONE;
        settle(d, give_all_error(open, &e));
    }
}

/* Has crpc_loop_run return, so that the next message is looked for. */
static void on_writable(struct crpc_async *stream)
{
    (void)stream;
}

static const struct crpc_async_events EVENTS = {.on_message = on_message, .on_writable = on_writable, .on_end = on_end};

/* ---- the thread ---- */

/* When the first of those under way has had its time. */
static int64_t sent_until(const struct joblog_dispatcher *d)
{
    int64_t until = INT64_MAX;
    for (unsigned i = 0; i < d->n_messages; i++) {
        int64_t ends_ms = d->messages[(d->oldest + i) % MESSAGES].ends_ms;
        until = ends_ms < until ? ends_ms : until;
    }
    return until;
}

/* Without tries nothing is sent again, so what has time left goes on waiting for its answers on the same stream. False:
 * nobody waits for any. */
static bool expire_sent(struct joblog_dispatcher *d, int64_t now)
{
    struct err e = ERR_NONE;
    bool waits = false;
    size_t n = 0;
    err_set(&e, ERR_DEADLINE_EXCEEDED, NULL, "the server did not answer in time");
    for (unsigned i = 0; i < d->n_messages; i++) {
        struct message *m = &d->messages[(d->oldest + i) % MESSAGES];
        struct item *item;
        while ((item = first_open(m)) != NULL && item->ends_ms <= now)
            n += tell_error(item, &e);
        m->ends_ms = item ? item->ends_ms : INT64_MAX;
        waits |= item != NULL;
    }
    settle(d, n);
    return waits;
}

/* Those whose time is over. When it is one that has been sent, all that have no answer yet are tried again. */
static void expire(struct joblog_dispatcher *d, int64_t now)
{
    struct item *over = NULL, *item;
    pthread_mutex_lock(&d->lock);
    while ((item = d->waiting) != NULL && item->ends_ms <= now) {
        DL_DELETE(d->waiting, item);
        DL_APPEND(over, item);
    }
    pthread_mutex_unlock(&d->lock);
    if (over) {
        struct err e = d->failure;
        if (e.code == ERR_OK)
            err_set(&e, ERR_DEADLINE_EXCEEDED, NULL, "the server did not answer in time");
        settle(d, give_all_error(over, &e));
    }
    if (d->stream && d->n_messages > 0 && sent_until(d) <= now && !d->timed_out &&
        (d->client->retry || !expire_sent(d, now))) {
        d->timed_out = true;
        crpc_async_cancel(d->stream);
    }
}

static void open_stream(struct joblog_dispatcher *d)
{
    struct call_options options;
    struct err e = ERR_NONE;
    call_options_init(&options, &d->client->credentials, 0);
    d->bytes_taken = 0; /* it may be another server */
    d->stream = crpc_async_start(d->client->channel, d->loop, JOB_LOG_METHOD(DISPATCH_JOBS), &options.options, NULL,
                                 &EVENTS, d, &e);
    call_options_done(&options);
    if (d->stream)
        return;
    if (d->client->retry && call_may_pass(&e)) {
        pause_after(d, &e);
        return;
    }
    pthread_mutex_lock(&d->lock);
    struct item *all = d->waiting;
    d->waiting = NULL;
    pthread_mutex_unlock(&d->lock);
    settle(d, give_all_error(all, &e));
}

/* The first that wait, as many as go into a message. False: nobody waits, or the message is larger than any that this
 * server has answered and others are under way: such a one goes alone, so that it is known which one was refused. */
static bool take(struct joblog_dispatcher *d, struct message *ret)
{
    struct item *item;
    size_t n = 0;
    *ret = (struct message){.items = NULL};
    pthread_mutex_lock(&d->lock);
    while ((item = d->waiting) != NULL && n < MESSAGE_JOBS) {
        size_t bytes = ret->bytes + 1 + item->len; /* 1: the field's tag */
        if (n++ == 0)
            ret->ends_ms = item->ends_ms;
        else if (bytes > d->bytes_max)
            break;
        ret->bytes = bytes;
        DL_DELETE(d->waiting, item);
        DL_APPEND(ret->items, item);
    }
    if (d->n_messages > 0 && ret->bytes > d->bytes_taken) {
        DL_CONCAT(ret->items, d->waiting);
        d->waiting = ret->items;
        ret->items = NULL;
    }
    pthread_mutex_unlock(&d->lock);
    return ret->items != NULL;
}

/* What is packed goes into the message as fields that are not known to it, which are written as they are. A write that
 * fails is of a stream that has ended: on_end has the rest. */
static void write_message(struct joblog_dispatcher *d, const struct message *m)
{
    Joblog__V1__DispatchJobsRequest request = JOBLOG__V1__DISPATCH_JOBS_REQUEST__INIT;
    ProtobufCMessageUnknownField fields[MESSAGE_JOBS];
    const uint32_t tag = joblog__v1__dispatch_jobs_request__descriptor.fields[0].id;
    struct item *item;
    DL_FOREACH(m->items, item)
    fields[request.base.n_unknown_fields++] =
        (ProtobufCMessageUnknownField){tag, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, item->len, item->wire};
    request.base.unknown_fields = fields;
    (void)crpc_async_write(d->stream, &request.base, NULL);
}

static bool any_waits(struct joblog_dispatcher *d)
{
    pthread_mutex_lock(&d->lock);
    bool any = d->waiting != NULL;
    pthread_mutex_unlock(&d->lock);
    return any;
}

/* Has the first message had all its time on this stream without an answer? While others under way still wait for theirs
 * (expire_sent), what is added waits for the answer or for another stream. */
static bool stands_still(const struct joblog_dispatcher *d)
{
    return d->n_messages > 0 && d->messages[d->oldest].ends_ms == INT64_MAX;
}

/* Is one under way that the server may refuse for its size? It is alone, then. */
static bool has_unproven(const struct joblog_dispatcher *d)
{
    return d->n_messages > 0 && d->messages[d->oldest].bytes > d->bytes_taken;
}

static void send_waiting(struct joblog_dispatcher *d, int64_t now)
{
    /* timed_out: the stream was cancelled, and what is written to it now would end with it. */
    if (now < d->pause_until_ms || d->timed_out || stands_still(d) || !any_waits(d))
        return;
    if (!d->stream)
        open_stream(d);
    while (d->stream && d->n_messages < MESSAGES && crpc_async_writable(d->stream) && !has_unproven(d)) {
        struct message *m = &d->messages[(d->oldest + d->n_messages) % MESSAGES];
        if (!take(d, m))
            return;
        d->n_messages++;
        write_message(d, m);
    }
}

/* How long there is nothing to do by itself; -1: for ever. */
static int64_t idle_ms(struct joblog_dispatcher *d, int64_t now)
{
    int64_t until = INT64_MAX;
    pthread_mutex_lock(&d->lock);
    if (d->waiting)
        until = d->waiting->ends_ms;
    if (d->waiting && d->pause_until_ms > now && d->pause_until_ms < until)
        until = d->pause_until_ms;
    pthread_mutex_unlock(&d->lock);
    if (!d->timed_out && sent_until(d) < until)
        until = sent_until(d);
    return until == INT64_MAX ? -1 : until > now ? until - now : 0;
}

void *dispatcher_run(void *user)
{
    struct joblog_dispatcher *d = user;
    for (;;) {
        pthread_mutex_lock(&d->lock);
        bool over = d->over;
        d->woken = false;
        pthread_mutex_unlock(&d->lock);
        if (over)
            break;
        int64_t now = clock_mono_ms();
        expire(d, now);
        send_waiting(d, now);
        int64_t ms = idle_ms(d, now);
        if (!d->stream && ms > 0)
            call_pause_part(d->client, ms);
        else
            crpc_loop_run(d->loop, ms);
    }
    if (d->stream)
        crpc_async_close_write(d->stream);
    for (int64_t end = clock_mono_ms() + CLOSE_MS; d->stream;) {
        int64_t left = end - clock_mono_ms();
        if (left <= 0)
            crpc_async_cancel(d->stream);
        crpc_loop_run(d->loop, left > 0 ? left : -1);
    }
    return NULL;
}
