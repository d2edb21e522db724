/* A worker: one NEXT completion queue, one thread, a mailbox for posts from other threads, timers, and the list of
 * calls that can go on.
 *
 * Order of the end, fixed because a post after grpc_completion_queue_shutdown aborts the process:
 * grpc_server_shutdown_and_notify, grace, grpc_server_cancel_all_calls, all calls ended, posters stopped,
 * grpc_server_destroy, worker_stop (queue shutdown, drained, thread joined, queue destroyed). */
#ifndef CRPC_SRC_WORKER_H
#define CRPC_SRC_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <grpc/grpc.h>

#include "base/mpsc.h"
#include "cork.h"
#include "crpc/server.h"

#define CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* What a completion queue hands back; a member of the call or of whoever started the batch. */
struct op {
    void (*done)(struct op *op, bool ok);
};

/* Something to run on the worker after the present event; at most once in the list. */
struct ready {
    struct ready *next;
    void (*run)(struct ready *ready);
    bool queued;
};

/* A node of a pairing heap: no allocation when a wait begins. */
struct timer {
    int64_t at_ms; /* clock_mono_ms */
    struct timer *child, *sibling, *prev;
    void (*fire)(struct timer *timer);
    bool armed;
};

struct connections;

struct worker {
    grpc_completion_queue *cq;
    unsigned index;
    void *owner;
    struct mpsc mailbox;
    grpc_call *wake_call; /* of a lame channel: an empty batch on it wakes the queue */
    struct op wake;
    struct ready *ready_first, **ready_last;
    struct connections *connections; /* the server's */
    struct cork cork;                /* while many go on at once */
    struct timer *timers;            /* root of the heap */
    pthread_t thread;
    bool running;
    atomic_ullong passages; /* into core and out of it: odd while it is there; only the worker writes */
};

/* Makes the queue; no thread yet. */
void worker_init(struct worker *w, unsigned index, void *owner, struct connections *connections);
/* 0, or -code. */
int worker_start(struct worker *w, struct err *ret_err);
/* After grpc_server_destroy. Joins the thread when there is one; drains and destroys the queue. */
void worker_stop(struct worker *w);
/* Handles events on the calling thread until *stop; for a server that never started. */
void worker_run_until(struct worker *w, const bool *stop);

/* Any thread. */
void worker_post(struct worker *w, struct crpc_mail *mail);
/* Worker's thread only. */
void worker_ready(struct worker *w, struct ready *ready);
void worker_timer_set(struct worker *w, struct timer *timer, int64_t at_ms);
void worker_timer_clear(struct worker *w, struct timer *timer);

#endif
