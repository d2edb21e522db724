/* What the watch of a job and that of an export have in common: their place at the hub, and what ends them. A member of
 * the call's state; on its worker. */
#ifndef RPC_WATCH_ONE_H
#define RPC_WATCH_ONE_H

#include "rpc/service.h"

struct watch_one {
    struct crpc_signal wake;
    struct drain_link drain;
    struct hub_watch *watch;
    int64_t revision; /* last one that the caller has seen */
};

/* Joins the hub; before the job is read from the store, so that no change falls between. 0; or not, as when
 * after_revision is negative. */
int watch_one_begin(struct crpc_call *call, struct watch_one *one, int64_t id, int64_t after_revision,
                    struct err *ret_err);
/* In the step `next`: gives *ret, what the hub has that the caller has not seen (job_snapshot_unref); or NULL, and then
 * the step returns what this returned: it waits, and comes again, or ends the call, which was cancelled, has fallen
 * behind, or has no credentials any more, or whose server goes down. */
enum crpc_next watch_one_next(struct crpc_call *call, struct watch_one *one, const struct crpc_step *next,
                              struct job_snapshot **ret);
/* In done(), also without a begin. */
void watch_one_done(struct crpc_call *call, struct watch_one *one);

#endif
