/* The inside of struct crpc_server, for server.c, accept.c, listen.c and call.c. */
#ifndef CRPC_SRC_SERVER_PRIV_H
#define CRPC_SRC_SERVER_PRIV_H

#include <stdatomic.h>

#include "call.h"
#include "connections.h"
#include "resets.h"
#include "watchdog.h"

struct method {
    const struct crpc_method *desc;
    const struct crpc_handler *handler;
    void *user;
    void *registered; /* gRPC core's */
    struct method *next;
};

/* A request for one call, outstanding in core. Armed again before the call that came with it is run. */
struct slot {
    struct op op;
    struct station *station;
    const struct method *method; /* NULL: any call of an unknown method */
    grpc_call *core;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    grpc_call_details details;
    /* While it refuses a call for want of memory. */
    struct op op_refusal, op_close;
    unsigned refusing; /* of these two, still out */
    int cancelled;
};

/* What a server has for each worker. */
struct station {
    struct worker worker; /* worker.owner is the station */
    struct crpc_server *server;
    struct slot *slots;
    size_t n_slots;
    struct crpc_mail arm;
    struct crpc_call *idle[CALL_CLASSES]; /* call objects at rest */
    unsigned n_idle[CALL_CLASSES];
    atomic_uint calls;         /* under way; only this worker writes */
    atomic_ullong shed;        /* refused because of max_calls; only this worker writes */
    atomic_size_t n_requested; /* slots outstanding in core, or on their way back; only this worker writes */
    struct resets resets;
};

struct crpc_server {
    struct crpc_server_options options; /* no zeros left */
    grpc_server *core;
    grpc_resource_quota *quota;
    struct connections *connections;
    struct watchdog *watchdog;
    struct quota decoded;
    struct method *methods, **last_method;
    size_t n_methods;
    struct station *stations;
    bool close_with_status; /* core takes RECV_CLOSE_ON_SERVER and the status in one batch */
    bool started;
    bool failed; /* to start: it can only be freed */
    bool drained;
    bool stopped;     /* op_stopped has come */
    unsigned n_armed; /* workers that have requested their calls */
    struct op op_stopped;
    atomic_bool draining;
    pthread_mutex_t mu; /* stopped, n_armed and the condition; taken only at start and while draining */
    pthread_cond_t cond;
};

/* accept.c: requests calls from core on every worker. */
int accept_init(struct crpc_server *server, struct err *ret_err);
/* Has every worker request its calls; waits until all have. */
void accept_start(struct crpc_server *server);
/* While draining: no worker will begin another call. */
bool accept_over(const struct crpc_server *server);
void accept_done(struct crpc_server *server);
/* listen.c: 0 when address may be given to core as *ret_core_address (a copy within room). */
int listen_check(const char *address, char *ret_core_address, size_t room, struct err *ret_err);
/* Why core could not listen there. */
int listen_failed(const char *address, struct err *ret_err);
/* A call has ended while draining, or a worker's last request for one. */
void server_call_ended(struct crpc_server *server);

static inline struct station *station_of(const struct worker *w)
{
    return w->owner;
}

#endif
