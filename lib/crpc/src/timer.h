/* A pairing heap of timers (Fredman, Sedgewick, Sleator, Tarjan 1986): the root is the next to fire. One thread. */
#ifndef CRPC_SRC_TIMER_H
#define CRPC_SRC_TIMER_H

#include "worker.h"

/* timer->at_ms is set; it is not in a heap. */
void timer_insert(struct timer **root, struct timer *timer);
/* timer is in this heap. */
void timer_remove(struct timer **root, struct timer *timer);

#endif
