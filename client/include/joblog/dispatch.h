/* Many jobs at once. */
#ifndef JOBLOG_DISPATCH_H
#define JOBLOG_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joblog/job.h"

JOBLOG_BEGIN_DECLS

/* What became of one job. No text is NULL. */
struct joblog_outcome {
    int64_t id;              /* 0 when it was refused */
    bool replayed, existing; /* the job was there before: by the request id, by the unique key */
    int code;                /* a gRPC status code; JOBLOG_OK when the job is durable */
    const char *message, *reason, *field;
    int32_t retry_after_ms; /* > 0: worth sending it again after this long */
};

/* Dispatches n jobs over one stream, and returns once all that were taken are durable. A job that is refused hurts only
 * itself: look at the outcomes. A stream that is cut is opened again within the client's timeout_ms, and what was not
 * answered is sent again under the same request ids. -code: the rest was not answered, and *ret_n_done jobs were.
 * Borrows specs. Gives an array of *ret_n_done outcomes, in the order of specs, in either case (joblog_outcomes_free).
 */
JOBLOG_API int joblog_dispatch_many(struct joblog_client *client, const struct joblog_spec *specs, size_t n,
                                    struct joblog_outcome **ret_outcomes, size_t *ret_n_done,
                                    struct joblog_error *error);
JOBLOG_API void joblog_outcomes_free(struct joblog_outcome *outcomes); /* takes NULL */

JOBLOG_END_DECLS

#endif
