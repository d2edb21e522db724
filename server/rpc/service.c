/* What handlers share: asking the store, the observer that feeds the hub. On the call's worker; the observer
 * on the store's writer thread. */
#include "rpc/service.h"

#include "base/log.h"

enum crpc_next service_submit(struct crpc_call *call, struct store_cmd *cmd, struct crpc_event *event,
                              const struct crpc_step *next)
{
    struct err err = ERR_NONE;
    cmd->done = &event->tag;
    /* What a stream writes stays in its order. */
    cmd->light = crpc_call_method(call)->kind == CRPC_UNARY && caller_of(call)->light;
    crpc_event_arm(call, event);
    if (store_submit(service_of(call)->store, cmd, &err) != 0) {
        crpc_event_disarm(event);
        return crpc_finish(call, &err);
    }
    return crpc_await(call, event, next);
}

bool service_stops(struct crpc_call *call, enum crpc_next *ret_next)
{
    struct err err = ERR_NONE;
    bool gone = crpc_call_cancelled(call);
    if (!gone && drain_begun(&service_of(call)->drain))
        drain_error(&err);
    else if (!gone)
        caller_check(call, &err);
    if (!gone && err.code == ERR_OK)
        return false;
    *ret_next = crpc_finish(call, gone ? NULL : &err);
    return true;
}

enum crpc_next service_no_memory(struct crpc_call *call)
{
    struct err err;
    err_set(&err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    return crpc_finish(call, &err);
}

static void frame_free(void *frame)
{
    crpc_frame_unref(frame);
}

/* Before anybody else sees the snapshot: whoever watches may hang an encoded message on it. */
static void observer_changed(void *user, struct job_snapshot *snapshot, bool is_transition)
{
    snapshot->derived_free = frame_free;
    hub_changed(user, snapshot, is_transition);
}

static void observer_repeated(void *user, struct job_snapshot *snapshot, int64_t since_us)
{
    snapshot->derived_free = frame_free;
    hub_repeat(user, snapshot, since_us);
}

struct store_observer service_observer(struct hub *hub)
{
    return (struct store_observer){.wanted = hub_wanted,
                                   .changed = observer_changed,
                                   .wanted_since = hub_wanted_since,
                                   .repeated = observer_repeated,
                                   .may_want = hub_may_want,
                                   .lost = hub_lost,
                                   .user = hub};
}

static void access_log_after(struct crpc_call *call, void *user, const struct err *status, int64_t duration_us)
{
    (void)user;
    const char *path = crpc_call_method(call)->path;
    switch (status->code) {
    case ERR_INTERNAL:
    case ERR_UNKNOWN:
    case ERR_DATA_LOSS:
        log_error("call failed call=%llu method=%s peer=%s code=%s reason=%s text=\"%s\"",
                  (unsigned long long)crpc_call_id(call), path, crpc_call_peer(call), err_code_name((int)status->code),
                  status->reason, status->msg);
        break;
    default:
        log_debug("call ended call=%llu method=%s peer=%s code=%s us=%lld", (unsigned long long)crpc_call_id(call),
                  path, crpc_call_peer(call), err_code_name((int)status->code), (long long)duration_us);
    }
}

const struct crpc_interceptor access_log = {.after = access_log_after};
