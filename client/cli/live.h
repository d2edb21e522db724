/* A table of jobs that is drawn over and over in place, newest change first, by a thread of its own, so that times move
 * on while nothing happens. For terminals. All functions on any thread. */
#ifndef JOBLOG_CLI_LIVE_H
#define JOBLOG_CLI_LIVE_H

#include "statuses.h"
#include "term.h"

struct live;

/* Copies term, a terminal; keeps statuses, and filter: a job whose status is none of its statuses leaves the table.
 * From here to live_finish nobody else may write to term->out. Gives the table (live_finish); NULL: no thread could be
 * made. */
struct live *live_new(const struct term *term, const struct statuses *statuses, const struct joblog_filter *filter);
/* The job as it is now, or was: what is older than what is known is passed over. Borrowed. */
void live_update(struct live *live, const struct joblog_job *job);
/* The jobs that have ended among the newest max of the table, into ids. How many. */
size_t live_ended(struct live *live, int64_t *ids, size_t max);
/* The job's record is gone: so is its row, if it has ended. */
void live_forget(struct live *live, int64_t id);
/* Draws a last time, leaves the table on the screen and frees it. Takes NULL. */
void live_finish(struct live *live);

#endif
