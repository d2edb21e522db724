/* A watch: a server stream that is opened again when it is cut. What differs between one job and many is in a table of
 * functions. One thread at a time in joblog_watch_next; joblog_watch_cancel from any. */
#ifndef CLIENT_WATCH_PRIV_H
#define CLIENT_WATCH_PRIV_H

#include <pthread.h>
#include <stdbool.h>

#include "client_priv.h"
#include "joblog/watch.h"

enum watch_take { WATCH_SKIP, WATCH_GIVE, WATCH_FAIL };

struct watch_kind {
    /* Opens the stream from where the watch is. */
    struct crpc_stream *(*open)(struct joblog_watch *watch, const struct crpc_call_options *options,
                                struct err *ret_err);
    /* Takes a message of the stream; on WATCH_GIVE watch->job is set, on WATCH_FAIL *ret_err. */
    enum watch_take (*take)(struct joblog_watch *watch, ProtobufCMessage *message, struct err *ret_err);
    /* What has to be asked for besides the stream, after a cut; may be NULL. WATCH_SKIP: nothing (more). */
    enum watch_take (*refill)(struct joblog_watch *watch, struct err *ret_err);
    /* The stream has ended with *err: was it asked to go on from where it cannot? Then the next open begins anew. May
     * be NULL. */
    bool (*begin_anew)(struct joblog_watch *watch, const struct err *err);
    /* The stream has ended with OK: is that the end of the watch? */
    bool (*is_complete)(const struct joblog_watch *watch);
    void (*done)(struct joblog_watch *watch);
};

struct joblog_watch {
    const struct watch_kind *kind;
    struct joblog_client *client;
    struct joblog_job *job; /* given last */
    int64_t file_size;      /* of its complete file; 0: none */
    bool started;           /* something has been received */
    bool ended;
    int64_t give_up_ms;  /* while not started: when to stop trying (monotonic) */
    int64_t deadline_ms; /* monotonic; 0: none */
    struct backoff backoff;

    pthread_mutex_t lock; /* guards what follows */
    bool cancelled;
    struct crpc_stream *stream; /* set and cleared by the reading thread, cancelled by others */
};

/* Prepares the common part. */
int watch_init(struct joblog_watch *watch, struct joblog_client *client, const struct watch_kind *kind,
               struct err *ret_err);
/* 1, 0 or -code as joblog_watch_next. */
int watch_next(struct joblog_watch *watch, struct err *ret_err);
struct joblog_watch *watch_job_new(struct joblog_client *client, int64_t id, int64_t after_revision,
                                   struct err *ret_err);

#endif
