/* Inside server/store: the end of a batch. Writer thread. */
#ifndef STORE_COMMIT_H
#define STORE_COMMIT_H

#include "store/engine.h"

/* The connection is gone and the fate of the batch unknown: connects again under the same replica number, which is free
 * only when the former connection has ended at the server, and looks for the batch's mark. Returns 1 when the batch was
 * committed, 0 when not, -code when the database stayed away. */
int batch_recover(struct writer *w, bool in_flight, struct err *ret_err);
/* ABORTED (DATABASE_RECONNECTED): try again. */
int batch_reconnected(struct err *ret_err);
/* Sends the rows and commits. 0, also when the connection was lost after the commit; or -code: nothing is done, or
 * (UNAVAILABLE) nobody knows. */
int batch_commit(struct writer *w, struct err *ret_err);

#endif
