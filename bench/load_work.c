/* A worker's stream by hand: takes leases up to its credit, completes them in messages of many writes. */
#include <stdlib.h>
#include <string.h>

#include "load.h"

enum { WRITES = 500 };

static void hold(struct work *w, const Joblog__V1__Lease *lease)
{
    if (w->n_held == w->cap_held) {
        w->cap_held = w->cap_held ? w->cap_held * 2 : 4096;
        w->held = realloc(w->held, w->cap_held * sizeof *w->held);
        if (!w->held)
            load_fail("out of memory", NULL);
    }
    w->held[w->n_held].id = lease->job->id;
    w->held[w->n_held++].token = lease->lease_token;
}

static void complete(struct work *w)
{
    static _Thread_local Joblog__V1__WorkerWrite writes[WRITES];
    Joblog__V1__WorkerWrite *list[WRITES];
    Joblog__V1__CompleteWrite done = JOBLOG__V1__COMPLETE_WRITE__INIT;
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    size_t n = w->n_held < WRITES ? w->n_held : WRITES;
    if (!w->stream || !w->complete_all || !crpc_async_writable(w->stream))
        return;
    if (n == 0 && w->credit_owed < w->credit / 4) /* as libjoblog does: a small credit waits for company */
        return;
    for (size_t i = 0; i < n; i++) {
        joblog__v1__worker_write__init(&writes[i]);
        writes[i].write_id = 1;
        writes[i].job_id = w->held[w->n_held - 1 - i].id;
        writes[i].lease_token = w->held[w->n_held - 1 - i].token;
        writes[i].complete = &done;
        writes[i].write_case = JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE;
        list[i] = &writes[i];
    }
    request.writes = list;
    request.n_writes = n;
    request.add_credit = w->credit_owed;
    if (joblog_v1_worker_service_work_push(w->stream, &request, NULL) != 0)
        return;
    w->n_held -= n;
    w->credit_owed = 0;
}

static void on_message(struct crpc_async *stream, const ProtobufCMessage *msg)
{
    struct work *w = crpc_async_user(stream);
    const Joblog__V1__WorkResponse *m = joblog_v1_worker_service_work_message(msg);
    for (size_t i = 0; i < m->n_leases; i++) {
        w->n_leased++;
        if (w->on_lease)
            w->on_lease(w, m->leases[i]);
        hold(w, m->leases[i]);
    }
    for (size_t i = 0; i < m->n_results; i++) {
        if (!m->results[i]->accepted)
            load_fail(m->results[i]->message, NULL);
        w->n_completed += w->complete_all;
        w->credit_owed += w->complete_all;
        if (w->on_result)
            w->on_result(w, m->results[i]);
    }
    complete(w);
}

static void on_writable(struct crpc_async *stream)
{
    complete(crpc_async_user(stream));
}

static void on_end(struct crpc_async *stream, const struct err *status, const struct crpc_metadata_list *trailing)
{
    struct work *w = crpc_async_user(stream);
    (void)trailing;
    w->stream = NULL;
    if (status->code != ERR_OK && status->code != ERR_CANCELLED)
        load_fail("Work", status);
}

void work_open(struct work *w, const struct load *load, struct crpc_channel *channel)
{
    static const struct crpc_async_events events = {
        .on_message = on_message, .on_writable = on_writable, .on_end = on_end};
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    Joblog__V1__WorkerHello hello = JOBLOG__V1__WORKER_HELLO__INIT;
    struct err err = ERR_NONE;
    (void)load;
    w->loop = crpc_loop_new();
    w->stream = joblog_v1_worker_service_work_start(channel, w->loop, NULL, &events, w, &err);
    if (!w->stream)
        load_fail("Work", &err);
    hello.name = (char *)"bench";
    hello.queues = (char **)&w->queue;
    hello.n_queues = 1;
    request.hello = &hello;
    request.add_credit = w->credit;
    if (joblog_v1_worker_service_work_push(w->stream, &request, &err) != 0)
        load_fail("Work", &err);
}

void work_close(struct work *w)
{
    if (w->stream)
        crpc_async_cancel(w->stream);
    while (w->stream)
        crpc_loop_run(w->loop, -1);
    crpc_loop_free(w->loop);
    free(w->held);
}
