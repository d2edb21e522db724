/* See scope.h. */
#include "core/scope.h"

bool pattern_matches(struct span pattern, struct span text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, from = 0;

    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            from = t;
        } else if (p < pattern.len && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            /* The last star takes one byte more. */
            p = star + 1;
            t = ++from;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*')
        p++;
    return p == pattern.len;
}

static bool fits(const struct span *patterns, size_t n, struct span text)
{
    for (size_t i = 0; i < n; i++) {
        if (pattern_matches(patterns[i], text))
            return true;
    }
    return n == 0;
}

static bool is_own(const struct job_scope *scope, struct span owner)
{
    return scope->own.len > 0 && span_eq(scope->own, owner);
}

bool job_scope_holds(const struct job_scope *s, struct span queue, struct span name, struct span owner)
{
    if (!s->bounded)
        return true;
    if (queue_is_reserved(queue))
        return is_own(s, owner);
    return (!s->own_only || is_own(s, owner)) && fits(s->queues, s->n_queues, queue) &&
           fits(s->job_names, s->n_job_names, name) && fits(s->owners, s->n_owners, owner);
}

bool job_scope_holds_lane(const struct job_scope *s, struct span queue, struct span name)
{
    return !s->bounded || (job_scope_holds_queue(s, queue) && fits(s->job_names, s->n_job_names, name));
}

bool job_scope_holds_queue(const struct job_scope *s, struct span queue)
{
    return !s->bounded || (!queue_is_reserved(queue) && fits(s->queues, s->n_queues, queue));
}

static bool copy_spans(struct arena *arena, const struct span *from, size_t n, const struct span **ret)
{
    struct span *to = arena_alloc(arena, n * sizeof *to);

    for (size_t i = 0; to && i < n; i++) {
        to[i] = arena_span(arena, from[i]);
        if (from[i].len && !to[i].data)
            return false;
    }
    *ret = to;
    return to != NULL;
}

bool job_scope_copy(struct arena *arena, const struct job_scope *from, struct job_scope *ret_scope)
{
    struct job_scope s = *from;

    if (!from->bounded) {
        *ret_scope = (struct job_scope){0};
        return true;
    }
    if (from->own.len)
        s.own = arena_span(arena, from->own);
    if ((from->own.len && !s.own.data) || !copy_spans(arena, from->queues, from->n_queues, &s.queues) ||
        !copy_spans(arena, from->job_names, from->n_job_names, &s.job_names) ||
        !copy_spans(arena, from->owners, from->n_owners, &s.owners))
        return false;
    *ret_scope = s;
    return true;
}
