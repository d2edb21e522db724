/* See fake_crpc.h. */
#include "fake_crpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const struct job_scope *fake_scope;

static const ProtobufCMessageDescriptor *output_type;

/* ---- running ---- */

static void run(struct crpc_call *call)
{
    enum crpc_next next = CRPC_MORE;
    call->wait = FAKE_RUNNING;
    call->timed = false;
    while (next == CRPC_MORE) {
        const struct crpc_step *step = call->next;
        assert_non_null(step);
        assert_true(call->n_steps < FAKE_STEPS_MAX);
        call->steps[call->n_steps++] = step->name;
        call->next = NULL;
        next = step->run(call);
    }
    if (next == CRPC_DONE) {
        assert_true(call->ended);
        call->wait = FAKE_OVER;
    } else {
        assert_int_not_equal(call->wait, FAKE_RUNNING);
    }
}

static enum crpc_next wait_for(struct crpc_call *call, enum fake_wait wait, const void *on,
                               const struct crpc_step *step)
{
    assert_int_equal(call->wait, FAKE_RUNNING);
    assert_false(call->ended);
    call->wait = wait;
    call->on = on;
    call->next = step;
    return CRPC_WAIT;
}

struct crpc_call *fake_call_start(const struct crpc_handler *handler, void *user, const ProtobufCMessage *request,
                                  const ProtobufCMessageDescriptor *output)
{
    struct crpc_call *call = calloc(1, sizeof *call);
    assert_non_null(call);
    output_type = output;
    call->handler = handler;
    call->user = user;
    call->request = request;
    call->state = calloc(1, handler->state_size);
    arena_init(&call->arena, NULL, 0, 0);
    call->identity = (struct identity){.roles = ROLE_ADMIN};
    call->caller = (struct caller){.identity = &call->identity, .actor = SPAN_LIT("test"), .owner = SPAN_LIT("test")};
    if (fake_scope)
        call->caller.scope = *fake_scope;
    call->next = handler->first;
    run(call);
    return call;
}

void fake_call_free(struct crpc_call *call)
{
    assert_int_equal(call->wait, FAKE_OVER);
    assert_int_equal(call->armed, 0);
    assert_null(fake_store_cmd());
    if (call->handler->done)
        call->handler->done(call);
    for (size_t i = 0; i < call->n_sent; i++)
        protobuf_c_message_free_unpacked(call->sent[i], NULL);
    if (call->reply)
        protobuf_c_message_free_unpacked(call->reply, NULL);
    arena_done(&call->arena);
    free(call->state);
    free(call);
}

const char *fake_steps(const struct crpc_call *call)
{
    static char text[FAKE_STEPS_MAX * 20];
    size_t len = 0;
    text[0] = 0;
    for (size_t i = 0; i < call->n_steps; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? " " : "", call->steps[i]);
    return text;
}

/* ---- what a step may do ---- */

enum crpc_next crpc_goto(struct crpc_call *call, const struct crpc_step *step)
{
    call->next = step;
    return CRPC_MORE;
}

static ProtobufCMessage *copy(const void *packed, size_t len)
{
    ProtobufCMessage *message = protobuf_c_message_unpack(output_type, NULL, len, packed);
    assert_non_null(message);
    return message;
}

static ProtobufCMessage *copy_message(const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = malloc(len + 1);
    assert_non_null(packed);
    protobuf_c_message_pack(message, packed);
    ProtobufCMessage *made = copy(packed, len);
    free(packed);
    return made;
}

enum crpc_next crpc_send(struct crpc_call *call, const ProtobufCMessage *msg, const struct crpc_step *step)
{
    assert_true(call->n_sent < FAKE_SENT_MAX);
    call->sent[call->n_sent++] = copy_message(msg);
    return wait_for(call, FAKE_SEND, NULL, step);
}

void fake_send_done(struct crpc_call *call, bool ok)
{
    assert_int_equal(call->wait, FAKE_SEND);
    call->was_sent = ok;
    run(call);
}

static enum crpc_next end(struct crpc_call *call, const struct err *err)
{
    assert_false(call->ended);
    assert_int_equal(call->wait, FAKE_RUNNING);
    call->ended = true;
    call->status = err ? *err : ERR_NONE;
    return CRPC_DONE;
}

enum crpc_next crpc_reply(struct crpc_call *call, const ProtobufCMessage *msg)
{
    call->reply = copy_message(msg);
    return end(call, NULL);
}

enum crpc_next crpc_finish(struct crpc_call *call, const struct err *err)
{
    return end(call, err);
}

void fake_cancel(struct crpc_call *call)
{
    call->cancelled = true;
    if (call->wait == FAKE_SIGNAL)
        run(call);
}

/* ---- events and signals ---- */

static void event_post(struct tag *tag, bool ok)
{
    struct crpc_event *ev = (struct crpc_event *)tag;
    struct crpc_call *call = ev->call;
    assert_non_null(call);
    assert_false(ev->done);
    call->armed--;
    ev->done = true;
    ev->ok = ok;
    if (ev->on_done)
        ev->on_done(ev, ok);
    if (call->wait == FAKE_EVENT && call->on == ev)
        run(call);
}

void crpc_event_arm(struct crpc_call *call, struct crpc_event *ev)
{
    assert_true(!ev->call || ev->done);
    ev->tag.post = event_post;
    ev->call = call;
    ev->done = false;
    call->armed++;
}

void crpc_event_disarm(struct crpc_event *ev)
{
    assert_false(ev->done);
    ev->call->armed--;
    ev->call = NULL;
}

enum crpc_next crpc_await(struct crpc_call *call, struct crpc_event *ev, const struct crpc_step *step)
{
    assert_ptr_equal(ev->call, call);
    return ev->done ? crpc_goto(call, step) : wait_for(call, FAKE_EVENT, ev, step);
}

static void signal_post(struct tag *tag, bool ok)
{
    struct crpc_signal *sig = (struct crpc_signal *)tag;
    (void)ok;
    sig->raised = true;
}

void fake_wake(struct crpc_call *call)
{
    struct crpc_signal *sig = call->wait == FAKE_SIGNAL ? (struct crpc_signal *)call->on : NULL;
    if (!sig || !sig->raised)
        return;
    sig->raised = false;
    run(call);
}

void crpc_signal_init(struct crpc_call *call, struct crpc_signal *sig)
{
    assert_null(sig->call);
    sig->tag.post = signal_post;
    sig->call = call;
}

enum crpc_next crpc_await_signal(struct crpc_call *call, struct crpc_signal *sig, const struct crpc_step *step)
{
    assert_ptr_equal(sig->call, call);
    if (sig->raised || call->cancelled) {
        sig->raised = false;
        return crpc_goto(call, step);
    }
    return wait_for(call, FAKE_SIGNAL, sig, step);
}

enum crpc_next crpc_await_signal_for(struct crpc_call *call, struct crpc_signal *sig, int64_t ms,
                                     const struct crpc_step *step)
{
    assert_true(ms > 0);
    call->timed = true;
    return crpc_await_signal(call, sig, step);
}

void fake_pass(struct crpc_call *call)
{
    assert_int_equal(call->wait, FAKE_SIGNAL);
    assert_true(call->timed);
    run(call);
}

/* ---- questions ---- */

void *crpc_call_context(const struct crpc_call *call)
{
    return (void *)&call->caller;
}

void *crpc_call_state(struct crpc_call *call)
{
    return call->state;
}

void *crpc_call_user(const struct crpc_call *call)
{
    return call->user;
}

const ProtobufCMessage *crpc_call_request(const struct crpc_call *call)
{
    return call->request;
}

bool crpc_call_sent(const struct crpc_call *call)
{
    return call->was_sent;
}

bool crpc_call_cancelled(const struct crpc_call *call)
{
    return call->cancelled;
}

bool crpc_call_ended(const struct crpc_call *call)
{
    return call->ended || call->cancelled;
}

struct span crpc_call_metadata(const struct crpc_call *call, const char *key)
{
    (void)call;
    (void)key;
    return (struct span){NULL, 0};
}

size_t crpc_call_metadata_count(const struct crpc_call *call, const char *key)
{
    (void)call;
    (void)key;
    return 0;
}

void crpc_call_set_context(struct crpc_call *call, void *context)
{
    (void)call;
    (void)context;
    fail_msg("only the interceptor sets it");
}

struct arena *crpc_call_arena(struct crpc_call *call)
{
    return &call->arena;
}

/* For the access log, which these tests do not run. */
const struct crpc_method *crpc_call_method(const struct crpc_call *call)
{
    static const struct crpc_method method = {.name = "Fake", .path = "/fake.Service/Fake", .kind = CRPC_UNARY};
    (void)call;
    return &method;
}

const char *crpc_call_peer(const struct crpc_call *call)
{
    (void)call;
    return "";
}

uint64_t crpc_call_id(const struct crpc_call *call)
{
    (void)call;
    return 0;
}

/* ---- frames ---- */

struct crpc_frame {
    int refs;
    size_t len;
    uint8_t data[];
};

struct crpc_frame *crpc_frame_encode(const ProtobufCMessage *msg)
{
    size_t len = protobuf_c_message_get_packed_size(msg);
    struct crpc_frame *frame = malloc(sizeof *frame + len);
    assert_non_null(frame);
    frame->refs = 1;
    frame->len = protobuf_c_message_pack(msg, frame->data);
    return frame;
}

struct crpc_frame *crpc_frame_ref(struct crpc_frame *frame)
{
    frame->refs++;
    return frame;
}

void crpc_frame_unref(struct crpc_frame *frame)
{
    if (frame && --frame->refs == 0)
        free(frame);
}

enum crpc_next crpc_send_frame(struct crpc_call *call, struct crpc_frame *frame, const struct crpc_step *step)
{
    assert_true(call->n_sent < FAKE_SENT_MAX);
    call->sent[call->n_sent++] = copy(frame->data, frame->len);
    return wait_for(call, FAKE_SEND, NULL, step);
}

/* ---- the store ---- */

static struct store_cmd *under_way;
static enum err_code refuse;

struct store_cmd *fake_store_cmd(void)
{
    return under_way;
}

void fake_store_refuse(enum err_code code)
{
    refuse = code;
}

int store_no_job(int64_t id, struct err *ret_err)
{
    return err_set(ret_err, ERR_NOT_FOUND, "JOB_NOT_FOUND", "there is no job %lld", (long long)id);
}

void store_point(struct store *store, struct buf *ret_point)
{
    (void)store;
    buf_add_str(ret_point, "1.0-1");
}

int store_submit(struct store *store, struct store_cmd *cmd, struct err *ret_err)
{
    (void)store;
    assert_null(under_way);
    assert_non_null(cmd->done);
    if (refuse != ERR_OK) {
        enum err_code code = refuse;
        refuse = ERR_OK;
        return err_set(ret_err, code, NULL, "the store is full");
    }
    under_way = cmd;
    return 0;
}

void fake_store_done(const struct err *err)
{
    struct store_cmd *cmd = under_way;
    assert_non_null(cmd);
    under_way = NULL;
    cmd->err = err ? *err : ERR_NONE;
    tag_post(cmd->done, true);
}
