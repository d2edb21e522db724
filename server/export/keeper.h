/* The thread that keeps house; private to server/export. */
#ifndef EXPORT_KEEPER_H
#define EXPORT_KEEPER_H

#include "export/worker.h"

int export_keeper_start(struct exports *exports, struct err *ret_err);
/* Any thread; nothing once it has been stopped. */
void export_keeper_wake(struct exports *exports);
/* After exports->stopping was set. Does not wait for a check of types. */
void export_keeper_stop(struct exports *exports);

/* Takes away what has expired and what belongs to nobody. Gives how many files expired. Blocks. */
int export_sweep(const struct chunk_store *stores, const char *uri, int64_t now_us, int64_t *ret_n,
                 struct err *ret_err);

#endif
