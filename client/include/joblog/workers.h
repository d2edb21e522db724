/* Workers that are connected, of whatever replica, for operators. */
#ifndef JOBLOG_WORKERS_H
#define JOBLOG_WORKERS_H

#include <stddef.h>
#include <stdint.h>

#include "joblog/client.h"

JOBLOG_BEGIN_DECLS

/* A worker that is connected. No text is NULL. */
struct joblog_worker_info {
    int64_t session_id, pid;
    const char *name, *version, *host;
    const char *const *queues;
    size_t n_queues;
    const char *const *job_names; /* none: all */
    size_t n_job_names;
    int credit;             /* what it could still take, as of last_seen_us */
    int64_t n_running;      /* jobs that it runs */
    const int64_t *job_ids; /* the first hundred of them */
    size_t n_job_ids;
    int64_t start_us;     /* when it connected */
    int64_t last_seen_us; /* its last sign of life, to within a third of the lease time-out */
    int replica;
    int64_t drain_us; /* when it was asked to drain; 0: it was not */
    const char *drain_actor, *drain_reason;
    int64_t pause_us; /* since when it is paused; 0: it is not */
    const char *pause_actor, *pause_reason;
};

/* Which workers; what is NULL or 0 does not restrict. */
struct joblog_worker_filter {
    const char *name, *host, *version;
    const char *queue;          /* of joblog_list_workers only */
    const int64_t *session_ids; /* not of joblog_list_workers */
    size_t n_session_ids;
};

struct joblog_worker_list {
    const struct joblog_worker_info *workers;
    size_t n_workers;
    const char *next_page_token; /* "": this is the last page */
};

/* A page in the order of sessions. filter and page_token may be NULL, page_size 0. Gives the list
 * (joblog_worker_list_free). For administrators. */
JOBLOG_API int joblog_list_workers(struct joblog_client *client, const struct joblog_worker_filter *filter,
                                   int page_size, const char *page_token, struct joblog_worker_list **ret_list,
                                   struct joblog_error *error);
JOBLOG_API void joblog_worker_list_free(struct joblog_worker_list *list); /* takes NULL */

/* Asks workers to take no more jobs, finish what runs, and leave; filter must restrict. reason may be NULL. Returns how
 * many have been asked; their first max sessions are in ret_sessions (NULL: not wanted). For administrators. */
JOBLOG_API int joblog_drain_workers(struct joblog_client *client, const struct joblog_worker_filter *filter,
                                    const char *reason, int64_t *ret_sessions, size_t max, struct joblog_error *error);
/* Workers get no more jobs until they are resumed, and finish what runs; connecting again changes nothing in that. The
 * rest as above; the server's own workers, which make exports, are left out where neither a name nor sessions are
 * given. joblog_resume_workers returns how many of those that are connected were paused. For administrators. */
JOBLOG_API int joblog_pause_workers(struct joblog_client *client, const struct joblog_worker_filter *filter,
                                    const char *reason, int64_t *ret_sessions, size_t max, struct joblog_error *error);
JOBLOG_API int joblog_resume_workers(struct joblog_client *client, const struct joblog_worker_filter *filter,
                                     int64_t *ret_sessions, size_t max, struct joblog_error *error);

JOBLOG_END_DECLS

#endif
