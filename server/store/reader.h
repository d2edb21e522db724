/* Inside server/store: the reader threads. Each has a connection of its own and runs one query at a time. */
#ifndef STORE_READER_H
#define STORE_READER_H

#include "store/access.h"
#include "store/engine.h"

struct stats_cache;

struct reader {
    struct readers *readers;
    pthread_t thread;
    struct pg_conn *pg; /* NULL: to be opened */
    struct pg_params params;
    struct stats_cache *stats; /* of all readers */
};

/* Each runs on the reader's thread and fills cmd's out fields; 0 or -code and *ret_err. A query may run twice when the
 * connection was lost: the arena then holds the remains of the first. */
int read_get(struct reader *r, struct store_get *cmd, struct err *ret_err);
int read_list(struct reader *r, struct store_list *cmd, struct err *ret_err);
int read_stats(struct reader *r, struct store_stats *cmd, struct err *ret_err);
int read_queues(struct reader *r, struct store_queues *cmd, struct err *ret_err);
int read_statuses(struct reader *r, struct store_statuses *cmd, struct err *ret_err);
int read_cleanup(struct reader *r, struct store_cleanup *cmd, struct err *ret_err);
int read_changes(struct reader *r, struct store_changes *cmd, struct err *ret_err);
struct store_worker_list;
struct store_worker_ask;
int read_worker_list(struct reader *r, struct store_worker_list *cmd, struct err *ret_err);
int read_worker_ask(struct reader *r, struct store_worker_ask *cmd, struct err *ret_err);
struct store_log_read;
int read_log(struct reader *r, struct store_log_read *cmd, struct err *ret_err);
int read_token_create(struct reader *r, struct store_token_create *cmd, struct err *ret_err);
int read_token_revoke(struct reader *r, struct store_token_revoke *cmd, struct err *ret_err);
int read_token_list(struct reader *r, struct store_token_list *cmd, struct err *ret_err);
int read_token_load(struct reader *r, struct store_token_load *cmd, struct err *ret_err);
int read_token_used(struct reader *r, struct store_token_used *cmd, struct err *ret_err);

/* One statement with r->params. NULL and *ret_err on failure. */
struct pg_result *read_rows(struct reader *r, enum sql_id id, struct err *ret_err);
/* A list_* statement with its order turned round (connect.c). */
struct pg_result *read_ascending(struct reader *r, enum sql_id id, struct err *ret_err);
int read_out_of_memory(struct err *ret_err);
/* How long counters of minutes are kept. */
int64_t stats_minute_days(const struct reader *r);

/* ---- parameters (read_scope.c) ---- */

/* Arrays of texts; null when there are none. A pattern is one of core/scope.h, the parameter is for LIKE ANY. */
void add_texts(struct pg_params *p, const struct span *texts, size_t n);
void add_patterns(struct pg_params *p, const struct span *patterns, size_t n);

/* Lanes of any of these names and queues (none: all) that the scope's patterns let in; and those of the server's own.
 */
struct lane_query {
    const struct span *names, *queues;
    size_t n_names, n_queues;
    const struct job_scope *scope;
    bool all; /* all of them are wanted even when nothing restricts them, if the scope is bounded */
};
struct lane_set {
    struct pg_result *rows; /* lane_id, is_reserved; pg_free. NULL: not asked for, nothing restricts them */
    bool restricts;         /* only jobs of these lanes are meant; else rows has no more than the server's own */
    bool bounded;           /* the scope is: of the server's own lanes only the caller's jobs are meant */
};
enum { LANES_OPEN = 1, LANES_RESERVED = 2 };
int read_lanes(struct reader *r, const struct lane_query *query, struct lane_set *ret, struct err *ret_err);
/* Those of a kind, or of both, as an array. */
void add_lanes(struct pg_params *p, const struct lane_set *lanes, unsigned which);

#endif
