/* WorkerService.Work: one stream, two chains on one worker thread. work.c opens and closes it, work_read.c takes in
 * what the worker sends, work_write.c sends. They share this struct without locks. */
#ifndef RPC_WORK_H
#define RPC_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "crpc/server.h"
#include "joblog/v1/worker.crpc.h"
#include "rpc/drain.h"
#include "store/job_log.h"

enum {
    CREDIT_MAX = 10000,        /* outstanding, as worker.proto says */
    MESSAGE_WRITES_MAX = 1000, /* likewise */
    QUEUE_WEIGHT_MAX = 1000,   /* likewise */
    /* Writes of a stream that the store or the worker's reading has yet to take: two full messages, so that the store
     * has the next batch at hand while it commits one. */
    WRITES_MAX = 2 * MESSAGE_WRITES_MAX,
    /* The same in bytes: 32 results of the largest size. */
    WRITE_BYTES_MAX = 8 * 1024 * 1024,
    MESSAGE_BYTES_MAX = 1024 * 1024, /* well below what a client takes by default */
    RETRY_MS = 10,                   /* pause when the store's queue is full */
    WORK_MARKS_MAX = 64              /* of leases sent: one each 1/32 of the lease time-out, for twice as long */
};

/* As worker.proto says. */
#define SNOOZE_MAX_US (INT64_C(30) * 24 * 3600 * 1000000)

/* A write of the worker's, in the store or answered and waiting to be sent. */
struct work_write {
    struct crpc_event stored;
    union {
        struct store_cmd cmd;
        struct store_finish finish;
        struct store_progress progress;
        struct store_log_write log;
    };
    struct work_call *work;
    struct work_write *next; /* of the answers */
    uint64_t write_id;
    int64_t job_id;
    size_t bytes;
    char texts[]; /* its texts: the message may be gone before the commit */
};

/* So many leases had been sent at that time. */
struct work_mark {
    int64_t n_leases, sent_ms; /* monotonic */
};

struct work_call {
    struct service *service;
    struct crpc_call *call;
    struct drain_link drain;
    struct crpc_signal wake; /* the writer's: something to send, or to end for */
    struct crpc_signal room; /* the reader's: a write has been answered */

    /* the session: NULL before it is open and once its close has been handed over */
    struct store_session *session;
    struct crpc_event stored; /* of open, then of close */
    struct store_session_open open;
    struct store_session_close close;

    /* credit: gathered while a command is under way */
    struct crpc_event credited;
    struct store_session_credit credit;
    bool credit_busy;
    int32_t credit_waiting; /* not yet handed to the store */
    int64_t credit_left;    /* given by the worker, not yet used by a lease sent */

    /* signs of life (work_alive.c) */
    bool confirms; /* the worker says how many leases it has taken */
    int64_t n_leases_sent, n_leases_confirmed;
    struct work_mark marks[WORK_MARKS_MAX]; /* a ring: those that are not confirmed, oldest first */
    size_t first_mark, n_marks;
    int64_t sending_since_ms; /* of the message on its way; 0: none is */

    /* reader */
    const Joblog__V1__WorkRequest *message;
    size_t next_write; /* of message */
    size_t n_writes, write_bytes;
    size_t n_under_way; /* of n_writes: in the store */

    /* how it ends */
    struct err error;     /* the worker broke the protocol */
    bool reader_done;     /* no more messages will come */
    bool worker_draining; /* it wants no more leases */
    bool server_draining; /* it has been told, as it is when it must leave */
    bool pause_told;      /* the last that it was told: it is paused */
    bool drain_handed;    /* the store has been told that no more leases are wanted */

    /* writer */
    struct arena message_arena;
    struct work_write *answers, **answers_end;
    struct delivery *held; /* taken, but the message was full */
    bool welcomed;
};

/* work_read.c */
extern const struct crpc_step WORK_MESSAGE;
/* Hands credit, and that the worker or the server drains, to the store as far as nothing is under way. False: the store
 * is full, try again later. */
bool work_hand_credit(struct work_call *w);

/* work_alive.c */
/* A message with so many leases begins its way. */
void work_note_sent(struct work_call *w, size_t n_leases);
/* What the worker says to have taken; 0: it says nothing. 0, or -code. */
int work_take_confirmed(struct work_call *w, int64_t received, struct err *ret_err);
/* The worker gave a sign of life. */
void work_touch(struct work_call *w);

/* work_write.c */
extern const struct crpc_step WORK_WRITE;

/* work.c: closes the session, then ends the call. */
extern const struct crpc_step WORK_CLOSE;

/* An answer has been sent, or never will be. */
void work_write_free(struct work_write *write);

#endif
