/* Watching jobs live. */
#ifndef JOBLOG_WATCH_H
#define JOBLOG_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "joblog/query.h"

JOBLOG_BEGIN_DECLS

struct joblog_watch;

/* Watches one job (BASIC view) from after_revision (0: from now) to its end. Gives the watch (joblog_watch_free). */
JOBLOG_API struct joblog_watch *joblog_watch_job(struct joblog_client *client, int64_t id, int64_t after_revision,
                                                 struct joblog_error *error);
/* The same for an export of the caller's own, as the role exporter may. */
JOBLOG_API struct joblog_watch *joblog_watch_export(struct joblog_client *client, int64_t id, int64_t after_revision,
                                                    struct joblog_error *error);
/* Watches every job that matches. until_final: ends when all that matched are final (needs ids or batch). With more
 * than 390 000 jobs to begin with joblog_watch_next fails: JOBLOG_RESOURCE_EXHAUSTED, reason WATCH_TOO_WIDE. */
JOBLOG_API struct joblog_watch *joblog_watch_jobs(struct joblog_client *client, const struct joblog_filter *filter,
                                                  bool until_final, struct joblog_error *error);
/* Blocks for the next change. 1: *ret_job is the job now, valid until the next call on this watch. 0: the watch has
 * ended (every watched job is final). Negative: failed. A connection that breaks is opened again and the watch resumes
 * where it was: nothing seen is given twice, and the last state of every job is given. Until the first answer that is
 * tried for the client's timeout_ms, afterwards for ever. */
JOBLOG_API int joblog_watch_next(struct joblog_watch *watch, const struct joblog_job **ret_job,
                                 struct joblog_error *error);
/* Of an export that is watched: the size in bytes of its complete file, as the job given last had one; 0: none. On the
 * thread of joblog_watch_next, also after its end. */
JOBLOG_API int64_t joblog_watch_file_size(const struct joblog_watch *watch);
/* Makes joblog_watch_next return -JOBLOG_CANCELLED. Any thread; not from a signal handler. */
JOBLOG_API void joblog_watch_cancel(struct joblog_watch *watch);
JOBLOG_API void joblog_watch_free(struct joblog_watch *watch); /* takes NULL */

/* Blocks until the job is final (timeout_ms 0: for ever). Gives the job, FULL view. */
JOBLOG_API int joblog_wait(struct joblog_client *client, int64_t id, int64_t timeout_ms, struct joblog_job **ret_job,
                           struct joblog_error *error);

JOBLOG_END_DECLS

#endif
