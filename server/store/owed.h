/* Inside server/store: what is owed to the rows of the counters. Writer thread, but for owed_settle. */
#ifndef STORE_OWED_H
#define STORE_OWED_H

#include "store/lanes.h"

struct pg_conn;
struct pg_params;

/* Must the rows be written now, whatever the batch is about? */
bool owed_due(const struct writer *w, int64_t now_us);
/* When, by the wall clock; INT64_MAX: nothing is owed. */
int64_t owed_due_us(const struct writer *w);
/* A batch that was to write them failed: the next ones owe, for a while. */
void owed_rest(struct writer *w);
/* Puts the present values of the touched lanes into w->owed. False: their rows are to be written. */
bool owed_note(struct writer *w, int64_t minute_us);
/* A batch that noted them is committed: what of the lane its rows do not say. */
void owed_committed(struct writer *w, struct lane *l, bool minute, unsigned statuses);
/* Writes what a replica owes, whose number nobody else has; -1: what those owe
 * that have gone, and what is of long ago. Any thread with its own
 * connection. 0 or -code. */
int owed_settle(struct pg_conn *pg, struct pg_params *params, int replica, struct err *ret_err);

#endif
