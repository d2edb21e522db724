/* A job in the hands of its handler: what it reports, whether it should stop, how it ended. Shared by the worker and by
 * joblog_run_logged, which differ only in what `changed` does. */
#ifndef CLIENT_CONTEXT_H
#define CLIENT_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "client_priv.h"
#include "joblog/worker.h"

enum {
    /* The limits of the contract; longer texts are cut, so that a report is never refused for its length. */
    STEP_SIZE = 500 + 1,
    UNIT_SIZE = 50 + 1,
    ERROR_TYPE_MAX = 200,
    ERROR_MESSAGE_MAX = 16 * 1024,
    STACK_TRACE_MAX = 64 * 1024,
    RESULT_MAX = 256 * 1024,
    PAYLOAD_MAX = 256 * 1024,
    SNOOZE_REASON_MAX = 500,
    /* A job reports at most this often; what comes between is conflated, the last values are always sent. */
    PROGRESS_INTERVAL_US = 50000
};

#define SNOOZE_MAX_MS (INT64_C(30) * 24 * 3600 * 1000)

struct context_progress {
    bool is_news; /* since it was taken last */
    int64_t done, total;
    double percent;
    char unit[UNIT_SIZE], step[STEP_SIZE];
};

struct log_chunk;

struct joblog_context {
    struct joblog_job job;
    struct joblog_client *client;
    char key[40];
    int n_children;       /* dispatched by this attempt */
    atomic_bool orphaned; /* its worker is freed, and the client may be */
    /* Something is to be reported. On the handler's thread, without the lock. */
    void (*changed)(struct joblog_context *context);

    atomic_bool cancelled;
    pthread_mutex_t lock; /* guards what follows, up to the handler's own */
    pthread_cond_t wake;  /* cancelled has become true */
    bool cancel_asked;    /* by a person, rather than the lease being lost */
    bool dirty;           /* progress has not been taken since it changed */
    bool beat;            /* it is to be said that it lives */
    struct context_progress progress;
    char *patch;           /* of the payload, not taken yet (patch.h); NULL: none */
    struct log_chunk *log; /* oldest first (context_log.h) */
    int64_t log_bytes, log_dropped;

    /* The handler's thread only, until it has returned. */
    char *result;
    bool failed, no_retry, snoozed;
    int64_t snooze_ms;
    char *snooze_reason;
    bool may_snooze; /* it is a worker's: kept over context_clear */
    bool may_end;    /* by joblog_job_end; likewise */
    char *error_type, *error_message, *stack_trace;
};

/* Once; context is zeroed memory. Keeps client. False when out of resources. */
bool context_init(struct joblog_context *context, struct joblog_client *client,
                  void (*changed)(struct joblog_context *context));
void context_done(struct joblog_context *context);
/* Back to the state before a job: frees what the last one left. */
void context_clear(struct joblog_context *context);

/* Any thread. asked: there is a CancelRequest. */
void context_cancel(struct joblog_context *context, bool asked);
/* Before the handler. */
void context_begin(struct joblog_context *context);
/* After it: true when the job is completed. When not, the error texts are set unless it was cancelled. */
bool context_returned(struct joblog_context *context, int returned);
/* Calls the handler, between the two. */
bool context_run(struct joblog_context *context, joblog_handler *handler, void *user, int *ret_returned);
/* A copy of at most max bytes, cut where a character ends, bytes that are no UTF-8 turned into "?" (mem_free). NULL:
 * out of memory. */
char *context_text(const char *text, size_t max);
/* Sets the error from outside the handler. */
void context_fail(struct joblog_context *context, const char *type, const char *message, char *stack_trace);
/* The server does not take the end of the attempt, though the lease is good, and would not take it later: then it has
 * failed instead of being completed, or has failed with fewer words. False: they are few already. */
bool context_end_refused(struct joblog_context *context, bool completed, const char *why);

/* Takes what is to be reported, a heartbeat at least: copies the progress, and gives the patch as text in *ret_patch
 * (mem_free; NULL: none). False when nothing has changed. Of a patch of more than patch_max bytes (at most PAYLOAD_MAX)
 * some members are taken, one at least, and the rest with the next call (context_has_patch). unsent: collects the
 * patches that are not yet known to have arrived. Without memory the patch stays for a later call. */
bool context_take(struct joblog_context *context, size_t patch_max, struct context_progress *ret_progress,
                  char **ret_patch, char **unsent);
bool context_has_patch(struct joblog_context *context);
/* Puts back patches that may not have arrived; takes *unsent and sets it to NULL. */
void context_put_back(struct joblog_context *context, char **unsent);

/* Present frames as text, one a line, from the frame that return_address is in; at most 64. function, file and line, if
 * known, are those of the first. Gives it (mem_free). NULL when out of memory. */
char *backtrace_text(const void *return_address, const char *function, const char *file, int line);

#endif
