/* Inside server/store: after a start, counters that have come to rest are read into memory, so that the first
 * statistics of a long range are a sum, too. The janitor's thread; a query that comes before reads what is missing by
 * itself. */
#ifndef STORE_STATS_WARM_H
#define STORE_STATS_WARM_H

#include "store/engine.h"

/* How far it has come. In place, all zero at first. */
struct stats_warm {
    bool begun, done;
    int step;
    int64_t next_us, end_us; /* of the step: down to below end_us from here */
    int64_t hours_us, days_us;
};

/* The next piece, a query of a few spans of time, the latest first. pg: prepared as a reader's. False: there is no
 * more, or it failed, which is no harm. */
bool stats_warm_more(struct stats_warm *w, const struct store *store, struct pg_conn *pg);

#endif
