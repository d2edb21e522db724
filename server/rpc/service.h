/* What every handler gets as crpc_call_user: the parts below, and how a handler asks the store. */
#ifndef RPC_SERVICE_H
#define RPC_SERVICE_H

#include <stdint.h>

#include "crpc/server.h"
#include "hub/hub.h"
#include "rpc/caller.h"
#include "rpc/drain.h"
#include "store/store.h"

struct crpc_reflection;
struct auth;
struct exports;

/* Filled by main before the mount; lives as long as the server. */
struct service {
    struct store *store;
    struct auth *auth; /* server/auth/auth.h; NULL in tests that have callers of their own */
    struct hub *hub;
    struct exports *exports; /* server/export/export.h; NULL: no export types declared */
    struct drain drain;
    /* How long a message of a download may stand still while others wait for its memory; 0: 30 s. */
    int64_t download_stall_ms;
    /* Jobs that a snapshot of WatchJobs may have; 0: HUB_SHOWN_MAX, less only in tests. */
    size_t snapshot_max;
};

static inline struct service *service_of(const struct crpc_call *call)
{
    return crpc_call_user(call);
}

/* Mount JobLogService, WorkerService and AccessService. Keep service. */
int job_log_service_mount(struct crpc_server *server, struct service *service, struct err *ret_err);
int worker_service_mount(struct crpc_server *server, struct service *service, struct err *ret_err);
int access_service_mount(struct crpc_server *server, struct service *service, struct err *ret_err);
/* In export_service.c. */
int export_service_mount(struct crpc_server *server, struct service *service, struct err *ret_err);
/* Makes these services known to reflection; before its mount. */
int services_reflect(struct crpc_reflection *reflection, struct err *ret_err);

/* One debug line a call; an error that is our fault is logged as such. For crpc_server_options.interceptors. */
extern const struct crpc_interceptor access_log;

/* What the store is given as its observer: user is the struct hub. */
struct store_observer service_observer(struct hub *hub);

/* Hands cmd to the store and goes on with next when it is done; cmd->err tells how it went. cmd lies in memory that
 * lives as long as the call; its `done` is set here. When the store does not take it the call ends with that error. */
enum crpc_next service_submit(struct crpc_call *call, struct store_cmd *cmd, struct crpc_event *event,
                              const struct crpc_step *next);

/* What a call that lasts looks at before each wait: is the client gone, does the server go down (UNAVAILABLE), have the
 * caller's credentials ended (UNAUTHENTICATED)? Then true: the call is ended, and the step returns *ret_next. */
bool service_stops(struct crpc_call *call, enum crpc_next *ret_next);

/* Ends the call: out of memory. */
enum crpc_next service_no_memory(struct crpc_call *call);

#endif
