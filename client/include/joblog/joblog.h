/* libjoblog: dispatch jobs, watch them, run them, export tables. The client of Joblog for C.
 *
 *     struct joblog_error error;
 *     struct joblog_client *client = joblog_connect("127.0.0.1:7420", NULL, &error);
 *     struct joblog_spec spec = {.job_name = "send_newsletter", .payload = "{\"list\": 7}"};
 *     int64_t id;
 *     if (!client || joblog_dispatch(client, &spec, &id, &error) < 0)
 *         fprintf(stderr, "%s\n", error.message);
 *
 * Every function that can fail returns 0 or more on success, -code on failure (code: a gRPC status code,
 * JOBLOG_NOT_FOUND and so on) and fills *error, which may be NULL. Texts are NUL-terminated UTF-8. Times are
 * microseconds since 1970 UTC, 0 for "not set"; durations say their unit in their name.
 *
 * Threads: a client may be used by any number of threads at once. Other objects by one thread at a time, except where
 * said. Callbacks run on the thread named in their description.
 *
 * Ownership: *borrows* (valid during the call), *keeps* (must outlive the object), *gives* (the caller frees). */
#ifndef JOBLOG_JOBLOG_H
#define JOBLOG_JOBLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JOBLOG_API __attribute__((visibility("default")))

/* ---- errors ---- */

enum joblog_code {
    JOBLOG_OK = 0,
    JOBLOG_CANCELLED = 1,
    JOBLOG_UNKNOWN = 2,
    JOBLOG_INVALID_ARGUMENT = 3,
    JOBLOG_DEADLINE_EXCEEDED = 4,
    JOBLOG_NOT_FOUND = 5,
    JOBLOG_ALREADY_EXISTS = 6,
    JOBLOG_PERMISSION_DENIED = 7,
    JOBLOG_RESOURCE_EXHAUSTED = 8,
    JOBLOG_FAILED_PRECONDITION = 9,
    JOBLOG_ABORTED = 10,
    JOBLOG_OUT_OF_RANGE = 11,
    JOBLOG_UNIMPLEMENTED = 12,
    JOBLOG_INTERNAL = 13,
    JOBLOG_UNAVAILABLE = 14,
    JOBLOG_DATA_LOSS = 15,
    JOBLOG_UNAUTHENTICATED = 16
};

struct joblog_error {
    enum joblog_code code;
    int32_t retry_after_ms; /* > 0: worth trying again after this long */
    char reason[40];        /* stable, UPPER_SNAKE, such as "LEASE_LOST" */
    char field[64];         /* field of the request at fault, or empty */
    char message[256];      /* for a person */
};

/* "NOT_FOUND" and so on. Static. */
JOBLOG_API const char *joblog_code_name(int code);

/* ---- client ---- */

struct joblog_client;

struct joblog_options {
    const char *actor;  /* who calls, for the audit trail; NULL: user@host:program */
    int64_t timeout_ms; /* of each unary call, retries included; 0: 30000 */
    bool no_retry;      /* do not repeat calls that failed with UNAVAILABLE */
};

/* address: "HOST:PORT" or "unix:PATH"; NULL: $JOBLOG_SERVER, else "127.0.0.1:7420". Does not connect yet: a server that
 * is away is an error of the first call. Borrows options (NULL: defaults). Gives the client (joblog_close). NULL on
 * failure. */
JOBLOG_API struct joblog_client *joblog_connect(const char *address, const struct joblog_options *options,
                                                struct joblog_error *error);
/* After every watch, worker and download of it has been freed. Takes NULL. */
JOBLOG_API void joblog_close(struct joblog_client *client);

/* ---- jobs ---- */

enum joblog_status {
    JOBLOG_PENDING = 1,
    JOBLOG_RUNNING = 2,
    JOBLOG_COMPLETED = 3,
    JOBLOG_FAILED = 4,
    JOBLOG_STATUS_CANCELLED = 5
};

/* "pending" and so on; "unknown" for a number that is none. Static. */
JOBLOG_API const char *joblog_status_name(enum joblog_status status);
/* 0 when name is none. */
JOBLOG_API enum joblog_status joblog_status_parse(const char *name);
static inline bool joblog_status_is_final(enum joblog_status status)
{
    return status >= JOBLOG_COMPLETED;
}

struct joblog_label {
    const char *key, *value;
};

/* What to run. Zero or NULL means the default. All texts are borrowed. */
struct joblog_spec {
    const char *job_name; /* required */
    const char *queue;    /* "default" */
    int priority;         /* -1000 to 1000; higher first */
    const char *source_type, *source_id;
    const char *owner;
    const struct joblog_label *labels;
    size_t n_labels;
    const char *payload;        /* JSON object; "{}" */
    int max_attempts;           /* 1 */
    int64_t initial_backoff_ms; /* 1000 */
    int64_t max_backoff_ms;     /* 600000 */
    double backoff_multiplier;  /* 2 */
    double backoff_jitter;      /* part of the delay that is random, 0 to 1 */
    int64_t run_time_us;        /* not before; 0: at once */
    const char *batch;
    const char *traceparent;
    const char *request_id; /* NULL: the library makes one, so that its own retries are safe */
};

struct joblog_attempt {
    int number;
    const char *worker;
    int64_t start_us, end_us;
    const char *outcome; /* "running", "completed", "failed", "cancelled", "lost", "released" */
    const char *error_type, *error_message, *stack_trace;
};

struct joblog_transition {
    int64_t revision;
    enum joblog_status from, to; /* from 0 for the dispatch */
    int64_t time_us;
    const char *actor, *reason, *request_id;
};

/* A job as the server described it. No text is NULL; absent ones are "". */
struct joblog_job {
    int64_t id;
    const char *job_name, *queue;
    enum joblog_status status;
    int priority;
    const char *source_type, *source_id, *owner, *creator, *batch, *traceparent, *request_id, *worker;
    const struct joblog_label *labels;
    size_t n_labels;
    const char *payload, *result; /* FULL view */
    double percent;
    int64_t done, total;
    const char *unit, *step;
    int64_t eta_us;
    const char *error_type, *error_message, *stack_trace; /* stack_trace: FULL view */
    int attempt, max_attempts;
    int64_t create_us, run_us, start_us, end_us;
    int64_t wait_us, execution_us;
    int64_t revision;
    bool cancel_requested;
    const char *cancel_actor, *cancel_reason;
    const struct joblog_attempt *attempts; /* FULL view */
    size_t n_attempts;
    const struct joblog_transition *transitions; /* FULL view */
    size_t n_transitions;
};

/* Takes NULL. */
JOBLOG_API void joblog_job_free(struct joblog_job *job);

/* Returns once the job is durable. */
JOBLOG_API int joblog_dispatch(struct joblog_client *client, const struct joblog_spec *spec, int64_t *ret_id,
                               struct joblog_error *error);
/* FULL view. Gives the job (joblog_job_free). */
JOBLOG_API int joblog_get(struct joblog_client *client, int64_t id, struct joblog_job **ret_job,
                          struct joblog_error *error);
/* reason may be NULL. Gives the job unless ret_job is NULL. */
JOBLOG_API int joblog_cancel(struct joblog_client *client, int64_t id, const char *reason, struct joblog_job **ret_job,
                             struct joblog_error *error);
JOBLOG_API int joblog_retry(struct joblog_client *client, int64_t id, const char *reason, struct joblog_job **ret_job,
                            struct joblog_error *error);

/* Which jobs: all that is set must hold; within an array any one. All borrowed. */
struct joblog_filter {
    const int64_t *ids;
    size_t n_ids;
    const char *const *job_names;
    size_t n_job_names;
    const char *const *queues;
    size_t n_queues;
    const enum joblog_status *statuses;
    size_t n_statuses;
    const char *source_type, *source_id, *owner, *batch;
    const struct joblog_label *labels;
    size_t n_labels;
    int64_t create_from_us, create_before_us;
};

struct joblog_list {
    struct joblog_job *jobs; /* an array, newest first */
    size_t n_jobs;
    char *next_page_token; /* "" on the last page */
};

/* One page. filter NULL: all; page_size 0: 50; page_token NULL: the first. Gives the list. */
JOBLOG_API int joblog_list_jobs(struct joblog_client *client, const struct joblog_filter *filter, int page_size,
                                const char *page_token, struct joblog_list **ret_list, struct joblog_error *error);
/* With its jobs. Takes NULL. */
JOBLOG_API void joblog_list_free(struct joblog_list *list);

struct joblog_durations {
    int64_t count, average_us, p50_us, p95_us, p99_us;
};

struct joblog_stats_row {
    const char *job_name, *queue;                                       /* "" in the total */
    int64_t pending, running, completed_now, failed_now, cancelled_now; /* jobs by status now */
    int64_t dispatched, completed, failed, cancelled, retried;          /* in the range */
    struct joblog_durations execution, wait;
};

struct joblog_stats {
    struct joblog_stats_row total;
    struct joblog_stats_row *rows;
    size_t n_rows;
    int64_t range_start_us, range_end_us;
};

/* range_ms 0: the last 24 hours. filter: only job_names and queues are looked at; NULL: all. Gives the statistics. */
JOBLOG_API int joblog_get_stats(struct joblog_client *client, const struct joblog_filter *filter, int64_t range_ms,
                                struct joblog_stats **ret_stats, struct joblog_error *error);
JOBLOG_API void joblog_stats_free(struct joblog_stats *stats); /* takes NULL */

struct joblog_status_info {
    enum joblog_status status;
    const char *name, *label, *color, *icon;
};

/* The catalogue of statuses in a language ("es"; NULL: "en"). Gives an array of *ret_n (joblog_statuses_free). */
JOBLOG_API int joblog_list_statuses(struct joblog_client *client, const char *language,
                                    struct joblog_status_info **ret_statuses, size_t *ret_n,
                                    struct joblog_error *error);
JOBLOG_API void joblog_statuses_free(struct joblog_status_info *statuses); /* takes NULL */

/* ---- watching ---- */

struct joblog_watch;

/* Watches one job (BASIC view) from after_revision (0: from now) to its end. Gives the watch (joblog_watch_free). */
JOBLOG_API struct joblog_watch *joblog_watch_job(struct joblog_client *client, int64_t id, int64_t after_revision,
                                                 struct joblog_error *error);
/* Watches every job that matches. until_final: ends when all that matched are final (needs ids or batch). */
JOBLOG_API struct joblog_watch *joblog_watch_jobs(struct joblog_client *client, const struct joblog_filter *filter,
                                                  bool until_final, struct joblog_error *error);
/* Blocks for the next change. 1: *ret_job is the job now, valid until the next call on this watch. 0: the watch has
 * ended (every watched job is final). Negative: failed. A connection that breaks is opened again and the watch resumes
 * where it was; nothing seen is given twice, no transition is left out. */
JOBLOG_API int joblog_watch_next(struct joblog_watch *watch, const struct joblog_job **ret_job,
                                 struct joblog_error *error);
/* Makes joblog_watch_next return -JOBLOG_CANCELLED. Any thread; from a signal handler through a thread only. */
JOBLOG_API void joblog_watch_cancel(struct joblog_watch *watch);
JOBLOG_API void joblog_watch_free(struct joblog_watch *watch); /* takes NULL */

/* Blocks until the job is final (timeout_ms 0: for ever). Gives the job, FULL view. */
JOBLOG_API int joblog_wait(struct joblog_client *client, int64_t id, int64_t timeout_ms, struct joblog_job **ret_job,
                           struct joblog_error *error);

/* ---- running jobs ---- */

/* A job that runs, in the hands of its handler. Used by the handler's thread; joblog_job_cancelled by any. */
struct joblog_context;

/* The job as it was leased, FULL view. Borrowed from the context. */
JOBLOG_API const struct joblog_job *joblog_job_info(const struct joblog_context *context);
JOBLOG_API void joblog_job_set_step(struct joblog_context *context, const char *step);
/* total 0: unknown. unit may be NULL. */
JOBLOG_API void joblog_job_set_progress(struct joblog_context *context, int64_t done, int64_t total, const char *unit);
JOBLOG_API void joblog_job_set_percent(struct joblog_context *context, double percent);
/* Merges a JSON object into the payload. -JOBLOG_INVALID_ARGUMENT when it is none. */
JOBLOG_API int joblog_job_merge_payload(struct joblog_context *context, const char *json_object,
                                        struct joblog_error *error);
/* A cancel was asked for, or the lease is lost: stop soon and return joblog_job_fail(...) or any negative number. */
JOBLOG_API bool joblog_job_cancelled(const struct joblog_context *context);
/* JSON value kept as the job's result. Copied. */
JOBLOG_API int joblog_job_set_result(struct joblog_context *context, const char *json, struct joblog_error *error);
/* Records an error with the present backtrace, and returns -1 for `return joblog_job_fail(context, "SmtpTimeout", …)`.
 */
JOBLOG_API int joblog_job_fail(struct joblog_context *context, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, and no further attempt is made. */
JOBLOG_API int joblog_job_fail_for_good(struct joblog_context *context, const char *type, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Runs one job. 0: completed. Negative: failed (with the error of joblog_job_fail, or a general one), or cancelled when
 * joblog_job_cancelled was true. Runs on a thread of the worker's pool; several at once. */
typedef int joblog_handler(struct joblog_context *context, void *user);

/* Hooks, on the thread that ran the job, after the server has accepted the end. status: COMPLETED, FAILED, CANCELLED,
 * or PENDING for a retry. job: as it was leased. */
typedef void joblog_hook(void *user, const struct joblog_job *job, enum joblog_status status);

struct joblog_worker;

struct joblog_worker_options {
    const char *name; /* NULL: host:pid */
    const char *version;
    const char *const *queues; /* none: "default" */
    size_t n_queues;
    int concurrency;          /* jobs at once, each on a thread; 0: 1 */
    joblog_hook *on_finished; /* may be NULL */
    void *hook_user;
};

/* Keeps client. Borrows options (NULL: defaults). Gives the worker (joblog_worker_free). */
JOBLOG_API struct joblog_worker *joblog_worker_new(struct joblog_client *client,
                                                   const struct joblog_worker_options *options,
                                                   struct joblog_error *error);
/* Before run. job_name NULL: every job name of the queues. */
JOBLOG_API int joblog_worker_handle(struct joblog_worker *worker, const char *job_name, joblog_handler *handler,
                                    void *user, struct joblog_error *error);
/* Runs until joblog_worker_stop, then finishes what runs and returns 0. Reconnects by itself with back-off, for ever.
 * Negative: the server refused the worker (bad options). */
JOBLOG_API int joblog_worker_run(struct joblog_worker *worker, struct joblog_error *error);
/* Drain: takes no more jobs, gives back what has not started, lets what runs end. Any thread, and signal handlers. */
JOBLOG_API void joblog_worker_stop(struct joblog_worker *worker);
/* SIGTERM and SIGINT call joblog_worker_stop. For programs that are nothing but a worker. */
JOBLOG_API int joblog_worker_stop_on_signals(struct joblog_worker *worker, struct joblog_error *error);
JOBLOG_API void joblog_worker_free(struct joblog_worker *worker); /* takes NULL */

/* Runs callback now, on this thread, and logs it as a job: makes the record, marks it running, keeps its lease alive,
 * completes it with the result that the callback set, or marks it failed with the error and a backtrace. Returns what
 * the callback returned (0: completed), or -code when the record could not be made (the callback has then not run).
 * Gives the job as it ended unless ret_job is NULL. */
JOBLOG_API int joblog_run_logged(struct joblog_client *client, const struct joblog_spec *spec, joblog_handler *callback,
                                 void *user, struct joblog_job **ret_job, struct joblog_error *error);

/* ---- exports ---- */

struct joblog_export_filter {
    const char *field;
    const char *op; /* "", "equals", "in", "contains", "at_least", "at_most", "search" */
    const char *const *values;
    size_t n_values;
};

struct joblog_export_spec {
    const char *export_type; /* required */
    const struct joblog_export_filter *filters;
    size_t n_filters;
    const char *format;    /* "csv" */
    const char *file_name; /* NULL: made of the type and the date */
    const char *request_id;
};

struct joblog_export {
    struct joblog_job job; /* BASIC view */
    const char *export_type, *title;
    bool has_file; /* the file is complete */
    const char *file_name, *content_type, *sha256;
    int64_t size, rows, expire_us;
};

/* Gives the export. Its texts and job belong to it. Takes NULL. */
JOBLOG_API void joblog_export_free(struct joblog_export *export_);
/* message (may be NULL): gives the server's words for the person who asked (free with free()). */
JOBLOG_API int joblog_export_start(struct joblog_client *client, const struct joblog_export_spec *spec,
                                   struct joblog_export **ret_export, char **ret_message, struct joblog_error *error);
JOBLOG_API int joblog_export_get(struct joblog_client *client, int64_t id, struct joblog_export **ret_export,
                                 struct joblog_error *error);
JOBLOG_API int joblog_export_cancel(struct joblog_client *client, int64_t id, const char *reason,
                                    struct joblog_error *error);

struct joblog_export_list {
    struct joblog_export *exports;
    size_t n_exports;
    char *next_page_token;
};
JOBLOG_API int joblog_export_list_own(struct joblog_client *client, int page_size, const char *page_token,
                                      struct joblog_export_list **ret_list, struct joblog_error *error);
JOBLOG_API void joblog_export_list_free(struct joblog_export_list *list); /* takes NULL */

struct joblog_export_type {
    const char *name, *title;
    const char *const *columns; /* titles */
    size_t n_columns;
    const char *const *filters; /* "search (search)", "department (equals, in)" */
    size_t n_filters;
};
/* Gives an array of *ret_n (joblog_export_types_free). */
JOBLOG_API int joblog_export_types(struct joblog_client *client, struct joblog_export_type **ret_types, size_t *ret_n,
                                   struct joblog_error *error);
JOBLOG_API void joblog_export_types_free(struct joblog_export_type *types); /* takes NULL */

/* Called with each piece, in order, on the calling thread. Not 0 stops the download with -JOBLOG_ABORTED. */
typedef int joblog_download_sink(void *user, const void *data, size_t len, int64_t offset, int64_t total);
/* Downloads a finished export from offset (0: the start). Checks the CRC of every piece and, from offset 0, the SHA-256
 * of the whole: -JOBLOG_DATA_LOSS when one is wrong. Resumes by itself after a cut. Gives the export unless ret_export
 * is NULL. */
JOBLOG_API int joblog_export_download(struct joblog_client *client, int64_t id, int64_t offset,
                                      joblog_download_sink *sink, void *user, struct joblog_export **ret_export,
                                      struct joblog_error *error);
/* The same into a file: through PATH.part, which is resumed when it is there, and renamed when all is checked. */
JOBLOG_API int joblog_export_save(struct joblog_client *client, int64_t id, const char *path,
                                  struct joblog_export **ret_export, struct joblog_error *error);

#ifdef __cplusplus
}
#endif

#endif
