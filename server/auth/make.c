/* See make.h. */
#include "auth/make.h"

#include "base/alloc.h"

struct writer {
    struct span *spans;
    char *text;
};

static size_t text_of(const struct span *list, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += list[i].len;
    return len;
}

static struct span put(struct writer *w, struct span s)
{
    struct span copy = span_of(w->text, s.len);
    if (s.len)
        memcpy(w->text, s.data, s.len);
    w->text += s.len;
    return copy;
}

static const struct span *put_list(struct writer *w, const struct span *list, size_t n)
{
    struct span *first = w->spans;
    for (size_t i = 0; i < n; i++)
        *w->spans++ = put(w, list[i]);
    return first;
}

static void identity_free(struct identity *identity)
{
    mem_free(identity);
}

struct identity *identity_make(const struct identity_spec *s)
{
    size_t n_spans = s->n_queues + s->n_job_names + s->n_owners;
    size_t text = s->actor_kind.len + s->actor.len + s->owner.len + text_of(s->queues, s->n_queues) +
                  text_of(s->job_names, s->n_job_names) + text_of(s->owners, s->n_owners);
    struct identity *id = mem_zalloc(sizeof *id + n_spans * sizeof(struct span) + text);
    if (!id)
        return NULL;
    struct writer w = {.spans = (struct span *)(id + 1)};
    w.text = (char *)(w.spans + n_spans);
    id->actor = put(&w, s->actor_kind);
    id->actor.len += put(&w, s->actor).len;
    id->owner = put(&w, s->owner);
    id->queues = put_list(&w, s->queues, s->n_queues);
    id->job_names = put_list(&w, s->job_names, s->n_job_names);
    id->owners = put_list(&w, s->owners, s->n_owners);
    id->n_queues = s->n_queues;
    id->n_job_names = s->n_job_names;
    id->n_owners = s->n_owners;
    id->roles = s->roles;
    id->own_only = s->own_only;
    id->may_delegate = s->may_delegate;
    id->expire_us = s->expire_us;
    atomic_init(&id->revoked, false);
    atomic_init(&id->refs, 1);
    id->free = identity_free;
    return id;
}
