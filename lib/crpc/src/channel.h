/* The inside of the client: channels, and what unary calls, streams and loops share. Any thread. */
#ifndef CRPC_SRC_CHANNEL_H
#define CRPC_SRC_CHANNEL_H

#include <pthread.h>

#include <grpc/grpc.h>

#include "bytes.h"
#include "crpc/call_credentials.h"
#include "crpc/client.h"
#include "metadata.h"
#include "sockets.h"

/* Entries of metadata a call may have, with the channel's. */
enum { CHANNEL_METADATA_MAX = 32 };

/* A pluck queue at rest; one call at a time uses it. */
struct channel_queue {
    grpc_completion_queue *cq;
    struct channel_queue *next;
};

struct crpc_channel {
    grpc_channel *core;
    struct sockets *sockets;
    bool is_private; /* TLS or a unix socket */
    struct crpc_call_credentials credentials;
    bool has_credentials;
    grpc_metadata *metadata;
    size_t n_metadata;
    size_t max_message_bytes;
    enum crpc_compression compression;
    pthread_mutex_t mu; /* queues */
    struct channel_queue *queues;
};

struct channel_queue *channel_queue_take(struct crpc_channel *channel); /* NULL: out of memory */
/* Nothing is outstanding on it. */
void channel_queue_give(struct crpc_channel *channel, struct channel_queue *queue);

/* ---- metadata that is sent (metadata.c) ---- */

/* Of one call, ready for core. */
struct crpc_call_metadata {
    grpc_metadata entries[CHANNEL_METADATA_MAX + 1]; /* and the encoding */
    size_t n;
    size_t n_shared; /* the channel's, first */
};

/* One entry, checked and copied. */
int metadata_entry(const char *key, struct span value, grpc_metadata *ret, struct err *ret_err);
/* The channel's, the call's, and what its credentials supply. */
int metadata_init(struct crpc_call_metadata *md, const struct crpc_channel *channel, const struct crpc_method *method,
                  const struct crpc_call_options *options, struct err *ret_err);
/* After start_batch: core has references of its own. */
void metadata_done(struct crpc_call_metadata *md);

/* ---- metadata that came (received.c) ---- */

/* A copy that outlives the call; core's own lies in the call. */
struct received {
    struct crpc_metadata_list list;
    void *memory;
};
/* *ret is overwritten, without a look at what it was. 0 or -ERR_RESOURCE_EXHAUSTED, and then *ret is empty. */
int received_copy(const grpc_metadata_array *from, struct received *ret, struct err *ret_err);
void received_done(struct received *r);
/* Fills *response, whose old content is freed. */
int received_fill(struct crpc_response *response, const grpc_metadata_array *initial,
                  const grpc_metadata_array *trailing, struct err *ret_err);

/* ---- compression (client_compression.c) ---- */

/* What one call does about it. */
struct packing {
    grpc_compression_algorithm encoding; /* of what it sends */
    bool plain;                          /* but not now */
    bool received;                       /* the last message came compressed */
    size_t max;                          /* bytes of a message, decompressed */
};
/* Adds to md, which metadata_init has filled, what tells the server. */
void packing_init(struct packing *packing, const struct crpc_channel *channel, const struct crpc_call_options *options,
                  struct crpc_call_metadata *md);
void packing_put(const struct packing *packing, grpc_byte_buffer *out, const ProtobufCMessage *msg);
/* bytes_open for a message of the server's, whose fault is not the caller's. 0 or -code. */
int packing_open(struct packing *packing, grpc_call *core, grpc_byte_buffer *in, struct err *ret_err);

/* ---- calls ---- */

grpc_call *channel_call(struct crpc_channel *channel, const struct crpc_method *method,
                        const struct crpc_call_options *options, grpc_completion_queue *cq);
grpc_op channel_initial_op(const struct crpc_call_options *options, struct crpc_call_metadata *md);
/* Fills *ret_err from what RECV_STATUS_ON_CLIENT gave; 0 or -code. */
int channel_status(grpc_status_code code, grpc_slice msg, const grpc_metadata_array *trailing, struct err *ret_err);

enum crpc_channel_state channel_state_of(grpc_connectivity_state state);
grpc_connectivity_state channel_state_for(enum crpc_channel_state state);
/* Milliseconds from now; below 0: never. */
gpr_timespec channel_until(int64_t timeout_ms);

/* ---- cancels (cancel.c) ---- */

/* A call's place in a crpc_cancel. */
struct cancel_link {
    struct crpc_cancel *owner; /* NULL: not in one */
    grpc_call *core;
    struct cancel_link *next, *prev;
};

/* owner may be NULL. A call that comes too late is cancelled at once. */
void cancel_join(struct cancel_link *link, struct crpc_cancel *owner, grpc_call *core);
/* Before the last reference to the call goes. */
void cancel_leave(struct cancel_link *link);

#endif
