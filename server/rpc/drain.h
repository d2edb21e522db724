/* Who wants to know that the server is going down: calls that never end by themselves (watches, workers' streams). A
 * call joins with the tag of its signal, looks at drain_begun whenever it wakes, and leaves in its done(). Any thread.
 */
#ifndef RPC_DRAIN_H
#define RPC_DRAIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/tag.h"

struct drain_link {
    struct tag *wake; /* NULL: not joined */
    struct drain_link *prev, *next;
};

struct drain {
    pthread_mutex_t lock;
    struct drain_link *first;
    atomic_bool begun;
};

void drain_init(struct drain *drain);
/* Everybody has left. */
void drain_done(struct drain *drain);
/* Keeps link and wake until drain_leave. wake is posted at the beginning of the drain; look at drain_begun after
 * joining. */
void drain_join(struct drain *drain, struct drain_link *link, struct tag *wake);
/* After it returns wake is not posted any more. Does nothing for a zeroed link. */
void drain_leave(struct drain *drain, struct drain_link *link);
/* Wakes everybody. Once. */
void drain_begin(struct drain *drain);
bool drain_begun(const struct drain *drain);
/* What a watch ends with then: UNAVAILABLE (reason SERVER_DRAINING). Returns -code. */
int drain_error(struct err *ret_err);

#endif
