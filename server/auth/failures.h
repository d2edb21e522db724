/* How often credentials from an address were wrong: past a bound, what is expensive to check is refused unseen for a
 * while. A table of fixed size, so that a flood of addresses makes nothing grow. Any thread. */
#ifndef AUTH_FAILURES_H
#define AUTH_FAILURES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

/* So many at once, and so many a second in the long run. */
enum { FAILURES_BURST = 100, FAILURES_PER_S = 10, FAILURES_SEEN = 1024 };

struct failures {
    pthread_mutex_t lock;
    struct failures_of {
        uint64_t key; /* 0: none */
        double left;
        int64_t at_us;
    } seen[FAILURES_SEEN];
};

void failures_init(struct failures *failures);
void failures_done(struct failures *failures);
/* 0, or -RESOURCE_EXHAUSTED (TOO_MANY_FAILURES) and when to come back. An empty address is never refused. */
int failures_check(struct failures *failures, struct span address, int64_t now_us, struct err *ret_err);
void failures_note(struct failures *failures, struct span address, int64_t now_us);

#endif
