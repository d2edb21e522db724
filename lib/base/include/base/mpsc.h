/* Many producers, one consumer: an intrusive lock-free stack that the consumer takes whole, in order of arrival. */
#ifndef BASE_MPSC_H
#define BASE_MPSC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct mpsc_node {
    struct mpsc_node *next;
};

struct mpsc {
    _Atomic(struct mpsc_node *) head;
};

/* Any thread. True when the queue was empty: the producer that gets true wakes the consumer. */
static inline bool mpsc_push(struct mpsc *q, struct mpsc_node *n)
{
    struct mpsc_node *old = atomic_load_explicit(&q->head, memory_order_relaxed);
    do {
        n->next = old;
    } while (!atomic_compare_exchange_weak_explicit(&q->head, &old, n, memory_order_acq_rel, memory_order_relaxed));
    return old == NULL;
}

/* Consumer only. All that was pushed, oldest first, linked by next; NULL when empty. */
static inline struct mpsc_node *mpsc_take_all(struct mpsc *q)
{
    struct mpsc_node *n = atomic_exchange_explicit(&q->head, NULL, memory_order_acq_rel);
    struct mpsc_node *oldest = NULL;
    while (n) {
        struct mpsc_node *next = n->next;
        n->next = oldest;
        oldest = n;
        n = next;
    }
    return oldest;
}

static inline bool mpsc_is_empty(struct mpsc *q)
{
    return atomic_load_explicit(&q->head, memory_order_acquire) == NULL;
}

#endif
