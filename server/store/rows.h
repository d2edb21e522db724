/* Shared by rows.c and rows_job.c: how rows are gathered and sent. */
#ifndef STORE_ROWS_H
#define STORE_ROWS_H

#include "store/engine.h"

/* Makes p, when it is empty, an array of each of these types. */
#define ARRAYS(p, ...)                                                                                                 \
    do {                                                                                                               \
        static const enum pg_type types_[] = {__VA_ARGS__};                                                            \
        if ((p)->n == 0)                                                                                               \
            pg_arrays((p), types_, (int)(sizeof types_ / sizeof types_[0]));                                           \
    } while (0)

/* Unless there are none. */
void rows_send_part(struct writer *w, enum sql_id id, struct pg_params *p);
/* Has each of these columns one value in all rows? */
bool rows_are_same(const struct pg_params *p, int first, int last);
void rows_make_scalars(struct pg_params *p, int first, int last);
/* What attempts begin and end with (rows_state.c). */
void rows_send_leases(struct writer *w);
void rows_send_states(struct writer *w);
/* New jobs, and jobs that wait to be run. */
void rows_send_jobs(struct writer *w);

#endif
