/* How a part below says "done" to a part above without knowing it: the store and the hub see only this. */
#ifndef BASE_TAG_H
#define BASE_TAG_H

#include <stdbool.h>

struct tag {
    /* Any thread; does not block; takes no lock that a caller of the poster could hold. ok: see the giver's contract.
     */
    void (*post)(struct tag *tag, bool ok);
};

static inline void tag_post(struct tag *tag, bool ok)
{
    tag->post(tag, ok);
}

#endif
