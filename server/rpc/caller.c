/* See caller.h. On the call's worker. */
#include "rpc/caller.h"

#include <assert.h>

#include "base/clock.h"

enum { DELEGATE_MAX = 200 }; /* it stands in every transition, and is an owner */

const struct caller *caller_of(const struct crpc_call *call)
{
    const struct caller *caller = crpc_call_context(call);
    assert(caller); /* a handler is served without the interceptor */
    return caller;
}

/* The user on whose behalf it calls; empty: none. */
static int read_delegate(const struct crpc_call *call, struct span *ret, struct err *ret_err)
{
    struct span user = crpc_call_metadata(call, "joblog-actor");
    if (user.len > 0 && crpc_call_metadata_count(call, "joblog-actor") > 1)
        return err_field(ret_err, "joblog-actor", "metadata joblog-actor must be there only once");
    if (user.len > DELEGATE_MAX)
        return err_field(ret_err, "joblog-actor", "metadata joblog-actor must be at most %d bytes, is %zu",
                         DELEGATE_MAX, user.len);
    /* gRPC lets only printable ASCII through; what remains is a name of blanks. */
    size_t i = 0;
    while (i < user.len && user.data[i] == ' ')
        i++;
    if (user.len > 0 && i == user.len)
        return err_field(ret_err, "joblog-actor", "metadata joblog-actor must not be blank");
    for (; i < user.len; i++)
        if ((unsigned char)user.data[i] < 0x20 || (unsigned char)user.data[i] > 0x7e)
            return err_field(ret_err, "joblog-actor", "metadata joblog-actor must be printable ASCII");
    *ret = user;
    return 0;
}

static int no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

int caller_begin(struct crpc_call *call, struct identity *identity, bool is_anonymous, struct err *ret_err)
{
    struct span user = {NULL, 0};
    int rc = read_delegate(call, &user, ret_err);
    if (rc != 0)
        return rc;
    if (user.len > 0 && !identity->may_delegate)
        return err_set(ret_err, ERR_PERMISSION_DENIED, "DELEGATION_REFUSED",
                       "these credentials may not call on behalf of somebody else (metadata joblog-actor)");
    struct caller *caller = arena_alloc(crpc_call_arena(call), sizeof *caller);
    if (!caller)
        return no_memory(ret_err);
    caller->identity = identity;
    caller->light = false;
    caller->turn = (struct limits_turn){.tag = NULL};
    caller->actor = user.len > 0 ? user : identity->actor;
    caller->owner = user.len > 0 ? user : identity->owner;
    if (user.len > 0 && !is_anonymous) {
        caller->actor = span_str(arena_printf(crpc_call_arena(call), "%.*s for %.*s", (int)identity->actor.len,
                                              identity->actor.data, (int)user.len, user.data));
        if (!caller->actor.data)
            return no_memory(ret_err);
    }
    rights_scope(identity, caller->owner, user.len > 0, &caller->scope);
    crpc_call_set_context(call, caller);
    return 0;
}

int caller_check(const struct crpc_call *call, struct err *ret_err)
{
    const struct identity *identity = caller_of(call)->identity;
    /* The clock is read only where it matters. */
    if (identity_is_valid(identity, identity->expire_us ? clock_wall_us() : 0))
        return 0;
    return err_set(ret_err, ERR_UNAUTHENTICATED, "CREDENTIALS_ENDED", "the credentials of this call have ended");
}

enum crpc_next caller_await(struct crpc_call *call, struct crpc_signal *sig, const struct crpc_step *step)
{
    return crpc_await_signal_for(call, sig, CALLER_LOOK_MS, step);
}

int caller_check_got(const struct crpc_call *call, const struct store_get *get, struct err *ret_err)
{
    if (get->cmd.err.code != ERR_OK) {
        *ret_err = get->cmd.err;
        return -(int)ret_err->code;
    }
    return rights_see_job(&caller_of(call)->scope, &get->job) ? 0 : store_no_job(get->id, ret_err);
}
