/* Inside server/store: counters of minutes, hours and days that will not change any more, kept in memory, so that
 * statistics over a long range are a sum and no query. A slot holds one such span of time, all lanes of it.
 *
 * The readers' threads share it; a lock is held for moments. It never asks the database. */
#ifndef STORE_STATS_CACHE_H
#define STORE_STATS_CACHE_H

#include "store/store.h"

enum stats_span { STATS_MINUTE, STATS_HOUR, STATS_DAY };
enum { STATS_SPANS = 3 };

/* Some 200 000 counters of a lane in an hour: those of 20 lanes and a year. What came first goes first. */
enum { STATS_CACHE_BYTES = 32 << 20 };

struct stats_cache;
struct stats_slot;

struct stats_cache *stats_cache_new(size_t max_bytes); /* NULL: out of memory */
void stats_cache_free(struct stats_cache *cache);      /* takes NULL */

/* Gives a reference (stats_slot_unref); NULL: it is not there. */
struct stats_slot *stats_cache_get(struct stats_cache *cache, enum stats_span span, int64_t time_us);
/* Borrows. When another reader put the same before, or there is no memory, nothing happens. */
void stats_cache_put(struct stats_cache *cache, struct stats_slot *slot);
size_t stats_cache_bytes(struct stats_cache *cache);

/* An empty one, with one reference; NULL: out of memory. */
struct stats_slot *stats_slot_new(enum stats_span span, int64_t time_us);
void stats_slot_unref(struct stats_slot *slot); /* takes NULL */
/* Before it is put into the cache. A lane may be added more than once. False: out of memory. */
bool stats_slot_add(struct stats_slot *slot, int32_t lane_id, const struct stats_sums *sums);

/* The lanes of a slot, from *at = 0 on; NULL: there are no more. Borrowed from the slot. */
struct stats_lane;
const struct stats_lane *stats_slot_next(const struct stats_slot *slot, size_t *at);
int32_t stats_lane_id(const struct stats_lane *lane);
void stats_lane_add(const struct stats_lane *lane, struct stats_sums *to);

#endif
