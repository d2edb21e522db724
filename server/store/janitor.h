/* What is done to old rows without being asked, beside the batches: counters of minutes are summed up to hours and days
 * and then deleted; jobs that ended long ago are deleted as joblog.retention says. A thread of its own with a
 * connection of its own, so that nothing here makes a batch wait. */
#ifndef STORE_JANITOR_H
#define STORE_JANITOR_H

#include "base/err.h"

struct store;
struct janitor;

/* Keeps store. NULL and *ret_err on failure. */
struct janitor *janitor_start(struct store *store, struct err *ret_err);
/* After the step that is under way. Takes NULL. */
void janitor_stop(struct janitor *janitor);

#endif
