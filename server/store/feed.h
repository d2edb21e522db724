/* Inside server/store: the feed, a thread with a connection of its own that learns what other replicas changed and
 * tells the observer, in the order of each job's life.
 *
 * Alone on the database the writer tells the observer itself, at once. With other replicas alive it hands its changes
 * to the feed instead: a job may go from replica to replica, and what another one did before must be told before. The
 * feed reads the log of changes, then waits until the writer has handed over all that was committed by then, and merges
 * the two by job and revision. */
#ifndef STORE_FEED_H
#define STORE_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/job.h"

struct feed;
struct store;

/* After the writer's first connection: replica and batch are its own. Reads where the others are. NULL and *ret_err. */
struct feed *feed_start(struct store *store, int replica, int64_t batch, struct err *ret_err);
/* After the end of the writer. Takes NULL. */
void feed_stop(struct feed *feed);

/* ---- the writer's ---- */

/* A change for the observer, made by batch or, if it is progress, after it. False: the writer tells it itself. Keeps a
 * reference of snapshot. since_us: of store_observer.repeated; 0: it is no repetition. */
bool feed_take(struct feed *feed, int64_t batch, struct job_snapshot *snapshot, bool is_transition, int64_t since_us);
/* Everything that batch changed has been told or handed over. True: other replicas are alive, as the feed saw last. */
bool feed_applied(struct feed *feed, int replica, int64_t batch);

/* ---- any thread ---- */

/* Appends a resume point: everything up to it has been told to the observer. See store/point.h. */
void feed_point(struct feed *feed, struct buf *ret_point);

#endif
