/* Workers of the model check: the protocol by hand, on a loop, so that they can misbehave. What a worker does with a
 * job follows from the seed, the job's call and the attempt; when it freezes, drops its stream or forgets its jobs,
 * from its own row of decisions. An end whose answer was lost is sent again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "clients.h"
#include "crpc/async.h"
#include "joblog/v1/worker.crpc.h"

enum { HELD_MAX = 12, QUEUED_MAX = 64, MESSAGE_WRITES = 8, BEAT_MS = 250, TICK_MS = 10, AGAIN_MS = 60 };
enum { CREDIT = 6 };

struct held {
    int64_t id, token, due_ms;
    int32_t attempt;
    enum write_kind end;
    int n_reports, mark; /* reports still to be made; the last one's number */
    bool twice, forge;   /* sends the end twice; sends one with a wrong token first */
    bool ending;         /* the end is on its way */
};

struct worker {
    struct actor *actor;
    struct crpc_loop *loop;
    struct crpc_async *stream;
    struct held held[HELD_MAX];
    size_t n_held;
    size_t queued[QUEUED_MAX]; /* writes not yet sent: places in the facts */
    size_t n_queued;
    bool hello_sent;
    int32_t credit_owed;
    int64_t wrote_ms, harm_ms, open_ms;
};

static bool settling(const struct worker *w)
{
    return atomic_load(&w->actor->model->phase) != PHASE_CHAOS;
}

/* ---- leases ---- */

static void held_drop(struct worker *w, size_t i)
{
    w->held[i] = w->held[--w->n_held];
    w->credit_owed++;
}

/* What becomes of a job, by the seed. */
static void held_decide(struct held *h, uint64_t seed, uint64_t call)
{
    static const struct {
        int percent;
        enum write_kind end;
    } ends[] = {{68, WRITE_COMPLETE}, {84, WRITE_FAIL}, {92, WRITE_SNOOZE}, {100, WRITE_RELEASE}};
    uint64_t chance = chance_of(seed, call, (uint64_t)h->attempt);
    int at = chance_below(&chance, 100), i = 0;
    while (at >= ends[i].percent)
        i++;
    h->end = ends[i].end;
    h->n_reports = chance_below(&chance, 3);
    h->due_ms = clock_mono_ms() + chance_below(&chance, 60);
    h->twice = chance_percent(&chance, 5);
    h->forge = chance_percent(&chance, 3);
    if (chance_percent(&chance, 3)) /* a long one */
        h->due_ms += 600;
}

static void take_lease(struct worker *w, const Joblog__V1__Lease *lease)
{
    if (w->n_held == HELD_MAX) {
        model_complain(w->actor->model, "%s has more leases than credit", w->actor->name);
        return;
    }
    struct held *h = &w->held[w->n_held++];
    *h = (struct held){.id = lease->job->id, .token = lease->lease_token, .attempt = lease->job->attempt};
    if (settling(w))
        h->due_ms = clock_mono_ms(), h->end = WRITE_COMPLETE;
    else
        held_decide(h, w->actor->model->seed, call_of_job(lease->job));
    struct lease_fact *fact = list_add(&w->actor->facts.leases);
    *fact = (struct lease_fact){.id = h->id, .token = h->token, .attempt = h->attempt, .got_us = clock_wall_us()};
    snprintf(fact->worker, sizeof fact->worker, "%s", w->actor->name);
}

static size_t held_find(const struct worker *w, int64_t id, int64_t token)
{
    size_t i = 0;
    while (i < w->n_held && (w->held[i].id != id || w->held[i].token != token))
        i++;
    return i;
}

static void take_result(struct worker *w, const Joblog__V1__WriteResult *result)
{
    if (result->write_id == 0 || result->write_id > w->actor->facts.writes.n)
        return;
    struct write_fact *fact = &w->actor->facts.writes.at[result->write_id - 1];
    fact->answer = result->accepted ? ANSWER_OK : answer_is_definite(result->code) ? ANSWER_REFUSED : ANSWER_UNKNOWN;
    fact->status = (int)result->status;
    size_t i = held_find(w, fact->id, fact->token);
    if (fact->kind == WRITE_PROGRESS || i == w->n_held)
        return;
    if (fact->answer != ANSWER_UNKNOWN) {
        held_drop(w, i);
        return;
    }
    w->held[i].ending = false;
    w->held[i].due_ms = clock_mono_ms() + AGAIN_MS;
}

static void take_cancel(struct worker *w, const Joblog__V1__CancelLease *cancel)
{
    size_t i = held_find(w, cancel->job_id, cancel->lease_token);
    if (i == w->n_held || w->held[i].ending)
        return;
    struct held *h = &w->held[i];
    if (cancel->cancel_request && chance_percent(&w->actor->chance, 70))
        h->end = WRITE_CANCELLED;
    h->n_reports = 0;
    h->due_ms = clock_mono_ms();
}

static void on_message(struct crpc_async *stream, const ProtobufCMessage *msg)
{
    struct worker *w = crpc_async_user(stream);
    const Joblog__V1__WorkResponse *m = joblog_v1_worker_service_work_message(msg);
    for (size_t i = 0; i < m->n_leases; i++)
        take_lease(w, m->leases[i]);
    for (size_t i = 0; i < m->n_results; i++)
        take_result(w, m->results[i]);
    for (size_t i = 0; i < m->n_cancels; i++)
        take_cancel(w, m->cancels[i]);
}

/* ---- the stream ---- */

static void on_end(struct crpc_async *stream, const struct err *status, const struct crpc_metadata_list *trailing)
{
    struct worker *w = crpc_async_user(stream);
    (void)trailing;
    if (answer_is_definite((int)status->code))
        model_complain(w->actor->model, "%s: its stream was refused: %s", w->actor->name, status->msg);
    w->stream = NULL;
    w->n_queued = 0;
    w->open_ms = clock_mono_ms() + AGAIN_MS;
    for (size_t i = 0; i < w->n_held; i++)
        if (w->held[i].ending) {
            w->held[i].ending = false;
            w->held[i].due_ms = w->open_ms + AGAIN_MS;
        }
}

static void open_stream(struct worker *w)
{
    static const struct crpc_async_events events = {.on_message = on_message, .on_end = on_end};
    w->stream = joblog_v1_worker_service_work_start(actor_channel(w->actor), w->loop, NULL, &events, w, NULL);
    w->hello_sent = false;
    w->wrote_ms = 0;
}

/* Everything that a message to the server consists of. */
struct message {
    Joblog__V1__WorkRequest request;
    Joblog__V1__WorkerHello hello;
    char *queues[QUEUES];
    Joblog__V1__WorkerWrite writes[MESSAGE_WRITES], *list[MESSAGE_WRITES];
    Joblog__V1__ProgressWrite progress[MESSAGE_WRITES];
    Joblog__V1__CompleteWrite complete;
    Joblog__V1__FailWrite fail, cancelled;
    Joblog__V1__JobError error;
    Joblog__V1__SnoozeWrite snooze;
    Joblog__V1__ReleaseWrite release;
    Google__Protobuf__Duration delay;
    char patches[MESSAGE_WRITES][40];
};

static void message_init(struct message *m)
{
    joblog__v1__work_request__init(&m->request);
    joblog__v1__worker_hello__init(&m->hello);
    joblog__v1__complete_write__init(&m->complete);
    joblog__v1__fail_write__init(&m->fail);
    joblog__v1__fail_write__init(&m->cancelled);
    joblog__v1__job_error__init(&m->error);
    joblog__v1__snooze_write__init(&m->snooze);
    joblog__v1__release_write__init(&m->release);
    google__protobuf__duration__init(&m->delay);
    m->error.type = (char *)"Model";
    m->fail.error = &m->error;
    m->cancelled.cancelled = true;
    m->delay.nanos = 40000000;
    m->snooze.delay = &m->delay;
    m->request.writes = m->list;
}

static void message_add(struct message *m, const struct write_fact *fact, uint64_t write_id)
{
    size_t i = m->request.n_writes++;
    Joblog__V1__WorkerWrite *write = m->list[i] = &m->writes[i];
    joblog__v1__worker_write__init(write);
    write->write_id = write_id;
    write->job_id = fact->id;
    write->lease_token = fact->token;
    switch (fact->kind) {
    case WRITE_PROGRESS:
        joblog__v1__progress_write__init(&m->progress[i]);
        snprintf(m->patches[i], sizeof m->patches[i], "{\"p%d\": %d}", fact->attempt, fact->mark);
        m->progress[i].payload_patch = m->patches[i];
        write->progress = &m->progress[i];
        write->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_PROGRESS;
        break;
    case WRITE_COMPLETE:
        write->complete = &m->complete;
        write->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE;
        break;
    case WRITE_FAIL:
    case WRITE_CANCELLED:
        write->fail = fact->kind == WRITE_FAIL ? &m->fail : &m->cancelled;
        write->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_FAIL;
        break;
    case WRITE_RELEASE:
        write->release = &m->release;
        write->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_RELEASE;
        break;
    case WRITE_SNOOZE:
        write->snooze = &m->snooze;
        write->write_case = JOBLOG__V1__WORKER_WRITE__WRITE_SNOOZE;
        break;
    }
}

static void message_hello(struct message *m, struct worker *w)
{
    static const char *const queues[QUEUES] = {"model-x", "model-y", "model-z"};
    m->hello.name = w->actor->name;
    /* Every second one leaves out a queue. */
    for (int i = 0; i < QUEUES; i++)
        if (w->actor->number % 2 == 0 || i != w->actor->number % QUEUES)
            m->queues[m->hello.n_queues++] = (char *)queues[i];
    m->hello.queues = m->queues;
    m->request.hello = &m->hello;
    w->credit_owed = CREDIT > w->n_held ? CREDIT - (int32_t)w->n_held : 0;
}

/* Sends what is queued, or a sign of life when it is time. */
static void flush(struct worker *w)
{
    int64_t now_ms = clock_mono_ms();
    if (!w->stream || !crpc_async_writable(w->stream) ||
        (w->hello_sent && w->n_queued == 0 && w->credit_owed == 0 && now_ms < w->wrote_ms + BEAT_MS))
        return;
    static _Thread_local struct message m;
    memset(&m, 0, sizeof m);
    message_init(&m);
    if (!w->hello_sent)
        message_hello(&m, w);
    m.request.add_credit = w->credit_owed;
    size_t n = w->n_queued < MESSAGE_WRITES ? w->n_queued : MESSAGE_WRITES;
    for (size_t i = 0; i < n; i++) {
        struct write_fact *fact = &w->actor->facts.writes.at[w->queued[i]];
        fact->sent_us = clock_wall_us();
        message_add(&m, fact, w->queued[i] + 1);
    }
    if (joblog_v1_worker_service_work_push(w->stream, &m.request, NULL) != 0)
        return;
    w->hello_sent = true;
    w->credit_owed = 0;
    w->wrote_ms = now_ms;
    w->n_queued -= n;
    memmove(w->queued, w->queued + n, w->n_queued * sizeof *w->queued);
}

/* ---- what it does ---- */

static void queue_write(struct worker *w, const struct held *h, enum write_kind kind, int64_t token)
{
    if (w->n_queued == QUEUED_MAX)
        return;
    struct write_fact *fact = list_add(&w->actor->facts.writes);
    *fact = (struct write_fact){.id = h->id, .token = token, .attempt = h->attempt, .kind = kind, .mark = h->mark};
    snprintf(fact->worker, sizeof fact->worker, "%s", w->actor->name);
    w->queued[w->n_queued++] = w->actor->facts.writes.n - 1;
}

/* One step of a job: a report, or its end. */
static void act(struct worker *w, struct held *h)
{
    if (h->n_reports > 0) {
        h->n_reports--;
        h->mark++;
        h->due_ms += 10;
        queue_write(w, h, WRITE_PROGRESS, h->token);
        return;
    }
    if (h->forge)
        queue_write(w, h, WRITE_COMPLETE, h->token + 1);
    h->forge = false;
    h->ending = true;
    queue_write(w, h, h->end, h->token);
    if (h->twice)
        queue_write(w, h, h->end, h->token);
}

static void harm(struct worker *w)
{
    int what = chance_below(&w->actor->chance, 100);
    w->harm_ms = clock_mono_ms() + 300 + chance_below(&w->actor->chance, 1500);
    if (!w->stream || what < 30)
        return;
    if (what < 55) {
        pause_ms(LEASE_TIMEOUT_MS + chance_below(&w->actor->chance, 1000)); /* frozen: its leases are lost meanwhile */
        return;
    }
    crpc_async_cancel(w->stream); /* goes on with its leases by another stream, */
    if (what >= 80)
        w->n_held = 0; /* or has forgotten them, like a process that was killed */
}

void *worker_run(void *arg)
{
    struct worker w = {.actor = arg, .loop = crpc_loop_new()};
    w.harm_ms = clock_mono_ms() + 500 + chance_below(&w.actor->chance, 1500);
    crpc_loop_hold(w.loop);
    while (atomic_load(&w.actor->model->phase) < PHASE_WATCH) {
        if (!w.stream && clock_mono_ms() >= w.open_ms)
            open_stream(&w);
        crpc_loop_run(w.loop, TICK_MS);
        for (size_t i = 0; w.stream && i < w.n_held; i++)
            if (!w.held[i].ending && w.held[i].due_ms <= clock_mono_ms())
                act(&w, &w.held[i]);
        flush(&w);
        if (!settling(&w) && clock_mono_ms() >= w.harm_ms)
            harm(&w);
    }
    crpc_loop_release(w.loop);
    if (w.stream)
        crpc_async_cancel(w.stream);
    while (w.stream)
        crpc_loop_run(w.loop, TICK_MS);
    crpc_loop_free(w.loop);
    return NULL;
}
