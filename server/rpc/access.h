/* The one place where calls are let in: who is it, and may it call this method? What it may see and touch is then in
 * its caller (rpc/caller.h), which every handler looks at. */
#ifndef RPC_ACCESS_H
#define RPC_ACCESS_H

#include "auth/auth.h"
#include "crpc/server.h"

/* Kept by the interceptor. */
struct access {
    struct auth *auth;
    bool is_anonymous; /* authentication is off: metadata joblog-actor is the caller's name */
};

/* For crpc_server_options.interceptors; behind the access log, so that what is refused is logged. */
struct crpc_interceptor access_interceptor(struct access *access);

#endif
