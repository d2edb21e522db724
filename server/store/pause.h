/* Inside server/store: queues that are paused. The table is the truth; each writer knows it by heart, reads it again at
 * each tick. A pause is written by the writer itself, between two
 * batches, so that it holds here from the answer on. Writer thread. */
#ifndef STORE_PAUSE_H
#define STORE_PAUSE_H

#include "store/engine.h"

bool pause_holds(const struct writer *w, struct span queue);
/* Reads which are; a failure leaves what was known. */
void pause_read(struct writer *w);
/* STORE_PAUSE and STORE_RESUME: 0, or -code and *ret_err. */
int pause_set(struct writer *w, const struct store_pause *cmd, struct err *ret_err);
void pause_done(struct writer *w);

#endif
