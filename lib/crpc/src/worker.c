/* The event loop of a worker thread; see worker.h. Everything here but worker_post runs on the worker's own thread. */
#include "worker.h"

#include <assert.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/thread.h"
#include "bunch.h"
#include "timer.h"

static _Thread_local struct worker *self;

static void wake_done(struct op *op, bool ok)
{
    (void)op;
    (void)ok;
}

void worker_init(struct worker *w, unsigned index, void *owner, struct connections *connections)
{
    *w = (struct worker){.index = index, .owner = owner, .connections = connections, .wake = {wake_done}};
    w->ready_last = &w->ready_first;
    w->cq = grpc_completion_queue_create_for_next(NULL);
    grpc_channel *lame = grpc_lame_client_channel_create("crpc:wake", GRPC_STATUS_UNAVAILABLE, "wakes a queue");
    w->wake_call =
        grpc_channel_create_call(lame, NULL, GRPC_PROPAGATE_DEFAULTS, w->cq, grpc_slice_from_static_string("/wake"),
                                 NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_channel_destroy(lame);
}

void worker_post(struct worker *w, struct crpc_mail *mail)
{
    bool was_empty = mpsc_push(&w->mailbox, &mail->node);
    /* The worker looks into its mailbox before it sleeps, so its own posts need no kick. */
    if (was_empty && self != w) {
        grpc_call_error e = grpc_call_start_batch(w->wake_call, NULL, 0, &w->wake, NULL);
        assert(e == GRPC_CALL_OK);
        (void)e;
    }
}

void worker_ready(struct worker *w, struct ready *ready)
{
    if (ready->queued)
        return;
    ready->queued = true;
    ready->next = NULL;
    *w->ready_last = ready;
    w->ready_last = &ready->next;
}

void worker_timer_set(struct worker *w, struct timer *timer, int64_t at_ms)
{
    timer->at_ms = at_ms;
    timer_insert(&w->timers, timer);
}

void worker_timer_clear(struct worker *w, struct timer *timer)
{
    if (timer->armed)
        timer_remove(&w->timers, timer);
}

static void open_mail(struct worker *w)
{
    if (mpsc_is_empty(&w->mailbox))
        return;
    struct mpsc_node *n = mpsc_take_all(&w->mailbox);
    while (n) {
        struct mpsc_node *next = n->next; /* opening may free or post it again */
        struct crpc_mail *mail = CONTAINER_OF(n, struct crpc_mail, node);
        mail->open(mail);
        n = next;
    }
}

static void fire_timers(struct worker *w)
{
    if (!w->timers)
        return;
    int64_t now = clock_mono_ms();
    while (w->timers && w->timers->at_ms <= now) {
        struct timer *t = w->timers;
        timer_remove(&w->timers, t);
        t->fire(t);
    }
}

static bool is_bunch(const struct ready *r)
{
    unsigned n = 0;
    for (; r && n < BUNCH_MIN; r = r->next)
        n++;
    return n == BUNCH_MIN;
}

/* One round: what becomes ready meanwhile waits for the next, so that events are not starved. */
static void run_ready(struct worker *w)
{
    struct ready *r = w->ready_first;
    w->ready_first = NULL;
    w->ready_last = &w->ready_first;
    if (is_bunch(r))
        bunch_cork(&w->cork, w->connections, r);
    for (unsigned n = 1; r; n++) {
        struct ready *next = r->next;
        r->queued = false;
        r->run(r);
        r = next;
        if (n % BUNCH_PART == 0)
            cork_flush(&w->cork);
    }
    cork_end(&w->cork);
}

static gpr_timespec wait_until(const struct worker *w)
{
    if (w->ready_first || !mpsc_is_empty((struct mpsc *)&w->mailbox))
        return gpr_inf_past(GPR_CLOCK_MONOTONIC);
    if (!w->timers)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    /* Not gpr_now: its monotonic clock need not be ours. */
    int64_t left = w->timers->at_ms - clock_mono_ms();
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(left > 0 ? left : 0, GPR_TIMESPAN));
}

/* Into core, or out of it. */
static void step_over(struct worker *w)
{
    uint64_t n = atomic_load_explicit(&w->passages, memory_order_relaxed) + 1;
    atomic_store_explicit(&w->passages, n, memory_order_relaxed);
}

/* False when the queue is shut down and empty. */
static bool worker_turn(struct worker *w)
{
    gpr_timespec until = wait_until(w);
    step_over(w);
    grpc_event ev = grpc_completion_queue_next(w->cq, until, NULL);
    step_over(w);
    if (ev.type == GRPC_QUEUE_SHUTDOWN)
        return false;
    if (ev.type == GRPC_OP_COMPLETE) {
        struct op *op = ev.tag;
        op->done(op, ev.success != 0);
    }
    open_mail(w);
    fire_timers(w);
    run_ready(w);
    return true;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    self = w;
    while (worker_turn(w))
        ;
    self = NULL;
    return NULL;
}

int worker_start(struct worker *w, struct err *ret_err)
{
    int rc = thread_start(&w->thread, worker_main, w);
    if (rc != 0)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "NO_THREAD", "could not start a worker thread");
    char name[16];
    snprintf(name, sizeof name, "crpc-%u", w->index);
    pthread_setname_np(w->thread, name);
    w->running = true;
    return 0;
}

void worker_run_until(struct worker *w, const bool *stop)
{
    struct worker *before = self;
    self = w;
    while (!*stop && worker_turn(w))
        ;
    self = before;
}

void worker_stop(struct worker *w)
{
    grpc_call_unref(w->wake_call);
    grpc_completion_queue_shutdown(w->cq);
    if (w->running)
        pthread_join(w->thread, NULL);
    else
        while (worker_turn(w))
            ;
    grpc_completion_queue_destroy(w->cq);
}
