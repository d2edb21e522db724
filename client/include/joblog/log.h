/* The log of a job: reading it, also while it is written. Writing it is joblog/worker.h's. */
#ifndef JOBLOG_LOG_H
#define JOBLOG_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "joblog/client.h"

JOBLOG_BEGIN_DECLS

enum joblog_log_level { JOBLOG_LOG_DEBUG = 1, JOBLOG_LOG_INFO, JOBLOG_LOG_WARNING, JOBLOG_LOG_ERROR };

/* "debug" and so on; "unknown" for a number that is none. */
JOBLOG_API const char *joblog_log_level_name(enum joblog_log_level level);

struct joblog_log_line {
    int64_t sequence; /* from 1, over all attempts */
    int attempt;
    enum joblog_log_level level;
    int64_t time_us;
    const char *text; /* may hold line breaks */
};

struct joblog_log_options {
    int64_t after_sequence;          /* only lines after this one */
    int attempt;                     /* only of this attempt; 0: of all */
    enum joblog_log_level min_level; /* 0: every level */
    int tail;                        /* of what is there, only so many lines from the end; 0: all */
    bool follow;                     /* goes on until the job is final, or the attempt has ended */
};

struct joblog_log;

/* Borrows options (NULL: defaults). Gives the reading (joblog_log_free). */
JOBLOG_API struct joblog_log *joblog_log_open(struct joblog_client *client, int64_t id,
                                              const struct joblog_log_options *options, struct joblog_error *error);
/* Blocks for the next line. 1: *ret_line, valid until the next call. 0: that was all. Negative: failed. A connection
 * that breaks is opened again, as in joblog_watch_next; no line is given twice. */
JOBLOG_API int joblog_log_next(struct joblog_log *log, const struct joblog_log_line **ret_line,
                               struct joblog_error *error);
/* So many lines at the end of the log were not kept, because it had become too long; as far as is known by now. */
JOBLOG_API int64_t joblog_log_dropped(const struct joblog_log *log);
/* Makes joblog_log_next return -JOBLOG_CANCELLED. Any thread; not from a signal handler. */
JOBLOG_API void joblog_log_cancel(struct joblog_log *log);
JOBLOG_API void joblog_log_free(struct joblog_log *log); /* takes NULL */

JOBLOG_END_DECLS

#endif
