/* Many jobs: filters, lists, statistics, the catalogue of statuses. */
#ifndef JOBLOG_QUERY_H
#define JOBLOG_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joblog/job.h"

JOBLOG_BEGIN_DECLS

/* A value within a payload. equals NULL and contains NULL: any value but null. Texts as case has them. */
struct joblog_payload_match {
    const char *path; /* keys and subscripts with dots between: "items.0.sku" */
    const char *equals, *contains;
};

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
    int64_t create_from_us, create_before_us; /* cut to milliseconds, as create_time_us of a job is */
    const char *const *error_types;           /* of the last error */
    size_t n_error_types;
    const char *error_text; /* within its message */
    /* A list looks for these among the jobs that fit the rest, so that pages may be short or empty. */
    const struct joblog_payload_match *payload;
    size_t n_payload;
    int64_t start_from_us, start_before_us, end_from_us, end_before_us;
};

enum joblog_order { JOBLOG_NEWEST_FIRST = 1, JOBLOG_OLDEST_FIRST = 2 }; /* by the time of dispatch */

struct joblog_list {
    struct joblog_job *jobs; /* an array, in order */
    size_t n_jobs;           /* may be none, and yet there are further pages */
    char *next_page_token;   /* "" on the last page */
};

/* One page. filter NULL: all; page_size 0: 50; page_token NULL: the first. Gives the list. */
JOBLOG_API int joblog_list_jobs(struct joblog_client *client, const struct joblog_filter *filter, int page_size,
                                const char *page_token, struct joblog_list **ret_list, struct joblog_error *error);
/* The same in an order; a page token is one of its filter and order. */
JOBLOG_API int joblog_list_jobs_in_order(struct joblog_client *client, const struct joblog_filter *filter,
                                         enum joblog_order order, int page_size, const char *page_token,
                                         struct joblog_list **ret_list, struct joblog_error *error);
/* With its jobs. Takes NULL. */
JOBLOG_API void joblog_list_free(struct joblog_list *list);

struct joblog_durations {
    int64_t count, average_us, p50_us, p95_us, p99_us;
};

struct joblog_stats_row {
    const char *job_name, *queue;                                       /* "" in the total */
    int64_t pending, running, completed_now, failed_now, cancelled_now; /* jobs by status now */
    int64_t dispatched, completed, failed, cancelled;                   /* in the range */
    int64_t retried; /* attempts that failed or were lost and are followed by another */
    struct joblog_durations execution, wait;
    double throughput;        /* jobs completed a second */
    double failure_rate;      /* 0 to 1 */
    int64_t waiting_since_us; /* since when the jobs that wait could run; 0: none waits */
};

/* A part of the range, all names and queues together. */
struct joblog_stats_bucket {
    int64_t start_us;
    int64_t dispatched, completed, failed, cancelled, retried;
    struct joblog_durations execution, wait;
};

enum joblog_stats_part { JOBLOG_PARTS_NONE, JOBLOG_PARTS_MINUTE, JOBLOG_PARTS_HOUR, JOBLOG_PARTS_DAY };

struct joblog_stats_query {
    const struct joblog_filter *filter; /* only job_names and queues are looked at; NULL: all */
    int64_t range_ms;                   /* 0: 24 hours */
    int64_t range_end_us;               /* 0: now */
    enum joblog_stats_part parts;
};

struct joblog_stats {
    struct joblog_stats_row total;
    struct joblog_stats_row *rows;
    size_t n_rows;
    int64_t range_start_us, range_end_us;
    struct joblog_stats_bucket *buckets; /* in order; none when no parts were asked for */
    size_t n_buckets;
    int64_t workers; /* that are alive and serve what was asked for; not the server's own, unless their queue was */
};

/* range_ms 0: the last 24 hours. filter: only job_names and queues are looked at; NULL: all. Gives the statistics. */
JOBLOG_API int joblog_get_stats(struct joblog_client *client, const struct joblog_filter *filter, int64_t range_ms,
                                struct joblog_stats **ret_stats, struct joblog_error *error);
/* The same with the range in parts, or that ends at another time. */
JOBLOG_API int joblog_query_stats(struct joblog_client *client, const struct joblog_stats_query *query,
                                  struct joblog_stats **ret_stats, struct joblog_error *error);
JOBLOG_API void joblog_stats_free(struct joblog_stats *stats); /* takes NULL */

/* Which records to delete. All borrowed. */
struct joblog_cleanup {
    const char *const *job_names; /* none: all */
    size_t n_job_names;
    const char *const *queues; /* none: all */
    size_t n_queues;
    const enum joblog_status *statuses; /* final ones; none: all three */
    size_t n_statuses;
    int64_t older_than_ms;  /* those that ended at least this long ago */
    int limit;              /* a call; 0: 10 000 */
    bool dry_run;           /* only counts */
    const char *page_token; /* NULL: from the oldest */
};

struct joblog_cleaned {
    int64_t completed, failed, cancelled; /* records that were deleted, or would be */
    char *next_page_token;                /* "" when there is nothing more */
};

/* Deletes a part of the records of jobs that have ended, oldest first; go on with next_page_token. For administrators.
 * Gives the counts (joblog_cleaned_free). */
JOBLOG_API int joblog_cleanup(struct joblog_client *client, const struct joblog_cleanup *cleanup,
                              struct joblog_cleaned **ret_cleaned, struct joblog_error *error);
JOBLOG_API void joblog_cleaned_free(struct joblog_cleaned *cleaned); /* takes NULL */

struct joblog_status_info {
    enum joblog_status status;
    const char *name, *label, *color, *icon;
};

/* The catalogue of statuses in a language ("es"; NULL: "en"). Gives an array of *ret_n (joblog_statuses_free). */
JOBLOG_API int joblog_list_statuses(struct joblog_client *client, const char *language,
                                    struct joblog_status_info **ret_statuses, size_t *ret_n,
                                    struct joblog_error *error);
JOBLOG_API void joblog_statuses_free(struct joblog_status_info *statuses); /* takes NULL */

JOBLOG_END_DECLS

#endif
