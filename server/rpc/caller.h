/* Who calls, as handlers see it: made by the interceptor (rpc/access.h) before the first step, lives as long as the
 * call. On the call's worker. */
#ifndef RPC_CALLER_H
#define RPC_CALLER_H

#include <stdbool.h>

#include "base/err.h"
#include "base/span.h"
#include "core/limits.h"
#include "core/rights.h"
#include "crpc/call.h"
#include "store/store.h"

struct caller {
    struct identity *identity; /* a reference, the interceptor's */
    struct span actor;         /* for the audit trail: "token:gateway", or "token:gateway for alice" */
    struct span owner;         /* whose jobs and exports are its own, and to whom belongs what it makes */
    struct job_scope scope;    /* what it may see and touch; keeps pointers into identity */
    struct limits_turn turn;   /* while the call waits for it */
    bool light;                /* has less under way than others: its writes need not wait behind theirs */
};

/* Never NULL within a handler: no call begins without one. */
const struct caller *caller_of(const struct crpc_call *call);

/* For the interceptor: keeps identity, whose reference stays the interceptor's. Metadata "joblog-actor" names the user
 * on whose behalf an identity calls that may_delegate: then owner and actor are that one's (alone, without the
 * identity's own name in front, when is_anonymous). 0; -INVALID_ARGUMENT; -PERMISSION_DENIED (reason
 * DELEGATION_REFUSED); -RESOURCE_EXHAUSTED. */
int caller_begin(struct crpc_call *call, struct identity *identity, bool is_anonymous, struct err *ret_err);

/* While a stream lives: 0, or -UNAUTHENTICATED: its credentials have been revoked or have expired. */
int caller_check(const struct crpc_call *call, struct err *ret_err);
/* As crpc_await_signal, but goes on with step after CALLER_LOOK_MS at the latest, so that step can caller_check. */
enum { CALLER_LOOK_MS = 5000 };
enum crpc_next caller_await(struct crpc_call *call, struct crpc_signal *sig, const struct crpc_step *step);

/* After STORE_GET: 0; what the store said; or for a job outside of the caller's scope what the store says of one that
 * does not exist. */
int caller_check_got(const struct crpc_call *call, const struct store_get *get, struct err *ret_err);

#endif
