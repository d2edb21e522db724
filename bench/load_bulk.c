/* DispatchJobs: messages of 1000 jobs on one stream, a few under way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "load.h"

enum { MESSAGE = 1000, UNDER_WAY = 4 };

struct bulk {
    int64_t left, n_done, until_us;
    int under_way;
    bool closed;
    Joblog__V1__DispatchJobsRequest message;
    Joblog__V1__DispatchJobRequest items[MESSAGE], *list[MESSAGE];
    Joblog__V1__JobSpec spec;
};

static void send_more(struct bulk *b, struct crpc_async *stream)
{
    bool over = b->left <= 0 || (b->until_us > 0 && clock_mono_us() >= b->until_us);
    if (over && b->under_way == 0 && !b->closed) {
        b->closed = true;
        crpc_async_close_write(stream);
    }
    if (over || b->under_way >= UNDER_WAY || !crpc_async_writable(stream))
        return;
    b->message.n_jobs = b->left < MESSAGE ? (size_t)b->left : MESSAGE;
    if (joblog_v1_job_log_service_dispatch_jobs_push(stream, &b->message, NULL) == 0) {
        b->left -= (int64_t)b->message.n_jobs;
        b->under_way++;
    }
}

static void on_writable(struct crpc_async *stream)
{
    send_more(crpc_async_user(stream), stream);
}

static void on_message(struct crpc_async *stream, const ProtobufCMessage *msg)
{
    struct bulk *b = crpc_async_user(stream);
    const Joblog__V1__DispatchJobsResponse *m = joblog_v1_job_log_service_dispatch_jobs_message(msg);
    for (size_t i = 0; i < m->n_outcomes; i++)
        if (m->outcomes[i]->code != 0)
            load_fail("a job was refused", NULL);
    b->n_done += (int64_t)m->n_outcomes;
    b->under_way--;
    send_more(b, stream);
}

static void on_end(struct crpc_async *stream, const struct err *status, const struct crpc_metadata_list *trailing)
{
    (void)stream;
    (void)trailing;
    if (status->code != ERR_OK)
        load_fail("DispatchJobs", status);
}

int64_t bulk_dispatch(const struct load *load, const char *queue, int64_t n, int64_t until_us, int64_t *ret_n)
{
    static const struct crpc_async_events events = {
        .on_message = on_message, .on_writable = on_writable, .on_end = on_end};
    struct crpc_channel *channel = load_channel(load);
    struct crpc_loop *loop = crpc_loop_new();
    struct bulk *b = calloc(1, sizeof *b);
    struct err err = ERR_NONE;
    if (!loop || !b)
        load_fail("out of memory", NULL);
    joblog__v1__dispatch_jobs_request__init(&b->message);
    joblog__v1__job_spec__init(&b->spec);
    b->spec.job_name = (char *)"bench.noop";
    b->spec.queue = (char *)queue;
    b->spec.owner = (char *)"bench";
    b->spec.payload = (char *)"{\"file\":\"/srv/in/2026-01-31.csv\",\"mode\":\"full\",\"n\":12345}";
    for (int i = 0; i < MESSAGE; i++) {
        joblog__v1__dispatch_job_request__init(&b->items[i]);
        b->items[i].job = &b->spec;
        b->list[i] = &b->items[i];
    }
    b->message.jobs = b->list;
    b->left = n;
    b->until_us = until_us;
    int64_t began = clock_mono_us();
    struct crpc_async *stream = joblog_v1_job_log_service_dispatch_jobs_start(channel, loop, NULL, &events, b, &err);
    if (!stream)
        load_fail("DispatchJobs", &err);
    for (int i = 0; i < UNDER_WAY; i++)
        send_more(b, stream);
    while (crpc_loop_run(loop, -1) > 0) {
    }
    int64_t took = clock_mono_us() - began;
    if (ret_n)
        *ret_n = b->n_done;
    free(b);
    crpc_loop_free(loop);
    crpc_channel_free(channel);
    return took;
}

int load_bulk(const struct load *load)
{
    int64_t n = 0, took = bulk_dispatch(load, "bench-bulk", INT64_MAX, clock_mono_us() + load->seconds * 1000000LL, &n);
    printf("figure %sbulk %.0f jobs/s\n", load->prefix, (double)n * 1e6 / (double)took);
    return 0;
}
