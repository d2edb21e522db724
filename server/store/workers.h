/* Commands of the store about workers' sessions, of whatever replica. Reader threads run them. */
#ifndef STORE_WORKERS_H
#define STORE_WORKERS_H

#include "store/store.h"

struct worker_info {
    int64_t session_id, pid;
    int32_t replica, credit;
    int64_t start_us, expire_us;
    struct span worker, version, host;
    struct span queues, job_names; /* a line each; job_names empty: all */
    struct cancel_request drain;   /* time_us 0: nobody asked it to */
    struct cancel_request pause;   /* time_us 0: it is not paused */
    int64_t n_jobs;                /* that it runs */
    struct span job_ids;           /* of the first 100, with spaces between */
};

/* A page in the order of session ids. Empty texts do not restrict. */
struct store_worker_list {
    struct store_cmd cmd;
    int64_t after_id;
    int32_t limit;
    struct span worker, host, version, queue;
    struct arena *arena;
    /* out */
    struct worker_info *workers;
    size_t n_workers;
    bool more;
};

/* Asks sessions to drain (STORE_WORKER_DRAIN), pauses workers (STORE_WORKER_PAUSE) or lets them go on
 * (STORE_WORKER_RESUME); their streams are told within a second. Empty parts do not restrict. A drain passes over the
 * server's own workers: -FAILED_PRECONDITION, reason SERVER_WORKER, where no others are meant. A pause means them only
 * where their sessions or names are given. */
struct store_worker_ask {
    struct store_cmd cmd;
    const int64_t *session_ids;
    size_t n_session_ids;
    struct span worker, host, version;
    struct span actor, reason;
    struct arena *arena;
    /* out */
    int64_t *asked;
    size_t n_asked;
};

/* Has somebody asked it to? Any thread; its wake tag has been posted then. */
bool store_session_must_leave(const struct store_session *session);
/* Is its worker paused? Likewise; posted at its end too. */
bool store_session_is_paused(const struct store_session *session);

#endif
