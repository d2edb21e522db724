/* Which jobs a filter means; see job.h. Pure; any thread. */
#include <string.h>

#include "core/id.h"
#include "core/job.h"

static bool any_id(const int64_t *ids, size_t n, int64_t id)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] == id)
            return true;
    }
    return n == 0;
}

static bool any_span(const struct span *of, size_t n, struct span s)
{
    for (size_t i = 0; i < n; i++) {
        if (span_eq(of[i], s))
            return true;
    }
    return n == 0;
}

static bool text_fits(struct span wanted, struct span s)
{
    return wanted.len == 0 || span_eq(wanted, s);
}

static bool has_label(const struct job *job, const struct label *label)
{
    for (size_t i = 0; i < job->n_labels; i++) {
        if (span_eq(job->labels[i].key, label->key) && span_eq(job->labels[i].value, label->value))
            return true;
    }
    return false;
}

static bool contains(struct span in, struct span text)
{
    return text.len == 0 || (in.len >= text.len && memmem(in.data, in.len, text.data, text.len));
}

/* 0 is not set: within no range. */
static bool in_range(int64_t us, int64_t from_us, int64_t before_us)
{
    return (!from_us && !before_us) || (us && us >= from_us && (!before_us || us < before_us));
}

bool job_filter_matches_now(const struct job_filter *f, const struct job *job)
{
    if (f->status_mask && !(f->status_mask & 1u << job->status))
        return false;
    if (!in_range(job->start_us, f->start_from_us, f->start_before_us) ||
        !in_range(job->end_us, f->end_from_us, f->end_before_us))
        return false;
    return any_span(f->error_types, f->n_error_types, job->error.type) && contains(job->error.message, f->error_text);
}

bool job_filter_lets_go(const struct job_filter *f, const struct job *job)
{
    return job->retried_from && (!f->status_mask || f->status_mask & 1u << job->retried_from);
}

bool job_filter_is_empty(const struct job_filter *f)
{
    return !f->n_ids && !f->n_names && !f->n_queues && !f->status_mask && !f->source_type.len && !f->source_id.len &&
           !f->owner.len && !f->batch.len && !f->n_labels && !f->create_from_us && !f->create_before_us &&
           !f->n_error_types && !job_filter_needs_sifting(f);
}

bool job_filter_matches(const struct job_filter *f, const struct job *job)
{
    if (!job_filter_matches_now(f, job))
        return false;
    if (!any_id(f->ids, f->n_ids, job->id) || !any_span(f->names, f->n_names, job->name) ||
        !any_span(f->queues, f->n_queues, job->queue))
        return false;
    if (!text_fits(f->source_type, job->source_type) || !text_fits(f->source_id, job->source_id) ||
        !text_fits(f->owner, job->owner) || !text_fits(f->batch, job->batch))
        return false;
    if (f->create_from_us && job->id < id_floor(f->create_from_us))
        return false;
    if (f->create_before_us && job->id >= id_floor(f->create_before_us))
        return false;
    for (size_t i = 0; i < f->n_labels; i++) {
        if (!has_label(job, &f->labels[i]))
            return false;
    }
    return job_scope_holds(&f->scope, job->queue, job->name, job->owner);
}

static bool copy_span(struct arena *arena, struct span from, struct span *to)
{
    *to = from.len ? arena_span(arena, from) : (struct span){NULL, 0};
    return from.len == 0 || to->data;
}

static bool copy_spans(struct arena *arena, const struct span *from, size_t n, const struct span **ret)
{
    struct span *to = arena_alloc(arena, n * sizeof *to);

    for (size_t i = 0; to && i < n; i++) {
        if (!copy_span(arena, from[i], &to[i]))
            return false;
    }
    *ret = to;
    return to != NULL;
}

static bool copy_labels(struct arena *arena, const struct label *from, size_t n, const struct label **ret)
{
    struct label *to = arena_alloc(arena, n * sizeof *to);

    for (size_t i = 0; to && i < n; i++) {
        if (!copy_span(arena, from[i].key, &to[i].key) || !copy_span(arena, from[i].value, &to[i].value))
            return false;
    }
    *ret = to;
    return to != NULL;
}

static bool copy_payload(struct arena *arena, const struct job_filter *from, struct job_filter *to)
{
    struct payload_match *all = arena_alloc(arena, from->n_payload * sizeof *all + 1);

    for (size_t i = 0; all && i < from->n_payload; i++) {
        all[i] = from->payload[i];
        if (!copy_span(arena, from->payload[i].path, &all[i].path) ||
            !copy_span(arena, from->payload[i].text, &all[i].text))
            return false;
    }
    to->payload = all;
    return all != NULL;
}

bool job_filter_copy(struct arena *arena, const struct job_filter *from, struct job_filter *ret_filter)
{
    struct job_filter f = *from;
    int64_t *ids = arena_alloc(arena, from->n_ids * sizeof *ids);

    if (!ids)
        return false;
    if (from->n_ids)
        memcpy(ids, from->ids, from->n_ids * sizeof *ids);
    f.ids = ids;
    if (!copy_spans(arena, from->names, from->n_names, &f.names) ||
        !copy_spans(arena, from->queues, from->n_queues, &f.queues) ||
        !copy_labels(arena, from->labels, from->n_labels, &f.labels) ||
        !copy_span(arena, from->source_type, &f.source_type) || !copy_span(arena, from->source_id, &f.source_id) ||
        !copy_span(arena, from->owner, &f.owner) || !copy_span(arena, from->batch, &f.batch) ||
        !copy_spans(arena, from->error_types, from->n_error_types, &f.error_types) ||
        !copy_span(arena, from->error_text, &f.error_text) || !copy_payload(arena, from, &f) ||
        !job_scope_copy(arena, &from->scope, &f.scope))
        return false;
    *ret_filter = f;
    return true;
}

static void hash_bytes(uint64_t *h, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++)
        *h = (*h ^ p[i]) * UINT64_C(1099511628211);
}

static void hash_number(uint64_t *h, uint64_t v)
{
    hash_bytes(h, &v, sizeof v);
}

/* The length first, so that "ab","c" and "a","bc" differ. */
static void hash_span(uint64_t *h, struct span s)
{
    hash_number(h, s.len);
    hash_bytes(h, s.data, s.len);
}

static void hash_spans(uint64_t *h, const struct span *spans, size_t n)
{
    hash_number(h, n);
    for (size_t i = 0; i < n; i++)
        hash_span(h, spans[i]);
}

/* Nothing for an unbounded one. */
static void hash_scope(uint64_t *h, const struct job_scope *s)
{
    if (!s->bounded)
        return;
    hash_number(h, s->own_only ? 2 : 1);
    hash_span(h, s->own);
    hash_spans(h, s->queues, s->n_queues);
    hash_spans(h, s->job_names, s->n_job_names);
    hash_spans(h, s->owners, s->n_owners);
}

static void hash_sifted(uint64_t *h, const struct job_filter *f)
{
    const int64_t times[] = {f->start_from_us, f->start_before_us, f->end_from_us, f->end_before_us};

    hash_spans(h, f->error_types, f->n_error_types);
    hash_span(h, f->error_text);
    hash_bytes(h, times, sizeof times);
    hash_number(h, f->n_payload);
    for (size_t i = 0; i < f->n_payload; i++) {
        hash_span(h, f->payload[i].path);
        hash_number(h, (uint64_t)f->payload[i].has_equals << 1 | (uint64_t)f->payload[i].has_contains);
        hash_span(h, f->payload[i].text);
    }
}

uint64_t job_filter_hash(const struct job_filter *f)
{
    uint64_t h = UINT64_C(14695981039346656037);

    hash_number(&h, f->n_ids);
    for (size_t i = 0; i < f->n_ids; i++)
        hash_number(&h, (uint64_t)f->ids[i]);
    hash_spans(&h, f->names, f->n_names);
    hash_spans(&h, f->queues, f->n_queues);
    hash_number(&h, f->status_mask);
    hash_span(&h, f->source_type);
    hash_span(&h, f->source_id);
    hash_span(&h, f->owner);
    hash_span(&h, f->batch);
    hash_number(&h, f->n_labels);
    for (size_t i = 0; i < f->n_labels; i++) {
        hash_span(&h, f->labels[i].key);
        hash_span(&h, f->labels[i].value);
    }
    hash_number(&h, (uint64_t)f->create_from_us);
    hash_number(&h, (uint64_t)f->create_before_us);
    if (f->n_error_types || job_filter_needs_sifting(f))
        hash_sifted(&h, f);
    hash_scope(&h, &f->scope);
    return h;
}
