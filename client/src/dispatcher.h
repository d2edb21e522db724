/* What the two files of the dispatcher share. The lock guards what callers and the thread share; the stream, its
 * messages and the pause belong to the thread. */
#ifndef CLIENT_SRC_DISPATCHER_H
#define CLIENT_SRC_DISPATCHER_H

#include <pthread.h>

#include "client_priv.h"
#include "crpc/async.h"
#include "joblog/dispatcher.h"

enum {
    MESSAGES = 4,           /* under way: as many as the server takes before it waits */
    MESSAGE_BYTES = 1 << 20 /* servers take 4 MiB */
};

/* A job without an answer. */
struct item {
    struct item *prev, *next;
    joblog_dispatched *done;
    void *user;
    int64_t ends_ms; /* when no further try begins */
    uint64_t n;      /* in the order of adding */
    bool given;      /* its outcome was told; kept for its place in a message under way */
    size_t len;
    uint8_t wire[]; /* the packed DispatchJobRequest, its length in front */
};

struct message {
    struct item *items; /* in its order */
    int64_t ends_ms;    /* the first of theirs that has no outcome; INT64_MAX: all have */
    size_t bytes;
};

struct joblog_dispatcher {
    struct joblog_client *client;
    size_t max_open;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t answered; /* n_open or n_settled has changed, and somebody waits for it */
    unsigned n_blocked;
    struct item *waiting; /* by n, and so by ends_ms */
    size_t n_open;        /* without an answer */
    uint64_t n_added;     /* ever */
    uint64_t n_settled;   /* of those, so many of the first have their answer */
    bool woken, over;

    struct crpc_loop *loop;
    struct crpc_async *stream; /* NULL: none */
    struct message messages[MESSAGES];
    unsigned oldest, n_messages;
    size_t bytes_max;       /* of a message; less than MESSAGE_BYTES once the server refused one */
    size_t bytes_taken;     /* of the largest that was answered on this stream */
    bool timed_out;         /* the stream was ended from here, as a message had no answer for too long */
    struct err failure;     /* why the last try came to nothing; OK once one has not */
    struct backoff backoff; /* between tries */
    int64_t pause_until_ms;
};

/* The thread: takes the dispatcher, gives NULL once it is over. */
void *dispatcher_run(void *user);

#endif
