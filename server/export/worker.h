/* One worker of the export engine: a thread with a session of the store. Private to server/export. */
#ifndef EXPORT_WORKER_H
#define EXPORT_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "export/askers.h"
#include "export/check.h"
#include "export/chunk_store.h"
#include "export/export.h"

struct exports {
    struct export_options options;
    pthread_mutex_t lock; /* of types and turns */
    struct export_types *types;
    size_t n_unchecked;                              /* of these types; the keeper's once it runs */
    atomic_bool reload_wanted;                       /* the keeper is to read the types again */
    struct export_halt halt;                         /* of the keeper's work, and of the check before it starts */
    struct export_turn *turns;                       /* of owners; the first of an owner has come */
    struct chunk_store stores[EXPORT_STORAGE_COUNT]; /* by enum export_storage; one without a uri is not there */
    const struct chunk_store *chunks;                /* where new files go */
    struct export_idle *files, *sources; /* connections that rest: that have written files, that have read rows */
    struct export_askers *askers;
    struct export_worker *workers;
    unsigned n_started;
    pthread_t keeper;
    bool keeper_started;
    int keeper_fd; /* eventfd: wakes the keeper */
    atomic_bool stopping;
};

/* A command of the store that the worker waits for. */
struct worker_event {
    struct tag tag;
    struct export_worker *worker;
    bool done; /* under the worker's lock */
};

/* Why an attempt must stop. */
enum worker_stop { WORKER_GOES_ON, WORKER_CANCELLED, WORKER_LOST, WORKER_SHUTS_DOWN };

struct export_worker {
    struct exports *exports;
    unsigned number;
    pthread_t thread;
    pthread_mutex_t lock; /* for the flags of events: who posts holds it, so that nothing is freed under the post */
    int wake_fd;          /* eventfd: the session, events and export_stop write it */
    struct tag wake;      /* of the session */
    struct store_session *session;

    /* the attempt under way */
    int64_t job_id, token;
    enum worker_stop stop;
    int64_t tick_us; /* when the last tick looked around */
    struct job_progress progress;
    int64_t since_us;  /* of progress: when its rows began to come; 0: they have not */
    bool progress_new; /* not sent yet */
    int64_t progress_us;
    bool progress_busy;
    struct store_progress progress_cmd;
    struct worker_event progress_event;
    struct arena progress_arena;
};

int export_worker_start(struct export_worker *worker, struct exports *exports, unsigned number, struct err *ret_err);
/* Any thread, after exports->stopping was set. */
void export_worker_wake(struct export_worker *worker);
void export_worker_join(struct export_worker *worker);

/* ---- for the attempt; on the worker's thread ---- */

/* Submits and waits. 0 or -code as in cmd->err. */
int export_worker_run(struct export_worker *worker, struct store_cmd *cmd);
/* Looks around when it has not for a while: cancels, lost leases, shutdown; sends progress that is due; tells the store
 * that it lives. 0, or -CANCELLED once the attempt must stop (stop says why). user: the worker. For
 * pg_copy_options.tick. */
int export_worker_tick(void *user);
/* Takes the progress of the attempt; sent by a tick, at most ten times a second. */
void export_worker_progress(struct export_worker *worker, const char *step, int64_t done, int64_t total);

#endif
