/* gRPC client, without blocking: calls of all four kinds on a loop, whose callbacks run on the thread that runs it.
 *
 * A loop belongs to one thread at a time: all functions here are for that thread, inside and outside of callbacks,
 * except crpc_loop_wake. Callbacks may do anything but run or free the loop, or block for long. A call is cancelled
 * from another thread by a crpc_cancel in its options. The loop is outlived by nothing that runs on it: end its calls,
 * run it until they have said so, free it. */
#ifndef CRPC_ASYNC_H
#define CRPC_ASYNC_H

#include "crpc/client.h"

struct crpc_async;
struct crpc_loop;

/* ---- the loop ---- */

struct crpc_loop *crpc_loop_new(void); /* NULL: out of memory */
/* All its calls and watches have ended. Takes NULL. */
void crpc_loop_free(struct crpc_loop *loop);
/* Waits up to timeout_ms (-1: for ever; 0: not at all) for something to happen and runs its callbacks; returns how many
 * ran. 0: the time is up, or crpc_loop_wake was called, or (at once) nothing is under way and the loop is not held. */
int crpc_loop_run(struct crpc_loop *loop, int64_t timeout_ms);
/* Makes crpc_loop_run return: the one that waits now, else the next that would. Several wakes before that are one.
 * Any thread; not after crpc_loop_free began. */
void crpc_loop_wake(struct crpc_loop *loop);
/* While held, crpc_loop_run waits also when nothing is under way, for a wake. Holds are counted. */
void crpc_loop_hold(struct crpc_loop *loop);
void crpc_loop_release(struct crpc_loop *loop);

/* ---- unary calls ---- */

/* response: borrowed during the callback; NULL when status->code is not OK. The callback may start further calls. */
typedef void crpc_unary_done(void *user, const ProtobufCMessage *response, const struct err *status);
/* Starts a call; on_done runs exactly once, on the loop. Borrows request during this call only. Returns 0, or -code and
 * *ret_err, and then on_done never runs. */
int crpc_unary_start(struct crpc_channel *channel, struct crpc_loop *loop, const struct crpc_method *method,
                     const struct crpc_call_options *options, const ProtobufCMessage *request, crpc_unary_done *on_done,
                     void *user, struct err *ret_err);

/* ---- streams of all three kinds ---- */

/* What a stream tells. Every member but on_end may be NULL. */
struct crpc_async_events {
    /* The server's first metadata, before any message; borrowed during the callback. Empty when the call ended without
     * any. */
    void (*on_initial)(struct crpc_async *stream, const struct crpc_metadata_list *initial);
    /* A message; borrowed during the callback. The next is read when this returns, unless the stream is paused. */
    void (*on_message)(struct crpc_async *stream, const ProtobufCMessage *msg);
    /* The last crpc_async_write is with the transport: the next may begin. Not after the call's end. */
    void (*on_writable)(struct crpc_async *stream);
    /* Last, exactly once: how the call ended, and what came with the status (borrowed during the callback). The stream
     * is freed when this returns. */
    void (*on_end)(struct crpc_async *stream, const struct err *status, const struct crpc_metadata_list *trailing);
};

/* Starts a stream. request: of a server stream, borrowed during this call only; NULL for the other kinds, which are
 * written with crpc_async_write. Keeps events and user until on_end. Gives a stream that is valid until on_end returns;
 * NULL and *ret_err on failure, and then no event ever comes. No event comes during this call. */
struct crpc_async *crpc_async_start(struct crpc_channel *channel, struct crpc_loop *loop,
                                    const struct crpc_method *method, const struct crpc_call_options *options,
                                    const ProtobufCMessage *request, const struct crpc_async_events *events, void *user,
                                    struct err *ret_err);
void *crpc_async_user(const struct crpc_async *stream);

/* Writes one message; borrows msg during this call only. 0, and on_writable follows unless the call ends; or -code:
 * -ERR_FAILED_PRECONDITION, reason WRITE_UNDER_WAY, before on_writable (the transport takes no more: that is the
 * back-pressure), reason WRITE_CLOSED after crpc_async_close_write; -ERR_UNAVAILABLE, reason CALL_ENDED. */
int crpc_async_write(struct crpc_async *stream, const ProtobufCMessage *msg, struct err *ret_err);
/* True when crpc_async_write would take a message. */
bool crpc_async_writable(const struct crpc_async *stream);
/* No more writes; sent behind a write under way. Harmless when repeated. */
void crpc_async_close_write(struct crpc_async *stream);
/* Whether the messages written from here on are compressed, in a call whose messages are (on, to begin with). */
void crpc_async_compress(struct crpc_async *stream, bool on);
/* Whether the message that on_message has came compressed. */
bool crpc_async_received_compressed(const struct crpc_async *stream);
/* While paused no message is read. Called in on_message (or before the first message), no other comes; called
 * elsewhere, one may, whose read has begun. The rest waits at the server once the window is full. A call that fails
 * ends all the same and drops what was not read; one that ends well waits for crpc_async_resume while there is
 * something left to read. */
void crpc_async_pause(struct crpc_async *stream);
void crpc_async_resume(struct crpc_async *stream);
/* Ends the call with CANCELLED, unless it has ended; on_end says which. */
void crpc_async_cancel(struct crpc_async *stream);

/* ---- the state of a channel ---- */

/* state: now. changed: false when the time ran out first. */
typedef void crpc_channel_watched(void *user, enum crpc_channel_state state, bool changed);
/* Calls on_change once on the loop, when the state is another than last, or after timeout_ms (more than 0). It counts
 * as a call under way. 0, or -ERR_RESOURCE_EXHAUSTED and then on_change never runs. */
int crpc_channel_watch_start(struct crpc_channel *channel, struct crpc_loop *loop, enum crpc_channel_state last,
                             int64_t timeout_ms, crpc_channel_watched *on_change, void *user, struct err *ret_err);

#endif
