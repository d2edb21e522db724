/* A loop of the caller's: one NEXT queue, callbacks on the thread that runs it. Here are the queue itself, unary calls
 * and watches; streams are in async.c. Only crpc_loop_wake is for other threads: an empty batch of a call that never
 * goes anywhere puts a tag into the queue. */
#include "loop.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "cork.h"
#include "unary.h"

struct loop_call {
    struct loop_op op;
    struct crpc_loop *loop;
    struct unary unary;
    crpc_unary_done *on_done;
    void *user;
    struct loop_call *next;
};

struct loop_watch {
    struct loop_op op;
    struct crpc_loop *loop;
    struct crpc_channel *channel;
    crpc_channel_watched *on_change;
    void *user;
};

/* What ends in one go is looked for without a wait, up to so many callbacks, so that the calls that they start leave
 * together (cork.h). Who looks in vain, for a system call, does without in the next runs. */
enum { BUNCH_MAX = 64, RUNS_WITHOUT = 8, CHANNELS = 4 };

struct crpc_loop {
    grpc_completion_queue *cq;
    bool in_bunch; /* more callbacks may follow at once */
    unsigned runs_without;
    struct cork cork;
    const struct crpc_channel *corked[CHANNELS]; /* to be compared only */
    size_t n_corked;
    struct loop_call *idle;
    size_t n_pending; /* calls, watches and holds */
    struct loop_op wake;
    grpc_call *wake_call;
    atomic_bool waking; /* its tag is in the queue, or about to be */
    bool woken;         /* the tag has come */
};

/* From here on another wake needs another tag. */
static int wake_done(struct loop_op *op, bool ok)
{
    struct crpc_loop *loop = LOOP_OP_OF(op, struct crpc_loop, wake);
    (void)ok;
    atomic_store(&loop->waking, false);
    loop->woken = true;
    return 0;
}

struct crpc_loop *crpc_loop_new(void)
{
    struct crpc_loop *loop = mem_zalloc(sizeof *loop);
    if (!loop)
        return NULL;
    grpc_init();
    loop->cq = grpc_completion_queue_create_for_next(NULL);
    loop->wake.done = wake_done;
    grpc_channel *lame = grpc_lame_client_channel_create("crpc:wake", GRPC_STATUS_UNAVAILABLE, "wakes a loop");
    loop->wake_call =
        grpc_channel_create_call(lame, NULL, GRPC_PROPAGATE_DEFAULTS, loop->cq, grpc_slice_from_static_string("/wake"),
                                 NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_channel_destroy(lame);
    return loop;
}

void crpc_loop_free(struct crpc_loop *loop)
{
    if (!loop)
        return;
    assert(loop->n_pending == 0);
    grpc_call_unref(loop->wake_call);
    grpc_completion_queue_shutdown(loop->cq);
    while (grpc_completion_queue_next(loop->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type != GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(loop->cq);
    for (struct loop_call *c = loop->idle, *next; c; c = next) {
        next = c->next;
        unary_done(&c->unary);
        mem_free(c);
    }
    grpc_shutdown();
    mem_free(loop);
}

grpc_completion_queue *loop_queue(struct crpc_loop *loop)
{
    return loop->cq;
}

void loop_begin(struct crpc_loop *loop)
{
    loop->n_pending++;
}

void loop_end(struct crpc_loop *loop)
{
    assert(loop->n_pending > 0);
    loop->n_pending--;
}

void crpc_loop_hold(struct crpc_loop *loop)
{
    loop_begin(loop);
}

void crpc_loop_release(struct crpc_loop *loop)
{
    loop_end(loop);
}

void crpc_loop_wake(struct crpc_loop *loop)
{
    if (atomic_exchange(&loop->waking, true))
        return;
    grpc_call_error e = grpc_call_start_batch(loop->wake_call, NULL, 0, &loop->wake, NULL);
    assert(e == GRPC_CALL_OK);
    (void)e;
}

/* Something is about to be sent. */
static void will_send(struct crpc_loop *loop, const struct crpc_channel *channel)
{
    if (!loop->in_bunch || loop->n_corked == CHANNELS)
        return;
    for (size_t i = 0; i < loop->n_corked; i++)
        if (loop->corked[i] == channel)
            return;
    loop->corked[loop->n_corked++] = channel;
    sockets_cork(channel->sockets, &loop->cork);
}

static void end_bunch(struct crpc_loop *loop)
{
    loop->in_bunch = false;
    loop->n_corked = 0;
    cork_end(&loop->cork);
}

/* After n callbacks: will more be looked for? */
static bool goes_on(struct crpc_loop *loop, int n, bool waits)
{
    if (loop->woken || (waits && n >= BUNCH_MAX))
        return false;
    if (n == 0 || !waits || loop->runs_without == 0)
        return true;
    loop->runs_without--;
    return false;
}

int crpc_loop_run(struct crpc_loop *loop, int64_t timeout_ms)
{
    const gpr_timespec past = gpr_inf_past(GPR_CLOCK_MONOTONIC);
    gpr_timespec until = timeout_ms ? channel_until(timeout_ms) : past;
    int n = 0;
    loop->woken = false;
    while (loop->n_pending > 0) {
        grpc_event ev = grpc_completion_queue_next(loop->cq, n > 0 ? past : until, NULL);
        if (ev.type != GRPC_OP_COMPLETE) {
            loop->runs_without = n == 1 ? RUNS_WITHOUT : 0;
            break;
        }
        struct loop_op *op = ev.tag;
        loop->in_bunch = n > 0;
        n += op->done(op, ev.success != 0);
        if (n % BUNCH_MAX == 0)
            end_bunch(loop);
        if (!goes_on(loop, n, timeout_ms != 0))
            break;
    }
    end_bunch(loop);
    return n;
}

/* ---- unary calls ---- */

static int call_done(struct loop_op *op, bool ok);

static struct loop_call *take(struct crpc_loop *loop)
{
    struct loop_call *c = loop->idle;
    if (c) {
        loop->idle = c->next;
        return c;
    }
    c = mem_alloc(sizeof *c);
    if (c) {
        c->op.done = call_done;
        c->loop = loop;
        unary_init(&c->unary);
    }
    return c;
}

static void give(struct crpc_loop *loop, struct loop_call *c)
{
    c->next = loop->idle;
    loop->idle = c;
}

int crpc_unary_start(struct crpc_channel *channel, struct crpc_loop *loop, const struct crpc_method *method,
                     const struct crpc_call_options *options, const ProtobufCMessage *request, crpc_unary_done *on_done,
                     void *user, struct err *ret_err)
{
    struct loop_call *c = take(loop);
    if (!c)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    c->on_done = on_done;
    c->user = user;
    will_send(loop, channel);
    int rc = unary_start(&c->unary, channel, method, options, request, loop->cq, &c->op, ret_err);
    if (rc < 0)
        give(loop, c);
    else
        loop_begin(loop);
    return rc;
}

static int call_done(struct loop_op *op, bool ok)
{
    struct loop_call *c = LOOP_OP_OF(op, struct loop_call, op);
    struct err status = ERR_NONE;
    ProtobufCMessage *response = NULL;
    crpc_unary_done *on_done = c->on_done;
    void *user = c->user;
    (void)ok;
    unary_finish(&c->unary, &response, &status);
    loop_end(c->loop);
    give(c->loop, c); /* the callback may start the next call with it */
    on_done(user, response, &status);
    crpc_message_free(response);
    return 1;
}

/* ---- watches ---- */

static int watch_done(struct loop_op *op, bool ok)
{
    struct loop_watch *w = LOOP_OP_OF(op, struct loop_watch, op);
    struct loop_watch copy = *w;
    mem_free(w);
    loop_end(copy.loop);
    copy.on_change(copy.user, crpc_channel_state(copy.channel), ok);
    return 1;
}

int crpc_channel_watch_start(struct crpc_channel *channel, struct crpc_loop *loop, enum crpc_channel_state last,
                             int64_t timeout_ms, crpc_channel_watched *on_change, void *user, struct err *ret_err)
{
    assert(timeout_ms > 0); /* core cannot be asked to give up a watch */
    struct loop_watch *w = mem_alloc(sizeof *w);
    if (!w)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    *w = (struct loop_watch){{watch_done}, loop, channel, on_change, user};
    loop_begin(loop);
    grpc_channel_watch_connectivity_state(channel->core, channel_state_for(last), channel_until(timeout_ms), loop->cq,
                                          &w->op);
    return 0;
}
