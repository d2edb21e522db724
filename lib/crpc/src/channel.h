/* The inside of the client: channels, and what unary calls, streams and loops share. Any thread. */
#ifndef CRPC_SRC_CHANNEL_H
#define CRPC_SRC_CHANNEL_H

#include <pthread.h>

#include <grpc/grpc.h>

#include "crpc/client.h"

/* Entries of metadata a call may have, with the channel's. */
enum { CHANNEL_METADATA_MAX = 32 };

/* A pluck queue at rest; one call at a time uses it. */
struct channel_queue {
    grpc_completion_queue *cq;
    struct channel_queue *next;
};

struct crpc_channel {
    grpc_channel *core;
    grpc_metadata *metadata;
    size_t n_metadata;
    pthread_mutex_t mu; /* queues */
    struct channel_queue *queues;
};

/* Metadata of one call, ready for core. */
struct call_metadata {
    grpc_metadata entries[CHANNEL_METADATA_MAX];
    size_t n;
    size_t n_shared; /* the channel's, first */
};

struct channel_queue *channel_queue_take(struct crpc_channel *channel); /* NULL: out of memory */
/* Nothing is outstanding on it. */
void channel_queue_give(struct crpc_channel *channel, struct channel_queue *queue);

int channel_metadata_init(struct call_metadata *md, const struct crpc_channel *channel,
                          const struct crpc_call_options *options, struct err *ret_err);
/* After start_batch: core has references of its own. */
void channel_metadata_done(struct call_metadata *md);

grpc_call *channel_call(struct crpc_channel *channel, const struct crpc_method *method,
                        const struct crpc_call_options *options, grpc_completion_queue *cq);
grpc_op channel_initial_op(const struct crpc_call_options *options, struct call_metadata *md);
/* Fills *ret_err from what RECV_STATUS_ON_CLIENT gave; 0 or -code. */
int channel_status(grpc_status_code code, grpc_slice msg, const grpc_metadata_array *trailing, struct err *ret_err);

#endif
