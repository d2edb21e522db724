/* Cancels: a list of the calls that one may end, each there from its start to its end. Any thread. Core is entered with
 * the mutex held; it never calls back into crpc from there. */
#include "base/alloc.h"
#include "channel.h"

struct crpc_cancel {
    pthread_mutex_t mu;
    bool fired;
    struct cancel_link *links;
};

struct crpc_cancel *crpc_cancel_new(void)
{
    struct crpc_cancel *cancel = mem_zalloc(sizeof *cancel);
    if (cancel)
        pthread_mutex_init(&cancel->mu, NULL);
    return cancel;
}

void crpc_cancel_free(struct crpc_cancel *cancel)
{
    if (!cancel)
        return;
    pthread_mutex_destroy(&cancel->mu);
    mem_free(cancel);
}

void crpc_cancel_fire(struct crpc_cancel *cancel)
{
    pthread_mutex_lock(&cancel->mu);
    cancel->fired = true;
    for (struct cancel_link *l = cancel->links; l; l = l->next)
        grpc_call_cancel(l->core, NULL);
    pthread_mutex_unlock(&cancel->mu);
}

bool crpc_cancel_fired(struct crpc_cancel *cancel)
{
    pthread_mutex_lock(&cancel->mu);
    bool fired = cancel->fired;
    pthread_mutex_unlock(&cancel->mu);
    return fired;
}

void cancel_join(struct cancel_link *link, struct crpc_cancel *owner, grpc_call *core)
{
    *link = (struct cancel_link){.owner = owner, .core = core};
    if (!owner)
        return;
    pthread_mutex_lock(&owner->mu);
    link->next = owner->links;
    if (link->next)
        link->next->prev = link;
    owner->links = link;
    if (owner->fired)
        grpc_call_cancel(core, NULL);
    pthread_mutex_unlock(&owner->mu);
}

void cancel_leave(struct cancel_link *link)
{
    struct crpc_cancel *owner = link->owner;
    if (!owner)
        return;
    pthread_mutex_lock(&owner->mu);
    if (link->prev)
        link->prev->next = link->next;
    else
        owner->links = link->next;
    if (link->next)
        link->next->prev = link->prev;
    pthread_mutex_unlock(&owner->mu);
}
