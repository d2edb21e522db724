/* See silent.h. The feed's thread: it waits for no lock, so it can help the writer of its process that does. */
#include "store/silent.h"

#include "store/engine.h"

enum { LOOK_MS = 1000 };

void silent_end(struct pg_conn *pg, int own, int64_t *due_ms)
{
    struct pg_params p = {.n = 0};
    struct err err;

    if (clock_mono_ms() < *due_ms)
        return;
    *due_ms = clock_mono_ms() + LOOK_MS;
    pg_add_int4(&p, own);
    struct pg_result *r = pg_run(pg, sql_name(SQL_REPLICA_SILENT), &p, &err);
    for (int i = 0; r && i < pg_rows(r); i++)
        log_warning("a replica stood still in the middle of a batch, its transaction was ended replica=%d",
                    (int)pg_int(r, i, 0));
    pg_free(r);
    pg_params_done(&p);
}
