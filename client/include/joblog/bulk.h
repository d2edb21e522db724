/* Many jobs steered by a filter. */
#ifndef JOBLOG_BULK_H
#define JOBLOG_BULK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joblog/query.h"

JOBLOG_BEGIN_DECLS

/* How. Zero or NULL means the default. All texts are borrowed. */
struct joblog_bulk {
    const char *reason;     /* why, for the record of each job */
    const char *request_id; /* NULL: the library makes one, so that its own retries are safe */
    int64_t limit;          /* matching jobs to deal with at most; 0: all */
    bool dry_run;           /* only count */
};

/* A job that was refused. */
struct joblog_refusal {
    int64_t id;
    int code;                     /* a gRPC status code */
    const char *message, *reason; /* for a person; for programs */
    int32_t retry_after_ms;       /* > 0: worth asking again after this long */
};

/* What became of them. Matched jobs that are neither changed nor refused needed nothing. */
struct joblog_bulk_outcome {
    int64_t matched, changed, refused;
    const struct joblog_refusal *refusals; /* the first ones, at most 20 */
    size_t n_refusals;
};

/* Cancels the pending and running jobs that match, newest first: a pending one at once, the worker of a running one is
 * told to stop. filter must restrict something; its statuses, if any, must be PENDING or RUNNING. Goes on in calls of
 * some hundred jobs; one that fails ends it, and what was done is done. Gives the outcome (joblog_bulk_outcome_free)
 * unless ret_outcome is NULL: with an error that of the calls before, unless there was no memory for any. */
JOBLOG_API int joblog_cancel_jobs(struct joblog_client *client, const struct joblog_filter *filter,
                                  const struct joblog_bulk *bulk, struct joblog_bulk_outcome **ret_outcome,
                                  struct joblog_error *error);
/* Puts failed (and cancelled, if the filter's statuses say so) jobs that match back to PENDING. The rest as above. */
JOBLOG_API int joblog_retry_jobs(struct joblog_client *client, const struct joblog_filter *filter,
                                 const struct joblog_bulk *bulk, struct joblog_bulk_outcome **ret_outcome,
                                 struct joblog_error *error);
JOBLOG_API void joblog_bulk_outcome_free(struct joblog_bulk_outcome *outcome); /* takes NULL */

JOBLOG_END_DECLS

#endif
