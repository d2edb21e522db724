/* See limit_calls.h. On the call's worker. */
#include "rpc/limit_calls.h"

#include <string.h>

#include "base/clock.h"
#include "rpc/caller.h"
#include "store/store.h"

static bool begins_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* False: this call is not limited. */
static bool key_of(const struct crpc_call *call, struct span *ret)
{
    const struct caller *caller = crpc_call_context(call);
    if (!caller)
        return false;
    struct span actor = caller->identity->actor;
    if (!span_eq(actor, SPAN_LIT("anonymous"))) {
        *ret = actor;
        return !(caller->identity->roles & ROLE_ADMIN);
    }
    /* "ipv4:10.0.0.1:4711": without the port, which is the connection's. */
    const char *peer = crpc_call_peer(call), *colon = strrchr(peer, ':');
    bool is_ip = begins_with(peer, "ipv4:") || begins_with(peer, "ipv6:");
    *ret = is_ip && colon ? span_of(peer, (size_t)(colon - peer)) : span_str(peer);
    return true;
}

/* WaitJob is unary and lasts up to an hour: counted among the short ones, it would make callers that wait look like
 * callers that flood. */
static enum limits_kind kind_of(const struct crpc_method *method)
{
    if (method->kind == CRPC_UNARY)
        return strcmp(method->name, "WaitJob") == 0 ? LIMITS_STREAM : LIMITS_CALL;
    return strcmp(method->path, "/joblog.v1.WorkerService/Work") == 0 ? LIMITS_SESSION : LIMITS_STREAM;
}

/* Served by the store's readers, which have a queue of their own. */
static bool reads(const struct crpc_method *method)
{
    return begins_with(method->name, "Get") || begins_with(method->name, "List") ||
           begins_with(method->name, "Watch") || begins_with(method->name, "Wait") ||
           begins_with(method->name, "Download");
}

static int limit_before(struct crpc_call *call, void *user, struct err *ret_err)
{
    const struct limit_calls *l = user;
    const struct crpc_method *method = crpc_call_method(call);
    struct caller *caller = crpc_call_context(call);
    struct span key;
    if (!caller)
        return 0;
    caller->light = true;
    int64_t now_us = clock_mono_us();
    if (!key_of(call, &key)) {
        limits_make_way(l->limits, now_us);
        return 0;
    }
    bool eases = begins_with(method->path, "/joblog.v1.WorkerService/");
    caller->turn.tag = !eases && limits_are_shared(l->limits, now_us) ? crpc_call_hold(call) : NULL;
    int rc = limits_enter(l->limits, key, kind_of(method), eases, store_wait_ms(l->store, reads(method)), now_us,
                          caller->turn.tag ? &caller->turn : NULL, &caller->light, ret_err);
    return rc == LIMITS_WAIT ? CRPC_HELD : rc;
}

/* Behind it: credentials that ended while the call waited for its turn. */
static int recheck_before(struct crpc_call *call, void *user, struct err *ret_err)
{
    const struct caller *caller = crpc_call_context(call);
    (void)user;
    return caller && caller->turn.tag ? caller_check(call, ret_err) : 0;
}

static void limit_after(struct crpc_call *call, void *user, const struct err *status, int64_t duration_us)
{
    const struct limit_calls *l = user;
    struct span key;
    (void)status;
    (void)duration_us;
    if (key_of(call, &key))
        limits_leave(l->limits, key, kind_of(crpc_call_method(call)), clock_mono_us());
}

void limit_calls_interceptors(struct limit_calls *limit_calls, struct crpc_interceptor ret[LIMIT_INTERCEPTORS])
{
    ret[0] = (struct crpc_interceptor){.before = limit_before, .after = limit_after, .user = limit_calls};
    ret[1] = (struct crpc_interceptor){.before = recheck_before};
}
