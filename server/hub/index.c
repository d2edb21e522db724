/* See index.h. Must not block. */
#include "hub/index.h"

#include "hub/watch.h"

struct hub_topic {
    enum hub_by by;
    struct hub_interest *first;
    UT_hash_handle hh;
    char value[];
};

static struct span id_value(const int64_t *id)
{
    return span_of((const char *)id, sizeof *id);
}

/* What the job has; empty: nothing. */
static struct span value_of(const struct job *job, enum hub_by by)
{
    switch (by) {
    case HUB_BY_ID:
        return id_value(&job->id);
    case HUB_BY_SOURCE_ID:
        return job->source_id;
    case HUB_BY_BATCH:
        return job->batch;
    case HUB_BY_OWNER:
        return job->owner;
    case HUB_BY_NAME:
        return job->name;
    case HUB_BY_SOURCE_TYPE:
        return job->source_type;
    case HUB_BY_QUEUE:
        return job->queue;
    case HUB_BY_ANY:
    case HUB_BY_COUNT:
        break;
    }
    return SPAN_LIT("");
}

static struct span owner_of(const struct job_filter *f)
{
    bool own = f->owner.len == 0 && f->scope.bounded && f->scope.own_only;
    return own ? f->scope.own : f->owner;
}

static enum hub_by choose(const struct job_filter *f, size_t *ret_n)
{
    const size_t values[HUB_BY_COUNT] = {[HUB_BY_ID] = f->n_ids,
                                         [HUB_BY_SOURCE_ID] = f->source_id.len > 0,
                                         [HUB_BY_BATCH] = f->batch.len > 0,
                                         [HUB_BY_OWNER] = owner_of(f).len > 0,
                                         [HUB_BY_NAME] = f->n_names,
                                         [HUB_BY_SOURCE_TYPE] = f->source_type.len > 0,
                                         [HUB_BY_QUEUE] = f->n_queues,
                                         [HUB_BY_ANY] = 1};
    enum hub_by by = HUB_BY_ID;
    while (values[by] == 0)
        by++;
    *ret_n = values[by];
    return by;
}

static struct span value_at(const struct job_filter *f, enum hub_by by, size_t i)
{
    switch (by) {
    case HUB_BY_ID:
        return id_value(&f->ids[i]);
    case HUB_BY_SOURCE_ID:
        return f->source_id;
    case HUB_BY_BATCH:
        return f->batch;
    case HUB_BY_OWNER:
        return owner_of(f);
    case HUB_BY_NAME:
        return f->names[i];
    case HUB_BY_SOURCE_TYPE:
        return f->source_type;
    case HUB_BY_QUEUE:
        return f->queues[i];
    case HUB_BY_ANY:
    case HUB_BY_COUNT:
        break;
    }
    return SPAN_LIT("");
}

static struct hub_topic *find(const struct hub_index *index, enum hub_by by, struct span value)
{
    struct hub_topic *topic;
    HASH_FIND(hh, index->topics[by], value.data, (unsigned)value.len, topic);
    return topic;
}

/* NULL: out of memory. */
static struct hub_topic *find_or_add(struct hub_index *index, enum hub_by by, struct span value)
{
    struct hub_topic *topic = find(index, by, value);
    if (topic || !(topic = mem_zalloc(sizeof *topic + value.len)))
        return topic;
    topic->by = by;
    if (value.len > 0)
        memcpy(topic->value, value.data, value.len);
    HASH_ADD_KEYPTR(hh, index->topics[by], topic->value, (unsigned)value.len, topic);
    if (!topic->hh.tbl) {
        mem_free(topic);
        return NULL;
    }
    return topic;
}

static void link_in(struct hub_interest *i, struct hub_watch *w, struct hub_topic *topic)
{
    *i = (struct hub_interest){.watch = w, .topic = topic, .next = topic->first};
    if (topic->first)
        topic->first->prev = i;
    topic->first = i;
}

/* A value given twice is indexed once. */
static bool is_repeated(const struct job_filter *f, enum hub_by by, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (span_eq(value_at(f, by, i), value_at(f, by, at)))
            return true;
    return false;
}

bool hub_index_add(struct hub_index *index, struct hub_watch *w)
{
    size_t n;
    enum hub_by by = choose(&w->filter, &n);
    w->interests = n == 1 ? &w->only_interest : arena_alloc(&w->arena, n * sizeof *w->interests);
    if (!w->interests)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (is_repeated(&w->filter, by, i))
            continue;
        struct hub_topic *topic = find_or_add(index, by, value_at(&w->filter, by, i));
        if (!topic) {
            hub_index_remove(index, w);
            return false;
        }
        link_in(&w->interests[w->n_interests++], w, topic);
    }
    return true;
}

void hub_index_remove(struct hub_index *index, struct hub_watch *w)
{
    while (w->n_interests > 0) {
        struct hub_interest *i = &w->interests[--w->n_interests];
        struct hub_topic *topic = i->topic;
        *(i->prev ? &i->prev->next : &topic->first) = i->next;
        if (i->next)
            i->next->prev = i->prev;
        if (!topic->first) {
            HASH_DEL(index->topics[topic->by], topic);
            mem_free(topic);
        }
    }
}

struct hub_watch *hub_index_next(struct hub_walk *walk)
{
    for (; !walk->at && walk->by < HUB_BY_COUNT; walk->by++) {
        struct span value = value_of(walk->job, walk->by);
        struct hub_topic *topic = NULL;
        if (value.len > 0 || walk->by == HUB_BY_ANY)
            topic = find(walk->index, walk->by, value);
        walk->at = topic ? topic->first : NULL;
    }
    if (!walk->at)
        return NULL;
    struct hub_watch *w = walk->at->watch;
    walk->at = walk->at->next;
    walk->index->looks++;
    return w;
}

bool hub_index_may_want(const struct hub_index *index, int64_t job_id)
{
    for (enum hub_by by = HUB_BY_ID + 1; by < HUB_BY_COUNT; by++)
        if (index->topics[by])
            return true;
    return find(index, HUB_BY_ID, id_value(&job_id)) != NULL;
}

void hub_index_each(const struct hub_index *index, void (*visit)(struct hub_watch *watch))
{
    for (enum hub_by by = HUB_BY_ID; by < HUB_BY_COUNT; by++)
        for (const struct hub_topic *topic = index->topics[by]; topic; topic = topic->hh.next)
            for (struct hub_interest *i = topic->first; i; i = i->next)
                visit(i->watch);
}
