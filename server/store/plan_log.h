/* Inside server/store: what jobs log, as a part of a batch. Writer thread. */
#ifndef STORE_PLAN_LOG_H
#define STORE_PLAN_LOG_H

#include "store/engine.h"
#include "store/job_log.h"

/* All that the batch logs for one job. */
struct log_mark {
    int64_t job_id, token;
    int64_t lines, bytes; /* in all */
    int32_t attempt;
    struct log_write *first, **end;
    struct log_mark *next; /* all of the batch */
    UT_hash_handle hh;
};

/* Reads the lease with this token, unless memory knows it. True: it is read. */
bool lease_ask(struct writer *w, int64_t job_id, int64_t token);
/* The lease of a command, from memory or from what was read. NULL: *err is set. */
struct lease *lease_of(struct writer *w, int64_t job_id, int64_t token, const struct job_scope *scope, struct err *err);
/* A sign of life, and what follows the log of a job, after the commit that added to it. */
void lease_logged(struct writer *w, struct lease *lease, struct store_log_write *cmd);

void log_prepare(struct writer *w, struct unit *u);
void log_plan(struct writer *w, struct unit *u);
/* With the other rows; before leases are deleted: what was logged before the end of an attempt is a part of it. */
void log_send_rows(struct writer *w);
/* After the commit. */
void log_applied(struct writer *w, struct store_cmd *cmd);

#endif
