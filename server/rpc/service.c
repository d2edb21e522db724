/* What handlers share: asking the store, the observer that feeds the hub, who calls. On the call's worker; the observer
 * on the store's writer thread. */
#include "rpc/service.h"

#include "base/log.h"

enum { ACTOR_MAX = 200 }; /* it stands in every transition */

enum crpc_next service_submit(struct crpc_call *call, struct store_cmd *cmd, struct crpc_event *event,
                              const struct crpc_step *next)
{
    struct err err = ERR_NONE;
    cmd->done = &event->tag;
    crpc_event_arm(call, event);
    if (store_submit(service_of(call)->store, cmd, &err) != 0) {
        crpc_event_disarm(event);
        return crpc_finish(call, &err);
    }
    return crpc_await(call, event, next);
}

enum crpc_next service_no_memory(struct crpc_call *call)
{
    struct err err;
    err_set(&err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
    return crpc_finish(call, &err);
}

int caller_actor(const struct crpc_call *call, struct span *ret_actor, struct err *ret_err)
{
    struct span actor = crpc_call_metadata(call, "joblog-actor");
    if (actor.len > ACTOR_MAX)
        return err_field(ret_err, "joblog-actor", "metadata joblog-actor must be at most %d bytes, is %zu", ACTOR_MAX,
                         actor.len);
    /* gRPC lets only printable ASCII through; what remains is a name of blanks. */
    size_t i = 0;
    while (i < actor.len && actor.data[i] == ' ')
        i++;
    if (actor.len > 0 && i == actor.len)
        return err_field(ret_err, "joblog-actor", "metadata joblog-actor must not be blank");
    for (; i < actor.len; i++)
        if ((unsigned char)actor.data[i] < 0x20 || (unsigned char)actor.data[i] > 0x7e)
            return err_field(ret_err, "joblog-actor", "metadata joblog-actor must be printable ASCII");
    *ret_actor = actor.len > 0 ? actor : SPAN_LIT("anonymous");
    return 0;
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
