/* Unary calls on a loop of the caller's: one NEXT queue, callbacks on the thread that runs it. */
#include <assert.h>

#include "base/alloc.h"
#include "unary.h"

struct loop_call {
    struct unary unary;
    crpc_unary_done *on_done;
    void *user;
    struct loop_call *next;
};

struct crpc_loop {
    grpc_completion_queue *cq;
    struct loop_call *idle;
    size_t n_pending;
};

struct crpc_loop *crpc_loop_new(void)
{
    struct crpc_loop *loop = mem_zalloc(sizeof *loop);
    if (!loop)
        return NULL;
    grpc_init();
    loop->cq = grpc_completion_queue_create_for_next(NULL);
    return loop;
}

void crpc_loop_free(struct crpc_loop *loop)
{
    if (!loop)
        return;
    assert(loop->n_pending == 0);
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

static struct loop_call *take(struct crpc_loop *loop)
{
    struct loop_call *c = loop->idle;
    if (c) {
        loop->idle = c->next;
        return c;
    }
    c = mem_alloc(sizeof *c);
    if (c)
        unary_init(&c->unary);
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
    int rc = unary_start(&c->unary, channel, method, options, request, loop->cq, c, ret_err);
    if (rc < 0)
        give(loop, c);
    else
        loop->n_pending++;
    return rc;
}

static void finish(struct crpc_loop *loop, struct loop_call *c)
{
    struct err status = ERR_NONE;
    ProtobufCMessage *response = NULL;
    crpc_unary_done *on_done = c->on_done;
    void *user = c->user;
    unary_finish(&c->unary, &response, &status);
    loop->n_pending--;
    give(loop, c); /* the callback may start the next call with it */
    on_done(user, response, &status);
    crpc_message_free(response);
}

int crpc_loop_run(struct crpc_loop *loop, int64_t timeout_ms)
{
    gpr_timespec until = gpr_inf_past(GPR_CLOCK_MONOTONIC);
    if (timeout_ms < 0)
        until = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    else if (timeout_ms > 0)
        until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    int n = 0;
    while (loop->n_pending > 0) {
        grpc_event ev = grpc_completion_queue_next(loop->cq, until, NULL);
        if (ev.type != GRPC_OP_COMPLETE)
            break;
        finish(loop, ev.tag);
        n++;
        if (timeout_ms != 0)
            break; /* looking for more would cost a system call each time */
    }
    return n;
}
