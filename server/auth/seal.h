/* A short keyed digest of a text, quick to make: SipHash-2-4 with 128 bits (Aumasson and Bernstein, "SipHash: a fast
 * short-input PRF"). The key is this process's own, so that nobody outside can find a text for a seal, and what is kept
 * in memory is of no use elsewhere. Pure; any thread. */
#ifndef AUTH_SEAL_H
#define AUTH_SEAL_H

#include <stdint.h>

#include "base/span.h"

struct seal_key {
    uint64_t k[2]; /* random */
};

struct seal {
    uint64_t v[2];
};

struct seal seal_make(const struct seal_key *key, struct span text);

#endif
