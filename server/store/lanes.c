/* The cache of lanes: (queue, job name) pairs with their number, their sessions and their counters. Writer thread. A
 * lane is never changed or deleted in the database, so nothing here grows old. */
#include "store/pause.h"

static void set_key(struct lanes *lanes, struct span queue, struct span name)
{
    buf_clear(&lanes->key);
    buf_add(&lanes->key, queue.data, queue.len);
    buf_add_char(&lanes->key, '\0');
    buf_add(&lanes->key, name.data, name.len);
}

struct lane *lanes_get(struct lanes *lanes, struct span queue, struct span name)
{
    struct lane *lane = NULL;

    set_key(lanes, queue, name);
    if (!lanes->key.failed)
        HASH_FIND(by_key, lanes->by_key, lanes->key.data, lanes->key.len, lane);
    return lane;
}

struct lane *lanes_by_id(struct lanes *lanes, int32_t id)
{
    struct lane *lane = NULL;

    HASH_FIND(hh, lanes->by_id, &id, sizeof id, lane);
    return lane;
}

struct lane *lanes_add(struct writer *w, int32_t id, struct span queue, struct span name)
{
    struct lanes *lanes = &w->lanes;
    struct lane *lane = lanes_by_id(lanes, id);
    size_t key_len = queue.len + 1 + name.len;

    if (lane)
        return lane;
    set_key(lanes, queue, name);
    lane = mem_zalloc(sizeof *lane + key_len);
    if (!lane || lanes->key.failed) {
        mem_free(lane);
        return NULL;
    }
    memcpy(lane->key, lanes->key.data, key_len);
    lane->id = id;
    lane->queue = span_of(lane->key, queue.len);
    lane->name = span_of(lane->key + queue.len + 1, name.len);
    claim_from_start(lane);
    lane->least_put = (struct queue_place){INT16_MAX, INT64_MAX};
    lane->paused = pause_holds(w, lane->queue);
    lane->backlog = true; /* until a claim finds nothing */
    HASH_ADD(hh, lanes->by_id, id, sizeof lane->id, lane);
    if (!lane->hh.tbl) {
        mem_free(lane);
        return NULL;
    }
    HASH_ADD_KEYPTR(by_key, lanes->by_key, lane->key, key_len, lane);
    if (!lane->by_key.tbl) {
        HASH_DELETE(hh, lanes->by_id, lane);
        mem_free(lane);
        return NULL;
    }
    if (id > lanes->newest)
        lanes->newest = id;
    for (struct store_session *s = w->sessions; s; s = s->next) {
        if (session_serves(s, lane))
            match_join(lane, s); /* without memory for it the session does not get these jobs; others do */
    }
    return lane;
}

int32_t lanes_known_to(const struct lanes *lanes)
{
    enum { UNDER_WAY_MAX = 4000 }; /* a full batch of each of four replicas */

    return lanes->newest > UNDER_WAY_MAX ? lanes->newest - UNDER_WAY_MAX : 0;
}

void lanes_done(struct lanes *lanes)
{
    struct lane *lane, *next;

    HASH_CLEAR(by_key, lanes->by_key);
    HASH_ITER(hh, lanes->by_id, lane, next)
    {
        HASH_DELETE(hh, lanes->by_id, lane);
        mem_free(lane->sessions);
        mem_free(lane);
    }
    buf_done(&lanes->key);
}
