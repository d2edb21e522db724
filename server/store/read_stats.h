/* Inside server/store: what the two halves of statistics share. A reader's thread. */
#ifndef STORE_READ_STATS_H
#define STORE_READ_STATS_H

#include "store/reader.h"
#include "store/stats_cache.h"

/* The lanes that were asked for. */
struct stats_table {
    struct arena *arena;
    struct stats_row *rows;
    size_t n, cap;
    struct stats_row **by_lane;
};

/* NULL: not among those that were asked for. */
struct stats_row *stats_table_row(const struct stats_table *t, int32_t lane_id);

/* Up to where hours and days have been summed up; what lies before does not change any more. */
struct stats_marks {
    int64_t hours_us, days_us;
};

/* Adds up the counters of cmd's range, by lane and by bucket. 0 or -code. */
int read_stats_range(struct reader *r, struct store_stats *cmd, const struct stats_marks *marks,
                     const struct stats_table *t, struct err *ret_err);
/* Reads a range of whole spans that has come to rest into memory. 0 or -code. */
int read_stats_keep(struct reader *r, enum stats_span span, int64_t from_us, int64_t before_us, struct err *ret_err);

#endif
