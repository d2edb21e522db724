/* How much of the server one caller may have, and who is turned away when it cannot keep up. Pure but for its lock:
 * takes the time and the load as arguments. Any thread.
 *
 * Each caller (a key: its identity, or its address) has a bucket of tokens for the rate of its calls, and a count of
 * what it has under way. Beside its own limits there is the load of the whole: while commands wait for the database for
 * longer than they should, a caller is refused who has at least an even share of the calls under way, so that one who
 * floods gets in nobody's way; when the wait is four times as long, everybody is. So few calls as LIMITS_FEW are no
 * load: then it is the database that is slow, and whoever calls had better wait. */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

/* 0: no limit. */
struct limits_rules {
    int64_t calls_per_s; /* that it begins, streams included; in the long run */
    int64_t burst;       /* and so many at once; 0: as many as calls_per_s */
    int64_t calls;       /* unary ones under way */
    int64_t streams;     /* watches, downloads, streams of dispatches */
    int64_t sessions;    /* streams of workers */
    int64_t max_wait_ms; /* for the database */
};

enum { LIMITS_FEW = 32 };

enum limits_kind { LIMITS_CALL, LIMITS_STREAM, LIMITS_SESSION, LIMITS_KINDS };

/* What was refused, for which reason; and callers known now. */
struct limits_counts {
    uint64_t rate, calls, streams, sessions, overload;
    size_t callers;
};

struct limits;

/* NULL: out of memory. */
struct limits *limits_new(const struct limits_rules *rules);
/* Everybody has left. Takes NULL. */
void limits_free(struct limits *limits);
/* A call begins. eases: it helps the load to go down (a worker's), so only its own limits count. 0, and then
 * limits_leave at its end, and *ret_light tells that the caller has less than half of an even share under way; or
 * -RESOURCE_EXHAUSTED with a reason, a text that names the limit, and when to come back. */
int limits_enter(struct limits *limits, struct span key, enum limits_kind kind, bool eases, int64_t wait_ms,
                 int64_t now_us, bool *ret_light, struct err *ret_err);
void limits_leave(struct limits *limits, struct span key, enum limits_kind kind);
void limits_read(struct limits *limits, struct limits_counts *ret);

#endif
