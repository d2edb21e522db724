/* Commands of the store about what jobs log. Writing is a part of the writer's batches and of their commit; reading is
 * done by a reader's thread. */
#ifndef STORE_JOB_LOG_H
#define STORE_JOB_LOG_H

#include "store/store.h"

enum {
    LOG_LINE_EXTRA = 32 /* what a line counts beside its text: its row is no smaller */
};

/* Numbers equal joblog.v1.LogLevel and those of the database. */
enum log_line_level { LOG_LINE_DEBUG = 1, LOG_LINE_INFO, LOG_LINE_WARNING, LOG_LINE_ERROR };

struct log_line {
    int64_t sequence; /* of what is read, as is attempt */
    int32_t attempt;
    enum log_line_level level;
    int64_t time_us; /* 0: when the batch is */
    struct span text;
};

/* Adds lines to the log of a job that runs; done is posted after the commit. LEASE_LOST as for a progress report. A
 * lease that belongs to no session is renewed. Lines that find no room are counted, not kept. */
struct store_log_write {
    struct store_cmd cmd;
    int64_t job_id, token;
    const struct job_scope *scope; /* of the caller; NULL: everything */
    const struct log_line *lines;
    size_t n_lines;
    struct arena *arena; /* for out texts; may be NULL */
    /* out */
    struct cancel_request cancel; /* time_us != 0: should stop */
};

/* A page of a log, and how the job stood before it was read: what a job that had ended then has logged is all there.
 * NOT_FOUND. */
struct store_log_read {
    struct store_cmd cmd;
    int64_t job_id;
    const struct job_scope *scope; /* NULL: everything */
    int64_t after;                 /* sequence; in and out: with tail, where that begins */
    int32_t attempt;               /* 0: all */
    enum log_line_level min_level;
    int32_t tail; /* begin with so many lines of the end; 0: at after */
    int32_t limit;
    struct arena *arena;
    /* out */
    enum job_status status;
    int32_t job_attempt;
    struct log_line *lines;
    size_t n_lines;
    int64_t dropped; /* lines at the end of the log that are not kept */
};

#endif
