/* Inside server/store: the reader threads. Each has a connection of its own and runs one query at a time. */
#ifndef STORE_READER_H
#define STORE_READER_H

#include "store/engine.h"

struct reader {
    struct readers *readers;
    pthread_t thread;
    struct pg_conn *pg; /* NULL: to be opened */
    struct pg_params params;
};

/* Each runs on the reader's thread and fills cmd's out fields; 0 or -code and *ret_err. A query may run twice when the
 * connection was lost: the arena then holds the remains of the first. */
int read_get(struct reader *r, struct store_get *cmd, struct err *ret_err);
int read_list(struct reader *r, struct store_list *cmd, struct err *ret_err);
int read_stats(struct reader *r, struct store_stats *cmd, struct err *ret_err);
int read_statuses(struct reader *r, struct store_statuses *cmd, struct err *ret_err);
int read_export_file(struct reader *r, struct store_export_file *cmd, struct err *ret_err);
int read_export_chunk(struct reader *r, struct store_export_chunk *cmd, struct err *ret_err);

/* One statement with r->params. NULL and *ret_err on failure. */
struct pg_result *read_rows(struct reader *r, enum sql_id id, struct err *ret_err);
int read_out_of_memory(struct err *ret_err);

#endif
