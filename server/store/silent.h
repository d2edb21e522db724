/* Inside server/store: a replica that stands still in the middle of a batch (its process is stopped, its machine is
 * gone) keeps the rows locked that the batch has touched; no time-out of PostgreSQL sees a pipeline that lacks its
 * Sync. The other replicas end its transaction; should it go on, it connects anew and runs its batch again. */
#ifndef STORE_SILENT_H
#define STORE_SILENT_H

#include "pg/pg.h"

/* Looks once a second, however often it is called. own: this replica's number. The feed's thread. */
void silent_end(struct pg_conn *pg, int own, int64_t *due_ms);

#endif
