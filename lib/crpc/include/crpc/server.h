/* gRPC server over gRPC core: a call is a chain of named steps.
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
 * Compressed messages are refused with UNIMPLEMENTED: a small one can unfold to any size.
 *
 * The generated code wraps the functions that take a ProtobufCMessage in typed ones; see docs/crpc.md. */
#ifndef CRPC_SERVER_H
#define CRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mpsc.h"
#include "base/span.h"
#include "base/tag.h"
#include "crpc/method.h"

struct crpc_server;
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

/* Ends the call: the answer of a unary or client-stream call, with OK. Borrows msg during the call. */
enum crpc_next crpc_reply(struct crpc_call *call, const ProtobufCMessage *msg);

/* Ends the call with a status; err NULL or OK ends a stream well. Borrows err during the call. */
enum crpc_next crpc_finish(struct crpc_call *call, const struct err *err);

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
const struct crpc_method *crpc_call_method(const struct crpc_call *call);
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
/* "ipv4:127.0.0.1:4711". For logs, never for authentication. */
const char *crpc_call_peer(const struct crpc_call *call);
/* Number of the call in this process, for logs. */
uint64_t crpc_call_id(const struct crpc_call *call);
/* Memory that lives as long as the call. */
struct arena *crpc_call_arena(struct crpc_call *call);
/* Sent with the first answer; before that only. Copies. Returns 0, or -code for an illegal key or value. */
int crpc_call_add_metadata(struct crpc_call *call, const char *key, struct span value, struct err *ret_err);

/* ---- messages shared by many calls ---- */

/* An encoded message, counted; encode once, send on many streams without a copy. Any thread. */
struct crpc_frame;
struct crpc_frame *crpc_frame_encode(const ProtobufCMessage *msg); /* NULL: out of memory. One reference. */
struct crpc_frame *crpc_frame_ref(struct crpc_frame *frame);
void crpc_frame_unref(struct crpc_frame *frame); /* takes NULL */
size_t crpc_frame_len(const struct crpc_frame *frame);
/* As crpc_send; keeps a reference of its own until the message is out. */
enum crpc_next crpc_send_frame(struct crpc_call *call, struct crpc_frame *frame, const struct crpc_step *step);

/* ---- handlers and the server ---- */

/* How one method is served. Constant data. */
struct crpc_handler {
    const struct crpc_step *first; /* first step; or, for a unary method: */
    int (*simple)(struct crpc_call *call, const ProtobufCMessage *request, ProtobufCMessage *ret_response,
                  struct err *ret_err); /* answers at once: 0, or -code with ret_err. ret_response is initialized; give
                                           it memory of crpc_call_arena. Must not block. */
    size_t state_size;                  /* of crpc_call_state */
    bool ignores_cancel; /* unary only: its steps end soon whatever the client does. crpc_call_cancelled stays false,
                            and a call costs one batch less. */
    void (*done)(struct crpc_call *call); /* optional: once, after the last step, before the call is freed */
};

/* Around every call of a method that is served, on its worker; not around those that max_calls refuses. */
struct crpc_interceptor {
    /* Before the first step, in order. Not 0: the call ends with *ret_err, no step runs. May be NULL. */
    int (*before)(struct crpc_call *call, void *user, struct err *ret_err);
    /* After the end, in reverse order, for the interceptors whose before ran. May be NULL. */
    void (*after)(struct crpc_call *call, void *user, const struct err *status, int64_t duration_us);
    void *user;
};

struct crpc_server_options {
    const char *error_domain;                    /* ErrorInfo.domain, kept; NULL: "crpc" */
    unsigned n_workers;                          /* completion queues, each with a thread; 0: 1 */
    size_t max_message_bytes;                    /* received; larger: RESOURCE_EXHAUSTED. 0: 4 MiB */
    unsigned max_calls;                          /* at once; more: RESOURCE_EXHAUSTED with RetryInfo. 0: 100000 */
    unsigned max_streams;                        /* at once a connection; 0: 10000 */
    size_t memory_bytes;                         /* resource quota of gRPC core; 0: 1 GiB */
    int keepalive_ms;                            /* ping an idle connection this often; 0: 60000 */
    const struct crpc_interceptor *interceptors; /* kept */
    size_t n_interceptors;
};

/* options NULL: defaults; borrowed but for what says kept. NULL and *ret_err on failure. */
struct crpc_server *crpc_server_new(const struct crpc_server_options *options, struct err *ret_err);
/* Serves a service; before start. handlers: one for each method, in order, none NULL; kept. user: kept.
 * Generated code wraps this in a typed vtable. */
int crpc_server_mount(struct crpc_server *server, const struct crpc_service *service,
                      const struct crpc_handler *const *handlers, void *user, struct err *ret_err);
/* "HOST:PORT" (port 0: any free one; "[::1]:0") or "unix:PATH" (at most 100 bytes; refused when a server listens there,
 * a dead socket is removed). Before start; any number of times. ret_port may be NULL; 0 for a unix socket. */
int crpc_server_listen(struct crpc_server *server, const char *address, int *ret_port, struct err *ret_err);
/* Starts the worker threads. */
int crpc_server_start(struct crpc_server *server, struct err *ret_err);
/* Ends well: no new calls (GOAWAY), waits for those under way up to grace_ms, then cancels the rest and waits for their
 * end; the worker threads run until crpc_server_free. Streams that never end by themselves should have been told
 * before. Not from a worker thread. Everything that posts to calls must still be running. */
void crpc_server_drain(struct crpc_server *server, int64_t grace_ms);
/* Calls under way. Any thread. */
unsigned crpc_server_calls(const struct crpc_server *server);
/* Calls refused so far because of max_calls. Any thread. */
uint64_t crpc_server_shed(const struct crpc_server *server);
/* After crpc_server_drain (or before start). Whoever could post has stopped. Takes NULL. */
void crpc_server_free(struct crpc_server *server);

#endif
