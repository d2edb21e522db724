/* Intrusive pairing heap; see timer.h. prev is the left sibling, or the parent for a first child. */
#include "timer.h"

#include <assert.h>

static struct timer *meld(struct timer *a, struct timer *b)
{
    if (!a)
        return b;
    if (!b)
        return a;
    if (b->at_ms < a->at_ms) {
        struct timer *t = a;
        a = b;
        b = t;
    }
    b->sibling = a->child;
    if (b->sibling)
        b->sibling->prev = b;
    b->prev = a;
    a->child = b;
    return a;
}

/* Two passes, without recursion: pairs from the left, then melded from the right. */
static struct timer *meld_list(struct timer *first)
{
    struct timer *pairs = NULL;
    while (first) {
        struct timer *a = first;
        struct timer *b = a->sibling;
        first = b ? b->sibling : NULL;
        a->sibling = a->prev = NULL;
        if (b)
            b->sibling = b->prev = NULL;
        struct timer *m = meld(a, b);
        m->sibling = pairs;
        pairs = m;
    }
    struct timer *root = NULL;
    while (pairs) {
        struct timer *next = pairs->sibling;
        pairs->sibling = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

void timer_insert(struct timer **root, struct timer *timer)
{
    assert(!timer->armed);
    timer->armed = true;
    timer->child = timer->sibling = timer->prev = NULL;
    *root = meld(*root, timer);
}

void timer_remove(struct timer **root, struct timer *timer)
{
    assert(timer->armed);
    timer->armed = false;
    if (timer == *root) {
        *root = meld_list(timer->child);
        return;
    }
    if (timer->prev->child == timer)
        timer->prev->child = timer->sibling;
    else
        timer->prev->sibling = timer->sibling;
    if (timer->sibling)
        timer->sibling->prev = timer->prev;
    *root = meld(*root, meld_list(timer->child));
}
