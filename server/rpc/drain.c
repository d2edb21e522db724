/* See drain.h. Workers join and leave, the main thread begins the drain. Posts under the lock, so that leaving ends
 * all posts; a post takes no lock of ours. */
#include "rpc/drain.h"

#include <assert.h>
#include <stddef.h>

void drain_init(struct drain *drain)
{
    *drain = (struct drain){.first = NULL};
    pthread_mutex_init(&drain->lock, NULL);
}

void drain_done(struct drain *drain)
{
    assert(!drain->first);
    pthread_mutex_destroy(&drain->lock);
}

void drain_join(struct drain *drain, struct drain_link *link, struct tag *wake)
{
    assert(!link->wake);
    pthread_mutex_lock(&drain->lock);
    *link = (struct drain_link){.wake = wake, .next = drain->first};
    if (drain->first)
        drain->first->prev = link;
    drain->first = link;
    pthread_mutex_unlock(&drain->lock);
}

void drain_leave(struct drain *drain, struct drain_link *link)
{
    if (!link->wake)
        return;
    pthread_mutex_lock(&drain->lock);
    if (link->prev)
        link->prev->next = link->next;
    else
        drain->first = link->next;
    if (link->next)
        link->next->prev = link->prev;
    link->wake = NULL;
    pthread_mutex_unlock(&drain->lock);
}

void drain_begin(struct drain *drain)
{
    pthread_mutex_lock(&drain->lock);
    atomic_store(&drain->begun, true);
    for (struct drain_link *l = drain->first; l; l = l->next)
        tag_post(l->wake, true);
    pthread_mutex_unlock(&drain->lock);
}

bool drain_begun(const struct drain *drain)
{
    return atomic_load(&drain->begun);
}

int drain_error(struct err *ret_err)
{
    return err_set(ret_err, ERR_UNAVAILABLE, "SERVER_DRAINING", "the server is shutting down: call again");
}
