/* How much of the server one caller may have, and who is turned away when it cannot keep up. Pure but for its lock:
 * takes the time and the load as arguments. Any thread.
 *
 * Each caller (a key: its identity, or its address) has a bucket of tokens for the rate of its calls, and a count of
 * what it has under way. Beside its own limits there is the load of the whole: while commands wait for the database for
 * longer than they should, a caller is refused who has at least an even share of the calls under way, so that one who
 * floods gets in nobody's way; when the wait is four times as long, everybody is. So few calls as LIMITS_FEW are no
 * load: then it is the database that is slow, and whoever calls had better wait.
 *
 * And there are turns: where several callers are served, one that has many unary calls under way has only so many of
 * them served at a time, the others wait for their turn, oldest first. So who has few never waits behind many. */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "base/tag.h"

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

/* Unary calls that are served at a time in all while several callers share the server, but of each caller a few. */
enum { LIMITS_AT_ONCE = 64, LIMITS_AT_LEAST = 4 };
/* Calls of a caller, and of all, that may wait for their turn: some kilobytes each. */
enum { LIMITS_TURNS_OF_ONE = 4096, LIMITS_TURNS = 8192 };

/* A call that waits for its turn. Lives until it is posted. */
struct limits_turn {
    struct tag *tag; /* posted when it is served */
    struct limits_turn *next;
};

enum limits_kind { LIMITS_CALL, LIMITS_STREAM, LIMITS_SESSION, LIMITS_KINDS };

/* What was refused, for which reason; and callers known now. */
struct limits_counts {
    uint64_t rate, calls, streams, sessions, overload;
    size_t callers;
    uint64_t turns; /* calls that had to wait for theirs */
};

struct limits;

/* NULL: out of memory. */
struct limits *limits_new(const struct limits_rules *rules);
/* Everybody has left. Takes NULL. */
void limits_free(struct limits *limits);
/* Do several callers share the server now, or did they within the last second? If not, no call has to wait for its
 * turn. */
bool limits_are_shared(const struct limits *limits, int64_t now_us);
/* Somebody calls who is not limited, and whom those that are should not keep waiting. */
void limits_make_way(struct limits *limits, int64_t now_us);
/* A call begins. eases: it helps the load to go down (a worker's), so only its own limits count. turn: NULL, or what
 * waits for its turn if need be. 0, and then limits_leave at its end, and *ret_light tells that the caller has less
 * than half of an even share under way; LIMITS_WAIT: the same, but turn is to be waited for; or -RESOURCE_EXHAUSTED
 * with a reason, a text that names the limit, and when to come back. */
enum { LIMITS_WAIT = 1 };
int limits_enter(struct limits *limits, struct span key, enum limits_kind kind, bool eases, int64_t wait_ms,
                 int64_t now_us, struct limits_turn *turn, bool *ret_light, struct err *ret_err);
/* Its end, or that it is given up after its turn. Posts turns of the same caller. */
void limits_leave(struct limits *limits, struct span key, enum limits_kind kind, int64_t now_us);
void limits_read(struct limits *limits, struct limits_counts *ret);

#endif
