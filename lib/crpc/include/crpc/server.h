/* gRPC server over gRPC core; what a handler may do is in crpc/call.h. */
#ifndef CRPC_SERVER_H
#define CRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "crpc/call.h"
#include "crpc/method.h"

struct crpc_server;

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

enum { CRPC_HELD = 1 };
/* A turn of a call that its interceptor makes wait. In before(), which then may return CRPC_HELD: the call stands still
 * with its request undecoded until the tag is posted, exactly once, by any thread (at once if it likes), and goes on
 * with the next interceptor; or ends, when the client is gone or the deadline has passed. When before() returns
 * anything else, the tag must not be posted. NULL: out of memory. */
struct tag *crpc_call_hold(struct crpc_call *call);

/* Around every call of a method that is served, on its worker; not around those that max_calls refuses. */
struct crpc_interceptor {
    /* Before the first step, in order. 0: the call goes on; CRPC_HELD: it waits, see crpc_call_hold; negative: it ends
     * with *ret_err, no step runs. May be NULL. */
    int (*before)(struct crpc_call *call, void *user, struct err *ret_err);
    /* After the end, in reverse order, for the interceptors whose before ran. May be NULL. */
    void (*after)(struct crpc_call *call, void *user, const struct err *status, int64_t duration_us);
    void *user;
};

struct crpc_server_options {
    const char *error_domain;          /* ErrorInfo.domain, kept; NULL: "crpc" */
    unsigned n_workers;                /* completion queues, each with a thread; 0: 1 */
    size_t max_message_bytes;          /* received; larger: RESOURCE_EXHAUSTED. 0: 4 MiB */
    unsigned max_calls;                /* at once; more: RESOURCE_EXHAUSTED with RetryInfo. 0: 100000 */
    unsigned max_streams;              /* at once a connection; 0: 4000 */
    size_t memory_bytes;               /* resource quota of gRPC core; 0: 1 GiB */
    size_t process_bytes;              /* resident memory of the whole process; beyond two thirds of it the connections
                                          are cut that send most, as by max_cancels. 0: not looked at */
    enum crpc_compression compression; /* of answers, for clients that understand it; 0: none */
    int keepalive_ms;                  /* ping an idle connection this often; 0: 60000 */
    int keepalive_timeout_ms;          /* who does not answer a ping for so long is gone; 0: 20000 */
    int handshake_timeout_ms;          /* from the accept to the end of TLS' and HTTP/2's greetings; 0: 20000 */
    int max_connection_idle_ms;        /* without a call: GOAWAY; 0: never */
    int max_connection_age_ms;         /* GOAWAY after that (give or take a tenth); 0: never */
    int max_connection_age_grace_ms;   /* then calls under way may go on for so long; 0: for ever */
    unsigned max_connections;  /* at once; further ones are closed as they come. 0: 10000; never more than half of the
                                  process' file descriptors */
    size_t max_metadata_bytes; /* of a call's; larger: RESOURCE_EXHAUSTED. 0: 16 KiB */
    size_t max_decoded_bytes;  /* unpacked requests of all calls together; more: RESOURCE_EXHAUSTED with RetryInfo.
                                  0: 256 MiB */
    unsigned max_cancels; /* calls that an IP address cancels (or lets run out) within a second of their beginning, at
                             once and each ten seconds, as each worker sees it; after that the connection is cut off,
                             and the address gets no new one for ten seconds. 0: 5000 */
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
/* Starts the worker threads. 0, or -ERR_RESOURCE_EXHAUSTED and *ret_err; then crpc_server_free is all that can be done.
 */
int crpc_server_start(struct crpc_server *server, struct err *ret_err);
/* Ends well: no new calls (GOAWAY), waits for those under way up to grace_ms, then cancels the rest and waits for their
 * end; the worker threads run until crpc_server_free. Streams that never end by themselves should have been told
 * before. Not from a worker thread. Everything that posts to calls must still be running. */
void crpc_server_drain(struct crpc_server *server, int64_t grace_ms);
/* Calls under way. Any thread. */
unsigned crpc_server_calls(const struct crpc_server *server);
/* Calls refused so far because of max_calls. Any thread. */
uint64_t crpc_server_shed(const struct crpc_server *server);
/* Connections open now; and refused so far because of max_connections. Any thread. */
unsigned crpc_server_connections(const struct crpc_server *server);
uint64_t crpc_server_connections_refused(const struct crpc_server *server);
/* Connections cut off so far because of max_cancels, process_bytes, or for keeping a worker busy. Any thread. */
uint64_t crpc_server_cut(const struct crpc_server *server);
/* What counts towards max_decoded_bytes now. Any thread. */
size_t crpc_server_decoded_bytes(const struct crpc_server *server);
/* After crpc_server_drain (or before start). Whoever could post has stopped. Takes NULL. */
void crpc_server_free(struct crpc_server *server);

#endif
