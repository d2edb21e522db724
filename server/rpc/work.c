/* WorkerService.Work: opening and closing. On the call's worker.
 *
 *   start --recv--> hello: check, open the session --store--> opened --fork--> writer (work_write.c)
 *                                                               |
 *                                                               '--> reader (work_read.c), at the rest of that message
 *   writer, in the end --> close: hand the session back --store--> closed: end the call
 *
 * The reader only notes why it stopped; the writer alone closes the session and ends the call. So nobody takes from a
 * session that is gone. */
#include "rpc/work.h"

#include <stdio.h>

#include "base/alloc.h"
#include "rpc/check.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

static enum crpc_next work_start(struct crpc_call *call);
static enum crpc_next work_hello(struct crpc_call *call);
static enum crpc_next work_opened(struct crpc_call *call);
static enum crpc_next work_close(struct crpc_call *call);
static enum crpc_next work_closed(struct crpc_call *call);

static const struct crpc_step START = {"start", work_start};
static const struct crpc_step HELLO = {"hello", work_hello};
static const struct crpc_step OPENED = {"opened", work_opened};
const struct crpc_step WORK_CLOSE = {"close", work_close};
static const struct crpc_step CLOSED = {"closed", work_closed};

static enum crpc_next work_start(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    w->service = service_of(call);
    w->call = call;
    w->answers_end = &w->answers;
    arena_init(&w->message_arena, NULL, 0, 0);
    crpc_signal_init(call, &w->wake);
    crpc_signal_init(call, &w->room);
    drain_join(&w->service->drain, &w->drain, &w->wake.tag);
    return crpc_recv(call, &HELLO);
}

/* The session outlives the message that said hello: the texts are copied. */
static bool keep_texts(struct arena *arena, struct span *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        texts[i] = arena_span(arena, texts[i]);
        if (!texts[i].data)
            return false;
    }
    return true;
}

static int work_check_hello(struct crpc_call *call, const Joblog__V1__WorkerHello *hello,
                            struct store_session_open *open, struct err *ret_err)
{
    static const struct span default_queue = SPAN_LIT("default");
    struct arena *arena = crpc_call_arena(call);
    struct span texts[3];
    int rc = 0;
    if (!hello)
        return err_field(ret_err, "hello", "hello must be set in the first message");
    if ((rc = check_name(hello->name, NAME_MAX_BYTES, "hello.", "name", &texts[0], ret_err)) != 0 ||
        (rc = check_text(hello->version, NAME_MAX_BYTES, "hello.", "version", &texts[1], ret_err)) != 0 ||
        (rc = check_text(hello->host, NAME_MAX_BYTES, "hello.", "host", &texts[2], ret_err)) != 0 ||
        (rc = check_names(hello->job_names, hello->n_job_names, HELLO_VALUES_MAX, "hello.", "job_names", arena,
                          &open->names, ret_err)) != 0 ||
        (rc = check_names(hello->queues, hello->n_queues, HELLO_VALUES_MAX, "hello.", "queues", arena, &open->queues,
                          ret_err)) != 0)
        return rc;
    for (size_t i = 0; i < hello->n_queues; i++)
        if ((rc = check_not_reserved(open->queues[i], "hello.", "queues", ret_err)) != 0)
            return rc;
    if (!keep_texts(arena, texts, 3) || !keep_texts(arena, (struct span *)open->names, hello->n_job_names) ||
        !keep_texts(arena, (struct span *)open->queues, hello->n_queues))
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    open->worker = texts[0];
    open->version = texts[1];
    open->host = texts[2];
    open->pid = hello->pid;
    open->n_names = hello->n_job_names;
    open->n_queues = hello->n_queues;
    if (open->n_queues == 0) {
        open->queues = &default_queue;
        open->n_queues = 1;
    }
    return 0;
}

/* Weights of queues that the worker serves, in the order of these. */
static int work_check_weights(struct crpc_call *call, const Joblog__V1__WorkerHello *hello,
                              struct store_session_open *open, struct err *ret_err)
{
    int32_t *weights = arena_zalloc(crpc_call_arena(call), open->n_queues * sizeof *weights);
    if (!weights)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    for (size_t i = 0; i < hello->n_queue_weights; i++) {
        const Joblog__V1__QueueWeight *m = hello->queue_weights[i];
        struct span queue = span_str(m->queue);
        size_t at = 0;
        while (at < open->n_queues && !span_eq(open->queues[at], queue))
            at++;
        if (at == open->n_queues)
            return err_field(ret_err, "hello.queue_weights", "hello.queue_weights[%zu].queue is none of the queues", i);
        if (weights[at])
            return err_field(ret_err, "hello.queue_weights", "hello.queue_weights has a queue twice");
        if (m->weight < 1 || m->weight > QUEUE_WEIGHT_MAX)
            return err_field(ret_err, "hello.queue_weights",
                             "hello.queue_weights[%zu].weight must be from 1 to %d, is %d", i, QUEUE_WEIGHT_MAX,
                             m->weight);
        weights[at] = m->weight;
    }
    open->weights = weights; /* 0: none was given */
    return 0;
}

static int out_of_scope(const char *field, struct span value, struct err *ret_err)
{
    err_set(ret_err, ERR_PERMISSION_DENIED, "OUT_OF_SCOPE", "%s \"%.*s\" is outside of the caller's scope", field,
            (int)value.len, value.data);
    snprintf(ret_err->field, sizeof ret_err->field, "%s", field);
    return -ERR_PERMISSION_DENIED;
}

/* A queue that the worker names must be in its scope, and each name in one of them: it would wait in vain. Without
 * names it serves those within its scope. Owners cannot narrow a stream: jobs are claimed by queue and name. */
static int work_check_scope(const struct job_scope *scope, struct store_session_open *open, struct err *ret_err)
{
    if (job_scope_names_owners(scope))
        return err_set(ret_err, ERR_PERMISSION_DENIED, "OUT_OF_SCOPE",
                       "a worker gets the jobs of all owners: not for a caller who sees those of some only");
    for (size_t i = 0; i < open->n_queues; i++)
        if (!job_scope_holds_queue(scope, open->queues[i]))
            return out_of_scope("hello.queues", open->queues[i], ret_err);
    for (size_t i = 0; i < open->n_names; i++)
        if (!job_scope_holds_lane(scope, open->queues[0], open->names[i]))
            return out_of_scope("hello.job_names", open->names[i], ret_err);
    open->scope = *scope;
    return 0;
}

static enum crpc_next work_hello(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    struct err err = ERR_NONE;
    w->message = joblog_v1_worker_service_work_received(call);
    if (!w->message)
        return crpc_finish(call, NULL);
    w->open = (struct store_session_open){.cmd = {.op = STORE_SESSION_OPEN}, .wake = &w->wake.tag};
    if (drain_begun(&w->service->drain)) {
        drain_error(&err);
        return crpc_finish(call, &err);
    }
    if (work_check_hello(call, w->message->hello, &w->open, &err) != 0 ||
        work_check_weights(call, w->message->hello, &w->open, &err) != 0 ||
        work_check_scope(&caller_of(call)->scope, &w->open, &err) != 0)
        return crpc_finish(call, &err);
    w->confirms = w->message->hello->confirms_leases;
    return service_submit(call, &w->open.cmd, &w->stored, &OPENED);
}

static enum crpc_next work_opened(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    if (w->open.cmd.err.code != ERR_OK)
        return crpc_finish(call, &w->open.cmd.err);
    w->session = w->open.session;
    crpc_fork(call, &WORK_WRITE);
    return crpc_goto(call, &WORK_MESSAGE);
}

/* Leases that the worker still holds wait for its return, unless it has left in good order. */
static bool work_left_in_order(struct crpc_call *call, const struct work_call *w)
{
    return w->worker_draining && w->error.code == ERR_OK && !crpc_call_cancelled(call);
}

static enum crpc_next work_close(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    struct err err = ERR_NONE;
    w->close = (struct store_session_close){.cmd = {.op = STORE_SESSION_CLOSE, .done = &w->stored.tag},
                                            .session = w->session,
                                            .keep_leases = !work_left_in_order(call, w)};
    crpc_event_arm(call, &w->stored);
    if (store_submit(w->service->store, &w->close.cmd, &err) != 0) {
        crpc_event_disarm(&w->stored);
        /* A full queue empties; a store that closes has given all sessions up. */
        if (err.code == ERR_RESOURCE_EXHAUSTED)
            return crpc_await_signal_for(call, &w->wake, RETRY_MS, &WORK_CLOSE);
        return crpc_finish(call, &err);
    }
    w->session = NULL;
    return crpc_await(call, &w->stored, &CLOSED);
}

static enum crpc_next work_closed(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    return crpc_finish(call, &w->error);
}

void work_write_free(struct work_write *write)
{
    struct work_call *w = write->work;
    w->n_writes--;
    w->write_bytes -= write->bytes;
    mem_free(write);
}

static void work_done(struct crpc_call *call)
{
    struct work_call *w = crpc_call_state(call);
    while (w->answers) {
        struct work_write *write = w->answers;
        w->answers = write->next;
        work_write_free(write);
    }
    if (w->held)
        delivery_free(w->held);
    drain_leave(&w->service->drain, &w->drain);
    arena_done(&w->message_arena);
}

const struct crpc_handler work_handler = {.first = &START, .state_size = sizeof(struct work_call), .done = work_done};
