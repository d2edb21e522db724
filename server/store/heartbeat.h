/* Inside server/store: attempts about which their workers say nothing. Those of this process's sessions are judged by
 * memory, as nobody else hears what their workers say; a lease without a session has an expiry of its own instead,
 * which is its heartbeat time-out. Writer thread. */
#ifndef STORE_HEARTBEAT_H
#define STORE_HEARTBEAT_H

#include "store/engine.h"

/* How long a lease without a session lives without a word. */
static inline int64_t lease_life_us(const struct writer *w, const struct job *job)
{
    return job->heartbeat_timeout_us ? job->heartbeat_timeout_us : lease_timeout_us(w);
}

void heart_add(struct writer *w, struct lease *lease);    /* into the map */
void heart_remove(struct writer *w, struct lease *lease); /* out of it */
/* Its worker said something about it. */
void heart_beat(struct lease *lease);
/* When to look next, by the wall clock. */
int64_t heart_next_us(const struct writer *w);
bool heart_due(const struct writer *w);
/* Within a batch: asks for what is silent; ends it. */
void heart_prepare(struct writer *w);
void heart_plan(struct writer *w);

#endif
