/* A part of all jobs: what a caller may see and touch at most. Pure; any thread.
 *
 * Jobs in queues that begin with "joblog." are the server's own, such as exports: of those a bounded scope holds only
 * the ones of its owner, whatever its patterns say. Of all others it holds those that fit one pattern of each list that
 * is not empty and, with own_only, belong to its owner. The SQL of store/sql/list_*.sql says the same, and a test holds
 * the two against each other. */
#ifndef CORE_SCOPE_H
#define CORE_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"

/* Zeroed: everything. */
struct job_scope {
    bool bounded; /* false: everything; the rest does not count */
    bool own_only;
    struct span own;                                /* the owner whose jobs are its own; empty: none are */
    const struct span *queues, *job_names, *owners; /* patterns */
    size_t n_queues, n_job_names, n_owners;
};

/* '*' in a pattern stands for any number of bytes, none included; everything else for itself. Time: the product of both
 * lengths at the worst. */
bool pattern_matches(struct span pattern, struct span text);
/* Does it name just one text? */
static inline bool pattern_is_literal(struct span pattern)
{
    return pattern.len == 0 || !memchr(pattern.data, '*', pattern.len);
}

/* A queue of the server's own? */
static inline bool queue_is_reserved(struct span queue)
{
    static const struct span own = SPAN_LIT("joblog.");
    return queue.len >= own.len && memcmp(queue.data, own.data, own.len) == 0;
}

/* Is a job of this queue, name and owner (empty: none) within it? */
bool job_scope_holds(const struct job_scope *scope, struct span queue, struct span name, struct span owner);
/* Do its patterns let jobs of this queue and name in, whoever owns them? Never a reserved queue, when it is bounded. */
bool job_scope_holds_lane(const struct job_scope *scope, struct span queue, struct span name);
/* Is the queue one whose jobs may be within it? Never a reserved one, when it is bounded. */
bool job_scope_holds_queue(const struct job_scope *scope, struct span queue);
/* Does it hold jobs of some owners only? */
static inline bool job_scope_names_owners(const struct job_scope *scope)
{
    return scope->bounded && (scope->own_only || scope->n_owners > 0);
}
/* Deep copy into an arena. False: out of memory. */
bool job_scope_copy(struct arena *arena, const struct job_scope *from, struct job_scope *ret_scope);

#endif
