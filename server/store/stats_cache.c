/* See stats_cache.h. The threads of the readers. A lane's counters are packed: of a histogram the buckets from the
 * first to the last in use, which are a few of them. */
#include "store/stats_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "store/hash.h"

enum { SUMS = 8 };

struct stats_lane {
    int64_t sums[SUMS];
    int32_t lane_id;
    uint8_t run_first, n_run, wait_first, n_wait;
    int32_t counts[]; /* n_run, then n_wait; padded to a whole int64_t */
};

struct stats_slot {
    int64_t key;
    atomic_int refs;
    char *lanes; /* struct stats_lane, one after the other */
    size_t len, cap;
    UT_hash_handle hh;
};

struct stats_cache {
    pthread_mutex_t lock;
    size_t max_bytes, bytes;
    struct stats_slot *slots; /* uthash: oldest first */
};

static int64_t key_of(enum stats_span span, int64_t time_us)
{
    return time_us / 1000000 * STATS_SPANS + (int64_t)span;
}

static size_t lane_bytes(const struct stats_lane *lane)
{
    size_t n = (size_t)lane->n_run + lane->n_wait;

    return sizeof *lane + (n + n % 2) * sizeof *lane->counts;
}

static size_t slot_bytes(const struct stats_slot *slot)
{
    return sizeof *slot + slot->cap + 64; /* its place in the table */
}

struct stats_slot *stats_slot_new(enum stats_span span, int64_t time_us)
{
    struct stats_slot *slot = mem_zalloc(sizeof *slot);

    if (!slot)
        return NULL;
    slot->key = key_of(span, time_us);
    atomic_init(&slot->refs, 1);
    return slot;
}

static void slot_ref(struct stats_slot *slot)
{
    atomic_fetch_add_explicit(&slot->refs, 1, memory_order_relaxed);
}

void stats_slot_unref(struct stats_slot *slot)
{
    if (!slot || atomic_fetch_sub_explicit(&slot->refs, 1, memory_order_acq_rel) > 1)
        return;
    mem_free(slot->lanes);
    mem_free(slot);
}

/* The buckets in use. */
static void bounds(const int64_t *hist, uint8_t *ret_first, uint8_t *ret_n)
{
    int first = 0, end = HISTOGRAM_BUCKETS;

    while (first < end && hist[first] == 0)
        first++;
    while (end > first && hist[end - 1] == 0)
        end--;
    *ret_first = (uint8_t)first;
    *ret_n = (uint8_t)(end - first);
}

static bool grow(struct stats_slot *slot, size_t more)
{
    size_t cap = slot->cap ? slot->cap * 2 : 1024;
    char *lanes;

    if (slot->len + more <= slot->cap)
        return true;
    while (cap < slot->len + more)
        cap *= 2;
    lanes = mem_realloc(slot->lanes, cap);
    if (!lanes)
        return false;
    slot->lanes = lanes;
    slot->cap = cap;
    return true;
}

bool stats_slot_add(struct stats_slot *slot, int32_t lane_id, const struct stats_sums *s)
{
    struct stats_lane head = {.sums = {s->dispatched, s->completed, s->failed, s->cancelled, s->retried, s->n_runs,
                                       s->run_us_sum, s->wait_us_sum},
                              .lane_id = lane_id};
    struct stats_lane *lane;

    bounds(s->run_hist, &head.run_first, &head.n_run);
    bounds(s->wait_hist, &head.wait_first, &head.n_wait);
    if (!grow(slot, lane_bytes(&head)))
        return false;
    lane = (struct stats_lane *)(void *)(slot->lanes + slot->len);
    *lane = head;
    for (int i = 0; i < head.n_run; i++)
        lane->counts[i] = (int32_t)s->run_hist[head.run_first + i];
    for (int i = 0; i < head.n_wait; i++)
        lane->counts[head.n_run + i] = (int32_t)s->wait_hist[head.wait_first + i];
    slot->len += lane_bytes(&head);
    return true;
}

const struct stats_lane *stats_slot_next(const struct stats_slot *slot, size_t *at)
{
    const struct stats_lane *lane = (const struct stats_lane *)(const void *)(slot->lanes + *at);

    if (*at >= slot->len)
        return NULL;
    *at += lane_bytes(lane);
    return lane;
}

int32_t stats_lane_id(const struct stats_lane *lane)
{
    return lane->lane_id;
}

void stats_lane_add(const struct stats_lane *lane, struct stats_sums *to)
{
    to->dispatched += lane->sums[0];
    to->completed += lane->sums[1];
    to->failed += lane->sums[2];
    to->cancelled += lane->sums[3];
    to->retried += lane->sums[4];
    to->n_runs += lane->sums[5];
    to->run_us_sum += lane->sums[6];
    to->wait_us_sum += lane->sums[7];
    for (int i = 0; i < lane->n_run; i++)
        to->run_hist[lane->run_first + i] += lane->counts[i];
    for (int i = 0; i < lane->n_wait; i++)
        to->wait_hist[lane->wait_first + i] += lane->counts[lane->n_run + i];
}

/* ---- the cache ---- */

struct stats_cache *stats_cache_new(size_t max_bytes)
{
    struct stats_cache *cache = mem_zalloc(sizeof *cache);

    if (!cache)
        return NULL;
    pthread_mutex_init(&cache->lock, NULL);
    cache->max_bytes = max_bytes;
    return cache;
}

static void drop_first(struct stats_cache *cache)
{
    struct stats_slot *slot = cache->slots;

    HASH_DEL(cache->slots, slot);
    cache->bytes -= slot_bytes(slot);
    stats_slot_unref(slot);
}

void stats_cache_free(struct stats_cache *cache)
{
    if (!cache)
        return;
    while (cache->slots)
        drop_first(cache);
    pthread_mutex_destroy(&cache->lock);
    mem_free(cache);
}

static struct stats_slot *find_slot(struct stats_cache *cache, int64_t key)
{
    struct stats_slot *slot;

    HASH_FIND(hh, cache->slots, &key, sizeof key, slot);
    return slot;
}

struct stats_slot *stats_cache_get(struct stats_cache *cache, enum stats_span span, int64_t time_us)
{
    struct stats_slot *slot;

    pthread_mutex_lock(&cache->lock);
    slot = find_slot(cache, key_of(span, time_us));
    if (slot)
        slot_ref(slot);
    pthread_mutex_unlock(&cache->lock);
    return slot;
}

void stats_cache_put(struct stats_cache *cache, struct stats_slot *slot)
{
    char *fits = slot->len ? mem_realloc(slot->lanes, slot->len) : NULL;

    if (fits) {
        slot->lanes = fits;
        slot->cap = slot->len;
    }
    pthread_mutex_lock(&cache->lock);
    if (slot_bytes(slot) <= cache->max_bytes && !find_slot(cache, slot->key)) {
        while (cache->slots && cache->bytes + slot_bytes(slot) > cache->max_bytes)
            drop_first(cache);
        HASH_ADD(hh, cache->slots, key, sizeof slot->key, slot);
        if (slot->hh.tbl) {
            slot_ref(slot);
            cache->bytes += slot_bytes(slot);
        }
    }
    pthread_mutex_unlock(&cache->lock);
}

size_t stats_cache_bytes(struct stats_cache *cache)
{
    size_t bytes;

    pthread_mutex_lock(&cache->lock);
    bytes = cache->bytes;
    pthread_mutex_unlock(&cache->lock);
    return bytes;
}
