/* The thread that keeps house; private to server/export. */
#ifndef EXPORT_KEEPER_H
#define EXPORT_KEEPER_H

#include "export/worker.h"

int export_keeper_start(struct exports *exports, struct err *ret_err);
/* Any thread; nothing once it has been stopped. */
void export_keeper_wake(struct exports *exports);
/* After exports->stopping was set. Waits neither for a check of types nor for a sweep to come to its end. */
void export_keeper_stop(struct exports *exports);

/* Takes away what has expired and what belongs to nobody. Gives how many files expired. Blocks; all it does it asks the
 * database about first, so that halt (may be NULL) ends it before the next file: -CANCELLED. The next sweep goes on. */
int export_sweep(const struct chunk_store *stores, const char *uri, int64_t now_us, struct export_halt *halt,
                 int64_t *ret_n, struct err *ret_err);

#endif
