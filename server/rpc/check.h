/* Requests at the door: every limit that the .proto states, and the domain value of what passes. Texts of the result
 * point into the message; arrays are made in the arena. Each returns 0, or INVALID_ARGUMENT naming the field (prefix in
 * front: "job.", "filter.", "writes[3].complete."), or RESOURCE_EXHAUSTED when out of memory. Pure, any thread. */
#ifndef RPC_CHECK_H
#define RPC_CHECK_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "core/job.h"
#include "joblog/v1/job.pb-c.h"
#include "joblog/v1/job_log.pb-c.h"
#include "joblog/v1/worker.pb-c.h"
#include "rpc/convert.h"
#include "store/job_log.h"

enum {
    NAME_MAX_BYTES = 200, /* names, ids of sources, owners, batches, label values */
    REASON_MAX_BYTES = 500,
    REQUEST_ID_MAX_BYTES = 128,
    JSON_MAX_BYTES = 256 * 1024,
    PAGE_MAX = 1000,
    PAGE_DEFAULT = 50,
    FILTER_VALUES_MAX = 100,
    PAYLOAD_MATCHES_MAX = 10,
    HELLO_VALUES_MAX = 1000,
    LOG_LINES_MAX = 1000,
    LOG_TEXT_MAX_BYTES = 16 * 1024,
    LOG_BYTES_MAX = 256 * 1024
};

/* At most max bytes; ret may be NULL. */
int check_text(const char *text, size_t max, const char *prefix, const char *name, struct span *ret,
               struct err *ret_err);
/* The same, and not empty. */
int check_name(const char *text, size_t max, const char *prefix, const char *name, struct span *ret,
               struct err *ret_err);
/* n of them, none empty. */
int check_names(char *const *texts, size_t n, size_t max_n, const char *prefix, const char *name, struct arena *arena,
                const struct span **ret, struct err *ret_err);
/* Names that begin with "joblog." are the server's own: whose jobs run within it nobody else dispatches or runs. */
int check_not_reserved(struct span text, const char *prefix, const char *name, struct err *ret_err);
int check_id(int64_t id, const char *name, struct err *ret_err);
int check_view(Joblog__V1__JobView view, enum job_view *ret_view, struct err *ret_err);
/* 0 means PAGE_DEFAULT, above PAGE_MAX means PAGE_MAX. */
int check_page_size(int32_t page_size, int32_t *ret_limit, struct err *ret_err);

/* NULL (absent) gives 0. Times before 1970 give 1. */
int check_time(const Google__Protobuf__Timestamp *time, const char *prefix, const char *name, int64_t *ret_us,
               struct err *ret_err);
/* Not negative, at most max_us. NULL (absent) gives absent_us. */
int check_duration(const Google__Protobuf__Duration *duration, int64_t absent_us, int64_t max_us, const char *prefix,
                   const char *name, int64_t *ret_us, struct err *ret_err);

/* Field "job" of a request; fills what a dispatch needs but for creator and request_id. Labels are sorted by key. */
int check_job_spec(const Joblog__V1__JobSpec *spec, struct arena *arena, struct job *ret_job, struct err *ret_err);
/* What becomes of a dispatch of a spec that has passed; 0: it has no unique key. */
static inline enum unique_conflict check_on_conflict(const Joblog__V1__JobSpec *spec)
{
    return !spec->unique_key                   ? (enum unique_conflict)0
           : spec->unique_key->on_conflict > 0 ? (enum unique_conflict)spec->unique_key->on_conflict
                                               : UNIQUE_REJECT;
}
/* Field "filter"; NULL: no restriction. */
int check_filter(const Joblog__V1__JobFilter *filter, struct arena *arena, struct job_filter *ret_filter,
                 struct err *ret_err);

/* What a worker writes. */
struct progress_write {
    bool has_progress;
    struct job_progress progress;
    struct span payload_patch;
};
/* write NULL: nothing to record. */
int check_progress(const Joblog__V1__ProgressWrite *write, const char *prefix, struct progress_write *ret,
                   struct err *ret_err);
/* write NULL: no result. */
int check_complete(const Joblog__V1__CompleteWrite *write, const char *prefix, struct span *ret_result,
                   struct err *ret_err);
/* write NULL: no lines. */
int check_log(const Joblog__V1__LogWrite *write, const char *prefix, struct err *ret_err);
/* A line of a write that has passed; its text points into the message. */
struct log_line check_log_line(const Joblog__V1__LogLine *line);
/* What is to be read: 0 stands for every level. */
int check_log_level(Joblog__V1__LogLevel level, const char *prefix, const char *name, struct err *ret_err);
/* A stack trace over 64 KiB is cut. */
int check_fail(const Joblog__V1__FailWrite *write, const char *prefix, struct job_error *ret_error,
               struct err *ret_err);

#endif
