/* See watch_one.h. */
#include "rpc/watch_one.h"

int watch_one_begin(struct crpc_call *call, struct watch_one *one, int64_t id, int64_t after_revision,
                    struct err *ret_err)
{
    struct service *service = service_of(call);
    if (after_revision < 0)
        return err_field(ret_err, "after_revision", "after_revision must not be negative, is %lld",
                         (long long)after_revision);
    one->revision = after_revision;
    crpc_signal_init(call, &one->wake);
    drain_join(&service->drain, &one->drain, &one->wake.tag);
    struct job_filter filter = {.ids = &id, .n_ids = 1};
    return hub_watch(service->hub, &filter, &one->wake.tag, &one->watch, ret_err);
}

enum crpc_next watch_one_next(struct crpc_call *call, struct watch_one *one, const struct crpc_step *next,
                              struct job_snapshot **ret)
{
    struct service *service = service_of(call);
    struct err err = ERR_NONE;
    enum crpc_next end;
    bool cut = false;
    *ret = NULL;
    if (service_stops(call, &end))
        return end;
    struct job_snapshot *snapshot = hub_next(service->hub, one->watch, &cut);
    if (cut) {
        err_set(&err, ERR_ABORTED, "WATCH_TOO_SLOW", "too many changes wait for this watcher: call again");
        return crpc_finish(call, &err);
    }
    if (!snapshot)
        return caller_await(call, &one->wake, next);
    if (snapshot->job.revision <= one->revision) {
        job_snapshot_unref(snapshot);
        return crpc_goto(call, next);
    }
    *ret = snapshot;
    return CRPC_MORE; /* of no meaning */
}

void watch_one_done(struct crpc_call *call, struct watch_one *one)
{
    struct service *service = service_of(call);
    hub_unwatch(service->hub, one->watch);
    drain_leave(&service->drain, &one->drain);
}
