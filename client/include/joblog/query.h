/* Many jobs: filters, lists, statistics, the catalogue of statuses. */
#ifndef JOBLOG_QUERY_H
#define JOBLOG_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joblog/job.h"

JOBLOG_BEGIN_DECLS

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

JOBLOG_END_DECLS

#endif
