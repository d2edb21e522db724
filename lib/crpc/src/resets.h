/* How often calls of an address are cancelled, as one worker sees it. On that worker's thread; a table of fixed size,
 * so that no flood of addresses makes it grow. */
#ifndef CRPC_SRC_RESETS_H
#define CRPC_SRC_RESETS_H

#include <stdbool.h>
#include <stdint.h>

enum { RESETS_SEEN = 256 };

/* One worker's. An address that is not in it has all its tokens; the one heard of least lately makes room. */
struct resets {
    struct resets_of {
        uint64_t key;
        double tokens;
        int64_t at_us;
    } seen[RESETS_SEEN];
};

/* Gives the peer's address all its tokens. */
void resets_forgive(struct resets *resets, const char *peer);
/* A call of that peer was cancelled. False: more often than max at once and a tenth of it each second allow. */
bool resets_take(struct resets *resets, const char *peer, unsigned max, int64_t now_us);

#endif
