/* What the parts of bench_load share. Each part runs one load against a joblogd and prints figures; all of it over the
 * generated stubs on crpc's loop, one thread a loop. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "crpc/async.h"
#include "joblog/v1/job_log.crpc.h"
#include "joblog/v1/worker.crpc.h"

struct load {
    const char *server;
    char bearer[8300];
    int seconds, jobs, in_flight, streams;
    bool owners;        /* idle watches: each of an owner of its own, instead of one queue */
    const char *prefix; /* of the figures' names */
};

/* Exits the program with a message. */
_Noreturn void load_fail(const char *what, const struct err *err);
/* A channel with the token, a connection of its own. */
struct crpc_channel *load_channel(const struct load *load);

/* Samples of a time in microseconds. */
struct samples {
    uint32_t *at;
    size_t n;
};
void samples_add(struct samples *samples, int64_t us);
/* In milliseconds; sorts them. */
double samples_ms(struct samples *samples, double part);
void samples_done(struct samples *samples);

/* A worker's stream: takes leases of one queue and ends or holds each. */
struct work {
    struct crpc_loop *loop;
    struct crpc_async *stream;
    const char *queue;
    int32_t credit;
    void (*on_lease)(struct work *work, const Joblog__V1__Lease *lease);
    void (*on_result)(struct work *work, const Joblog__V1__WriteResult *result);
    void *user;
    /* Completes, when complete_all is set: jobs not yet answered for. */
    bool complete_all;
    struct {
        int64_t id, token;
    } * held;
    size_t n_held, cap_held;
    int64_t n_leased, n_completed;
    int32_t credit_owed;
};
void work_open(struct work *work, const struct load *load, struct crpc_channel *channel);
void work_close(struct work *work);

/* Dispatches n jobs in bulk into queue; returns how long it took, in microseconds. until_us not 0: as many as go until
 * then, *ret_n of them. */
int64_t bulk_dispatch(const struct load *load, const char *queue, int64_t n, int64_t until_us, int64_t *ret_n);

int load_bulk(const struct load *load);
int load_life(const struct load *load);
int load_steady(const struct load *load);
int load_progress(const struct load *load);
int load_fanout(const struct load *load);
int load_idle(const struct load *load);

#endif
