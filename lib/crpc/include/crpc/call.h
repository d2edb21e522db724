/* A call as its handler sees it: a chain of named steps.
 *
 * A step does one thing, starts at most one awaited operation, and returns what happens next: crpc_goto (another step
 * now), one of the awaiting functions (another step, once that operation has ended), or an ending one. All steps of a
 * call run on one worker thread, one at a time, so a handler needs no locks. Other threads reach a call through two
 * objects that live in the call: a crpc_event (ends once) and a crpc_signal (may be raised any number of times).
 *
 * A call begins with one chain. A bidirectional call usually forks a second one, so that one reads and one writes.
 *
 * Cancellation (client gone, deadline passed, connection lost, drain's end) is a flag: crpc_call_cancelled. Every wait
 * still ends by its own operation: sends and receives end with false, signals are raised by the runtime.
 *
 * The generated code wraps the functions that take a ProtobufCMessage in typed ones; see docs/crpc.md. */
#ifndef CRPC_CALL_H
#define CRPC_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mpsc.h"
#include "base/span.h"
#include "base/tag.h"
#include "crpc/compression.h"
#include "crpc/method.h"

struct crpc_call;

/* ---- steps ---- */

enum crpc_next { CRPC_MORE, CRPC_WAIT, CRPC_DONE };

struct crpc_step {
    const char *name; /* in logs and traces */
    enum crpc_next (*run)(struct crpc_call *call);
};

/* Goes on with step at once. */
enum crpc_next crpc_goto(struct crpc_call *call, const struct crpc_step *step);

/* Receives the next message of a client- or bidi-stream, then step; there crpc_call_received tells what came. */
enum crpc_next crpc_recv(struct crpc_call *call, const struct crpc_step *step);

/* Sends one message of a server- or bidi-stream, then step; there crpc_call_sent tells whether it went out. Borrows msg
 * during the call. The next send only from step: that is the back-pressure. */
enum crpc_next crpc_send(struct crpc_call *call, const ProtobufCMessage *msg, const struct crpc_step *step);

/* Bytes that go out as they lie, without being copied into a message. */
struct crpc_bytes {
    const void *data;
    size_t len;
    void (*release)(void *user); /* on any thread, once nobody reads the bytes any more */
    void *user;
};
/* As crpc_send, of msg with one field more: that of number `field`, of type bytes, which msg leaves empty. For bytes so
 * many that a copy of them counts. Takes bytes: they are released in any case, also when nothing is sent. */
enum crpc_next crpc_send_bytes(struct crpc_call *call, const ProtobufCMessage *msg, uint32_t field,
                               const struct crpc_bytes *bytes, const struct crpc_step *step);

/* Ends the call: the answer of a unary or client-stream call, with OK. Borrows msg during the call. */
enum crpc_next crpc_reply(struct crpc_call *call, const ProtobufCMessage *msg);

/* Ends the call with a status; err NULL or OK ends a stream well. Borrows err during the call. */
enum crpc_next crpc_finish(struct crpc_call *call, const struct err *err);

/* As crpc_finish, from a second chain while the first one stands in a send that does not get through: what is on its
 * way is given up, and the client is told code and message, though not reason, field and delay. The send then ends with
 * false. err: not OK. A client that has not even read from its socket for still_ms loses its connection instead, with
 * all other calls on it, since what was given to that is kept until it is read; with still_ms 0 it does even if it
 * reads. On a unix socket, where nobody tells for how long, it does not. */
enum crpc_next crpc_cut(struct crpc_call *call, const struct err *err, int64_t still_ms);

/* Ends this chain, not the call (another chain will). */
enum crpc_next crpc_end(struct crpc_call *call);

/* Starts a second chain at step; it first runs after the present step returns. At most one fork a call. */
void crpc_fork(struct crpc_call *call, const struct crpc_step *step);

/* ---- waiting for other threads ---- */

/* Private: an entry of a worker's mailbox. */
struct crpc_mail {
    struct mpsc_node node;
    void (*open)(struct crpc_mail *mail);
};

/* Ends once. Embed it in memory that lives as long as the call, give &ev->tag to whoever will post it, exactly once
 * for each arming. The call is not freed before the post has arrived. */
struct crpc_event {
    struct tag tag;
    /* Optional: runs on the call's worker when the post arrives, before a step that awaits it. May re-arm ev, or free
     * it when no chain awaits it. */
    void (*on_done)(struct crpc_event *ev, bool ok);
    void *user; /* the handler's own */
    bool done;  /* arrived */
    bool ok;    /* as posted */
    /* private */
    struct crpc_call *call;
    struct crpc_mail mail;
    bool posted_ok;
};

/* Call's worker only. Before the thing that will post starts. */
void crpc_event_arm(struct crpc_call *call, struct crpc_event *ev);
/* The thing was not started after all: it will not post. */
void crpc_event_disarm(struct crpc_event *ev);
/* Waits for an armed event (at once when it has arrived), then step. */
enum crpc_next crpc_await(struct crpc_call *call, struct crpc_event *ev, const struct crpc_step *step);

/* May be raised any number of times; raises before the wait are kept as one. The call is not freed while a raise is
 * under way; whoever may raise it must have stopped by the end of the handler's done(). */
struct crpc_signal {
    struct tag tag; /* posting it raises the signal; ok is ignored */
    /* private */
    struct crpc_call *call;
    struct crpc_mail mail;
    struct crpc_signal *next; /* of the call's signals */
    atomic_int posted;        /* 1: in the mailbox, or about to be */
    bool raised;
};

/* Call's worker only, once. */
void crpc_signal_init(struct crpc_call *call, struct crpc_signal *sig);
/* Waits until sig is raised or the call is cancelled or finished by another chain, then step. Takes the raise. */
enum crpc_next crpc_await_signal(struct crpc_call *call, struct crpc_signal *sig, const struct crpc_step *step);
/* The same, but no longer than ms. */
enum crpc_next crpc_await_signal_for(struct crpc_call *call, struct crpc_signal *sig, int64_t ms,
                                     const struct crpc_step *step);
/* Raises from the call's own worker. */
void crpc_signal_raise(struct crpc_signal *sig);

/* ---- what a step may ask of its call ---- */

void *crpc_call_state(struct crpc_call *call);      /* the handler's, zeroed; lives as long as the call */
void *crpc_call_user(const struct crpc_call *call); /* user of crpc_server_mount */
const struct crpc_method *crpc_call_method(const struct crpc_call *call); /* the one that was called; constant */
/* The request of a unary or server-stream call. Lives as long as the call. */
const ProtobufCMessage *crpc_call_request(const struct crpc_call *call);
/* After crpc_recv: the message (valid until the next crpc_recv), or NULL at the end of the client's stream and when the
 * call is cancelled, which crpc_call_cancelled tells apart: it is never late for this NULL. A malformed message ends
 * the call with INVALID_ARGUMENT by itself; no step sees it. */
const ProtobufCMessage *crpc_call_received(const struct crpc_call *call);
/* After crpc_send: false when the peer is gone. */
bool crpc_call_sent(const struct crpc_call *call);
/* The client is gone or the deadline has passed. */
bool crpc_call_cancelled(const struct crpc_call *call);
/* crpc_reply or crpc_finish has been called, perhaps by the other chain, or the call is cancelled. */
bool crpc_call_ended(const struct crpc_call *call);
/* Milliseconds until the deadline; INT64_MAX when there is none; never negative. */
int64_t crpc_call_time_left_ms(const struct crpc_call *call);
/* First value of a metadata key; len 0 when absent. Borrowed from the call. */
struct span crpc_call_metadata(const struct crpc_call *call, const char *key);
/* How many values the key has: where one decides who calls, several are a way to show different ones to different
 * readers. */
size_t crpc_call_metadata_count(const struct crpc_call *call, const char *key);
/* "ipv4:127.0.0.1:4711". For logs, never for authentication. */
const char *crpc_call_peer(const struct crpc_call *call);
/* For interceptors: one pointer of theirs that handlers can see. NULL to begin with. Not freed: that is for the
 * interceptor's `after`. */
void crpc_call_set_context(struct crpc_call *call, void *context);
void *crpc_call_context(const struct crpc_call *call);
/* Number of the call in this process, for logs. */
uint64_t crpc_call_id(const struct crpc_call *call);
/* Memory that lives as long as the call. */
struct arena *crpc_call_arena(struct crpc_call *call);
/* Sent with the first answer; before that only. Copies. Returns 0, or -code for an illegal key or value. */
int crpc_call_add_metadata(struct crpc_call *call, const char *key, struct span value, struct err *ret_err);
/* Sent with the status; before crpc_reply or crpc_finish only. Copies. Returns as crpc_call_add_metadata. */
int crpc_call_add_trailing_metadata(struct crpc_call *call, const char *key, struct span value, struct err *ret_err);

/* ---- compression ---- */

/* How this call's messages go out, in place of the server's option: as asked, or in the other encoding when the client
 * understands only that, or not at all when it understands neither. Before the first answer; 0, or
 * -ERR_FAILED_PRECONDITION. */
int crpc_call_set_compression(struct crpc_call *call, enum crpc_compression compression, struct err *ret_err);
/* Whether the messages sent from here on are compressed, in a call whose messages are (on, to begin with). For those
 * that are compressed already, or mix secrets with what a stranger chose. Those that would not get shorter never are.
 */
void crpc_call_compress(struct crpc_call *call, bool on);
/* Whether the request, or the message of the last crpc_recv, came compressed. */
bool crpc_call_received_compressed(const struct crpc_call *call);

/* ---- messages shared by many calls ---- */

/* An encoded message, counted; encode once, send on many streams without a copy. Any thread. */
struct crpc_frame;
struct crpc_frame *crpc_frame_encode(const ProtobufCMessage *msg); /* NULL: out of memory. One reference. */
struct crpc_frame *crpc_frame_ref(struct crpc_frame *frame);       /* one more reference; gives frame */
void crpc_frame_unref(struct crpc_frame *frame);                   /* takes NULL */
size_t crpc_frame_len(const struct crpc_frame *frame);             /* encoded bytes */
/* As crpc_send; keeps a reference of its own until the message is out. */
enum crpc_next crpc_send_frame(struct crpc_call *call, struct crpc_frame *frame, const struct crpc_step *step);

#endif
