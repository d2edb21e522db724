/* gRPC client over gRPC core: channels, and blocking calls of all four kinds. Calls on a loop: crpc/async.h.
 *
 * A channel may be used by any number of threads. A stream may be read by one thread and written by another at the same
 * time; crpc_stream_cancel may be called from any thread. Messages received are freed with crpc_message_free. Servers
 * are told that gzip and deflate are understood here.
 *
 * The generated code wraps the functions that take a ProtobufCMessage in typed ones; see docs/crpc.md. */
#ifndef CRPC_CLIENT_H
#define CRPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "crpc/compression.h"
#include "crpc/method.h"

struct crpc_call_credentials;
struct crpc_cancel;
struct crpc_channel;
struct crpc_channel_credentials;
struct crpc_retry;
struct crpc_retry_throttle;
struct crpc_stream;

/* ---- metadata ---- */

struct crpc_metadata {
    const char *key;   /* lower case; one that ends in "-bin" may have any bytes as its value. gRPC's own and HTTP's
                          (grpc-..., content-type, host, user-agent, connection ...) are refused */
    struct span value; /* else printable ASCII */
};

/* What a server sent, in its order; a key may come several times. */
struct crpc_metadata_list {
    const struct crpc_metadata *entries;
    size_t n;
};

/* First entry of that key; NULL: none. Borrowed from the list. */
const struct crpc_metadata *crpc_metadata_find(const struct crpc_metadata_list *list, const char *key);

/* ---- channels ---- */

/* All borrowed while the channel is made, except what says otherwise. */
struct crpc_channel_options {
    size_t max_message_bytes;             /* received; 0: 4 MiB */
    size_t max_send_bytes;                /* sent; 0: no limit here. Beyond it a call ends with RESOURCE_EXHAUSTED */
    int keepalive_ms;                     /* 0: 60000; -1: never. A ping after that much silence */
    int keepalive_timeout_ms;             /* the connection is lost when a ping stays unanswered so long; 0: 20000 */
    bool keepalive_without_calls;         /* also while no call is open; servers may take it ill */
    int max_reconnect_ms;                 /* longest pause between connection attempts; 0: 5000 */
    const struct crpc_metadata *metadata; /* sent with every call */
    size_t n_metadata;
    const char *user_agent; /* put before gRPC's own; printable ASCII; NULL: nothing */
    const char *authority;  /* in place of the target's host; NULL: that */
    /* Of what its calls send; 0: none. Only for servers known to understand it: others answer UNIMPLEMENTED. */
    enum crpc_compression compression;
    /* TLS (crpc/credentials.h). NULL: plaintext. */
    const struct crpc_channel_credentials *credentials;
    /* Metadata made anew for each call (crpc/call_credentials.h); its user is kept. NULL: none. */
    const struct crpc_call_credentials *call_credentials;
    /* Which calls are tried again (crpc/retry.h). None: no call that a server has seen. */
    const struct crpc_retry *retries;
    size_t n_retries;
    const struct crpc_retry_throttle *retry_throttle; /* NULL: none */
    /* A service config in JSON as gRPC defines it, in place of the three above. A server's own, if DNS has one, is not
     * asked for. Its timeouts are counted by a clock of core's that can be a second off: timeout_ms is exact. */
    const char *service_config;
};

/* "HOST:PORT", "unix:PATH", "dns:///HOST:PORT". Connects on the first call. options NULL: defaults. NULL and *ret_err
 * on failure (a malformed target or option; a server that is away is an error of the call). */
struct crpc_channel *crpc_channel_new(const char *target, const struct crpc_channel_options *options,
                                      struct err *ret_err);
/* After all its calls, streams and loops' calls and watches have ended. Takes NULL. */
void crpc_channel_free(struct crpc_channel *channel);

enum crpc_channel_state {
    CRPC_CHANNEL_IDLE,       /* not connected, and nobody asked for it */
    CRPC_CHANNEL_CONNECTING, /* under way */
    CRPC_CHANNEL_READY,
    CRPC_CHANNEL_FAILED /* the last attempt failed; the next comes by itself after a pause */
};

/* The state now. Any thread. */
enum crpc_channel_state crpc_channel_state(struct crpc_channel *channel);
/* Connects an idle channel, without waiting. Any thread. */
void crpc_channel_connect(struct crpc_channel *channel);
/* Blocks until the state is another than last, at most timeout_ms (-1: for ever). True when it is. Does not connect by
 * itself. Any thread. */
bool crpc_channel_wait_state(struct crpc_channel *channel, enum crpc_channel_state last, int64_t timeout_ms);
/* Connects and blocks until the channel is ready. 0, or -ERR_DEADLINE_EXCEEDED after timeout_ms (-1: none), or
 * -ERR_RESOURCE_EXHAUSTED. A failed attempt is followed by others. Any thread. */
int crpc_channel_wait_ready(struct crpc_channel *channel, int64_t timeout_ms, struct err *ret_err);

/* ---- what a call may be given ---- */

/* Where a call puts the metadata of its server. Start with {0}; may be used again, by one call at a time. */
struct crpc_response {
    struct crpc_metadata_list initial;  /* sent before the message */
    struct crpc_metadata_list trailing; /* sent with the status */
    bool compressed;                    /* the message came so */
    void *memory;                       /* private */
};
/* Frees the lists; *response is {0} then. */
void crpc_response_done(struct crpc_response *response);

/* options of a call; borrowed while it starts, except what says otherwise. */
struct crpc_call_options {
    int64_t timeout_ms;  /* 0: none; below 0: over already */
    bool wait_for_ready; /* while the server is away wait (until the time-out) instead of failing with UNAVAILABLE */
    const struct crpc_metadata *metadata;
    size_t n_metadata;
    const char *authority; /* in place of the channel's; NULL: that. With TLS the certificate must bear it */
    const struct crpc_call_credentials *credentials; /* in place of the channel's; NULL: that */
    struct crpc_cancel *cancel;                      /* kept until the call has ended; NULL: none */
    enum crpc_compression compression;               /* in place of the channel's; 0: that */
    /* Unary calls, blocking or not: filled when the call ends, well or not; kept until then. Streams have functions. */
    struct crpc_response *response;
};

/* Ends calls from outside: any number of calls that were given it in their options, of any form. */
struct crpc_cancel *crpc_cancel_new(void); /* NULL: out of memory */
/* Ends its calls with CANCELLED, those under way and those that are started later. Any thread, any time before
 * crpc_cancel_free; harmless when they have ended. */
void crpc_cancel_fire(struct crpc_cancel *cancel);
bool crpc_cancel_fired(struct crpc_cancel *cancel);
/* After its calls have ended: a blocking one has returned, a stream is freed, on_done or on_end has been called. Takes
 * NULL. */
void crpc_cancel_free(struct crpc_cancel *cancel);

/* ---- unary calls ---- */

/* One call, start to end. Returns 0 and gives *ret_response (crpc_message_free), or returns -code and fills *ret_err
 * (code, message, and what the google.rpc.Status details said: reason, field, retry_after_ms). options may be NULL. */
int crpc_unary(struct crpc_channel *channel, const struct crpc_method *method, const struct crpc_call_options *options,
               const ProtobufCMessage *request, ProtobufCMessage **ret_response, struct err *ret_err);

/* Takes NULL. */
void crpc_message_free(ProtobufCMessage *msg);

/* ---- streams ---- */

/* Opens a stream of any of the three streaming kinds. For a server stream write the request, then close_write (the
 * generated _open function does both). NULL and *ret_err on failure. */
struct crpc_stream *crpc_stream_open(struct crpc_channel *channel, const struct crpc_method *method,
                                     const struct crpc_call_options *options, struct err *ret_err);
/* Blocks until the message is handed to the transport. 0, or -code when the call has ended (the status is what
 * crpc_stream_read gives); -ERR_FAILED_PRECONDITION, reason WRITE_CLOSED, after crpc_stream_close_write. */
int crpc_stream_write(struct crpc_stream *stream, const ProtobufCMessage *msg, struct err *ret_err);
/* No more writes. Fails as crpc_stream_write, and the second time with WRITE_CLOSED. */
int crpc_stream_close_write(struct crpc_stream *stream, struct err *ret_err);
/* Blocks for the next message. 1 and gives *ret_msg (crpc_message_free); 0 when the stream has ended with OK; -code and
 * *ret_err when it ended otherwise. A malformed message cancels the call: -ERR_INTERNAL. */
int crpc_stream_read(struct crpc_stream *stream, ProtobufCMessage **ret_msg, struct err *ret_err);
/* Whether the messages written from here on are compressed, in a call whose messages are (on, to begin with). For those
 * that are compressed already, or mix secrets with what a stranger chose. The writing thread. */
void crpc_stream_compress(struct crpc_stream *stream, bool on);
/* Whether the message of the last crpc_stream_read came compressed. The reading thread. */
bool crpc_stream_received_compressed(const struct crpc_stream *stream);
/* Blocks until the server's first metadata has come, or the call has ended without any (an empty list). 0 and *ret,
 * borrowed from the stream, or -ERR_RESOURCE_EXHAUSTED. Any thread. */
int crpc_stream_initial(struct crpc_stream *stream, struct crpc_metadata_list *ret, struct err *ret_err);
/* What came with the status. 0 and *ret, borrowed from the stream; -ERR_FAILED_PRECONDITION before crpc_stream_read has
 * said that the stream has ended; -ERR_RESOURCE_EXHAUSTED. Any thread. */
int crpc_stream_trailing(struct crpc_stream *stream, struct crpc_metadata_list *ret, struct err *ret_err);
/* Ends the call with CANCELLED; reads and writes under way return. Any thread; harmless after the end. */
void crpc_stream_cancel(struct crpc_stream *stream);
/* Cancels if still open, waits for the end. No thread may be in a function of this stream. Takes NULL. */
void crpc_stream_free(struct crpc_stream *stream);

#endif
