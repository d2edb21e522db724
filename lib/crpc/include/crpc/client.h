/* gRPC client over gRPC core: blocking calls of all four kinds, and unary calls on a loop of the caller's.
 *
 * A channel may be used by any number of threads. A stream may be read by one thread and written by another at the same
 * time; crpc_stream_cancel may be called from any thread. Messages received are freed with crpc_message_free. Servers
 * are told that no compression is understood here.
 *
 * The generated code wraps the functions that take a ProtobufCMessage in typed ones; see docs/crpc.md. */
#ifndef CRPC_CLIENT_H
#define CRPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "crpc/method.h"

struct crpc_channel;
struct crpc_channel_credentials;
struct crpc_stream;
struct crpc_loop;

struct crpc_metadata {
    const char *key; /* lower case */
    struct span value;
};

struct crpc_channel_options {
    size_t max_message_bytes;             /* received; 0: 4 MiB */
    int keepalive_ms;                     /* 0: 60000 while a call is open */
    int max_reconnect_ms;                 /* longest pause between connection attempts; 0: 5000 */
    const struct crpc_metadata *metadata; /* sent with every call; copied */
    size_t n_metadata;
    /* TLS (crpc/credentials.h); borrowed while the channel is made. NULL: plaintext. */
    const struct crpc_channel_credentials *credentials;
};

/* "HOST:PORT", "unix:PATH", "dns:///HOST:PORT". Connects on the first call. options NULL: defaults. NULL and *ret_err
 * on failure (a malformed target; a server that is away is an error of the call). */
struct crpc_channel *crpc_channel_new(const char *target, const struct crpc_channel_options *options,
                                      struct err *ret_err);
/* After all its calls, streams and loops' calls have ended. Takes NULL. */
void crpc_channel_free(struct crpc_channel *channel);

struct crpc_call_options {
    int64_t timeout_ms;  /* 0: none */
    bool wait_for_ready; /* while the server is away wait (until the time-out) instead of failing with UNAVAILABLE */
    const struct crpc_metadata *metadata; /* borrowed during the call */
    size_t n_metadata;
};

/* One call, start to end. Returns 0 and gives *ret_response (crpc_message_free), or returns -code and fills *ret_err
 * (code, message, and what the google.rpc.Status details said: reason, field, retry_after_ms). options may be NULL. */
int crpc_unary(struct crpc_channel *channel, const struct crpc_method *method, const struct crpc_call_options *options,
               const ProtobufCMessage *request, ProtobufCMessage **ret_response, struct err *ret_err);

/* Opens a stream of any of the three streaming kinds. For a server stream write the request, then close_write (the
 * generated _open function does both). NULL and *ret_err on failure. */
struct crpc_stream *crpc_stream_open(struct crpc_channel *channel, const struct crpc_method *method,
                                     const struct crpc_call_options *options, struct err *ret_err);
/* Blocks until the message is handed to the transport. 0, or -code when the call has ended (the status is what
 * crpc_stream_read gives). */
int crpc_stream_write(struct crpc_stream *stream, const ProtobufCMessage *msg, struct err *ret_err);
/* No more writes. */
int crpc_stream_close_write(struct crpc_stream *stream, struct err *ret_err);
/* Blocks for the next message. 1 and gives *ret_msg (crpc_message_free); 0 when the stream has ended with OK; -code and
 * *ret_err when it ended otherwise. A malformed message cancels the call: -ERR_INTERNAL. */
int crpc_stream_read(struct crpc_stream *stream, ProtobufCMessage **ret_msg, struct err *ret_err);
/* Ends the call with CANCELLED; reads and writes under way return. Any thread; harmless after the end. */
void crpc_stream_cancel(struct crpc_stream *stream);
/* Cancels if still open, waits for the end. No thread may be in read or write. Takes NULL. */
void crpc_stream_free(struct crpc_stream *stream);

/* Takes NULL. */
void crpc_message_free(ProtobufCMessage *msg);

/* ---- asynchronous unary calls ---- */

/* A loop runs callbacks on the thread that calls crpc_loop_run. One thread at a time. */
struct crpc_loop *crpc_loop_new(void);
/* All its calls have ended. Takes NULL. */
void crpc_loop_free(struct crpc_loop *loop);
/* Waits up to timeout_ms (-1: for ever; 0: not at all) for calls to end and runs their callbacks; returns how many ran.
 * With none under way it returns 0 at once. */
int crpc_loop_run(struct crpc_loop *loop, int64_t timeout_ms);

/* response: borrowed during the callback; NULL when status->code is not OK. The callback may start further calls. */
typedef void crpc_unary_done(void *user, const ProtobufCMessage *response, const struct err *status);
/* Starts a call; on_done runs exactly once, on the loop. Borrows request during this call only. Returns 0, or -code and
 * *ret_err, and then on_done never runs. On the loop's thread. */
int crpc_unary_start(struct crpc_channel *channel, struct crpc_loop *loop, const struct crpc_method *method,
                     const struct crpc_call_options *options, const ProtobufCMessage *request, crpc_unary_done *on_done,
                     void *user, struct err *ret_err);

#endif
