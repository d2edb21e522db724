/* The interceptors that hold callers to their limits (core/limits.h). Behind the one that says who calls
 * (rpc/access.h): a caller is its identity; one without a name of its own, its address. */
#ifndef RPC_LIMIT_CALLS_H
#define RPC_LIMIT_CALLS_H

#include "core/limits.h"
#include "crpc/server.h"

struct store;

/* Kept by the interceptor. */
struct limit_calls {
    struct limits *limits;
    struct store *store; /* whose waiting time is the load */
};

/* Not limited: an administrator (who must get in when others have filled the house), and the methods that are open to
 * everybody, such as health. */
enum { LIMIT_INTERCEPTORS = 2 };
void limit_calls_interceptors(struct limit_calls *limit_calls, struct crpc_interceptor ret[LIMIT_INTERCEPTORS]);

#endif
