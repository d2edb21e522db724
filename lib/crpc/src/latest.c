/* See crpc/latest.h: one pointer that is exchanged, and a signal. */
#include "crpc/latest.h"

void crpc_latest_init(struct crpc_call *call, struct crpc_latest *latest)
{
    atomic_init(&latest->frame, NULL);
    crpc_signal_init(call, &latest->news);
}

bool crpc_latest_put(struct crpc_latest *latest, struct crpc_frame *frame)
{
    struct crpc_frame *old = atomic_exchange_explicit(&latest->frame, crpc_frame_ref(frame), memory_order_acq_rel);
    crpc_frame_unref(old);
    if (!old)
        tag_post(&latest->news.tag, true); /* who takes looks again before it waits */
    return old != NULL;
}

struct crpc_frame *crpc_latest_take(struct crpc_latest *latest)
{
    return atomic_exchange_explicit(&latest->frame, NULL, memory_order_acq_rel);
}

enum crpc_next crpc_latest_await(struct crpc_call *call, struct crpc_latest *latest, const struct crpc_step *step)
{
    return crpc_await_signal(call, &latest->news, step);
}

void crpc_latest_done(struct crpc_latest *latest)
{
    crpc_frame_unref(crpc_latest_take(latest));
}
