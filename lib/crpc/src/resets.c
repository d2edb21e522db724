/* See resets.h: a bucket of tokens for each address. On the worker's thread. */
#include "resets.h"

#include <stddef.h>
#include <string.h>

/* Of the address, without the port. */
static uint64_t key_of(const char *peer)
{
    uint64_t key = UINT64_C(14695981039346656037); /* FNV-1a */
    const char *end = strrchr(peer, ':');
    for (const char *p = peer; *p && p != end; p++)
        key = (key ^ (unsigned char)*p) * UINT64_C(1099511628211);
    return key;
}

void resets_forgive(struct resets *resets, const char *peer)
{
    uint64_t key = key_of(peer);
    for (size_t i = 0; i < RESETS_SEEN; i++)
        if (resets->seen[i].key == key)
            resets->seen[i].at_us = 0; /* long ago: full again */
}

bool resets_take(struct resets *resets, const char *peer, unsigned max, int64_t now_us)
{
    uint64_t key = key_of(peer);
    struct resets_of *r = NULL, *oldest = &resets->seen[0];
    for (size_t i = 0; i < RESETS_SEEN && !r; i++) {
        if (resets->seen[i].key == key)
            r = &resets->seen[i];
        if (resets->seen[i].at_us < oldest->at_us)
            oldest = &resets->seen[i];
    }
    if (!r) {
        r = oldest;
        *r = (struct resets_of){.key = key, .tokens = max, .at_us = now_us};
    }
    r->tokens += (double)(now_us - r->at_us) * (double)max / 10e6;
    if (r->tokens > max)
        r->tokens = max;
    r->at_us = now_us;
    if (r->tokens < 1)
        return false;
    r->tokens -= 1;
    return true;
}
