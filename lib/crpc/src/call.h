/* A call under way and its chains. Worker's thread only; see crpc/server.h for the rules.
 *
 * Life: call_take (from the worker's free list) -> call_begin -> steps -> ended or cancelled -> all chains done,
 * nothing pending -> the handler's done() -> signals at rest -> back to the free list. Only call_run (chain.c) lets go
 * of a call. */
#ifndef CRPC_SRC_CALL_H
#define CRPC_SRC_CALL_H

#include "bytes.h"
#include "worker.h"

struct crpc_peer_identity;
struct crpc_server;
struct method;

enum wait { LANE_OFF, LANE_READY, LANE_RECV, LANE_SEND, LANE_EVENT, LANE_SIGNAL };

/* While an interceptor holds a call. */
struct call_hold {
    struct crpc_event event;
    bool armed;
    bool refused; /* there was no memory for the payload to wait in */
    grpc_byte_buffer *payload;
};

/* One chain. */
struct lane {
    enum wait wait;
    const struct crpc_step *step; /* the next one */
    const void *on;               /* the event or signal awaited */
    struct timer timer;
    struct crpc_call *call;
};

enum { CALL_LANES = 2, CALL_METADATA_MAX = 16 };

/* Unary calls get much memory and are gone soon; streams get little, as there may be very many. */
enum call_class { CALL_SHORT, CALL_LONG, CALL_CLASSES };

struct crpc_call {
    /* Zeroed for each life. */
    const struct method *method; /* NULL: one that nobody serves */
    grpc_call *core;
    unsigned pending;  /* tags in flight and events armed */
    bool started;      /* the handler has seen it */
    bool cancelled;    /* RECV_CLOSE_ON_SERVER said so, or a receive that failed */
    bool ended;        /* crpc_reply or crpc_finish was called */
    bool replying;     /* with a message, in out */
    bool status_out;   /* the status' batch has been started */
    bool sending;      /* a message is in flight; the status waits for it */
    bool metadata_out; /* initial metadata has been sent */
    bool sent;         /* outcome of the last send */
    bool plain;        /* the handler wants no compression, for now */
    bool received_compressed;
    bool close_late;                     /* RECV_CLOSE_ON_SERVER goes with the status */
    bool closed;                         /* done() has run; only signals can hold the call */
    bool cut;                            /* by crpc_cut, in a send: core has the status */
    bool held;                           /* by an interceptor */
    enum crpc_compression compression;   /* as the handler set it */
    grpc_compression_algorithm encoding; /* settled with the first message */
    int close_cancelled;                 /* written by core */
    struct lane lanes[CALL_LANES];
    struct lane *lane; /* whose step runs */
    ProtobufCMessage *request, *received;
    grpc_byte_buffer *in; /* written by core */
    void *state;
    void *context; /* the interceptors' */
    struct crpc_signal *signals;
    struct crpc_peer_identity *identity; /* in the arena, once asked for */
    struct call_hold *hold;              /* in the arena, once asked for */
    grpc_metadata *initial, *trailing;   /* CALL_METADATA_MAX and one each, in the arena */
    size_t n_initial, n_trailing;
    char *peer;
    uint64_t id;
    int64_t start_us;
    size_t n_before;                   /* interceptors whose before ran */
    const struct err *status;          /* NULL: OK */
    struct charge charge, recv_charge; /* of what the arenas hold of requests */
    struct crpc_call *next_idle;

    /* Kept, or set anew where used. */
    struct worker *worker;
    struct crpc_server *server;
    struct ready ready;
    struct op op_close, op_recv, op_send, op_status;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer out; /* in flight while sending, or replying */
    struct arena arena, recv_arena;
    enum call_class size_class;
    _Alignas(16) char memory[]; /* first part of the arenas */
};

/* A call object at rest; NULL: out of memory. */
struct crpc_call *call_take(struct worker *w, enum call_class size_class);
/* Its memory, once its method is known. */
void call_arenas_start(struct crpc_call *call);
void call_give_back(struct crpc_call *call);
/* Frees a call at rest. */
void call_free(struct crpc_call *call);

/* Asks core to tell when the client is gone. */
void call_close_start(struct crpc_call *call);

/* call_begin.c */
/* Starts what core has accepted: call->core, metadata and deadline are set. method NULL or refusal not NULL: it only
 * answers with *refusal. Takes payload (may be NULL). */
void call_begin(struct crpc_call *call, const struct method *method, grpc_byte_buffer *payload,
                const struct err *refusal);

/* call.c */
/* Ends it with *err (NULL: OK), or with msg and OK. Does nothing when already ended. */
void call_end(struct crpc_call *call, const struct err *err, const ProtobufCMessage *msg);
/* The message in call->out goes out, with the initial metadata if that is still due. */
void call_send_out(struct crpc_call *call);
void call_recv_start(struct crpc_call *call);
/* Is there a list, &call->initial or &call->trailing? Made when there is none; false: out of memory. */
bool call_list_room(struct crpc_call *call, grpc_metadata **io_list);
/* Runs done() and the interceptors' after(). */
void call_finalize(struct crpc_call *call);

/* call_compression.c */
/* Into call->out, compressed if the call is. */
void call_put_message(struct crpc_call *call, const ProtobufCMessage *msg);
void call_put_with(struct crpc_call *call, const ProtobufCMessage *msg, uint32_t field, const struct crpc_bytes *bytes);
void call_put_frame(struct crpc_call *call, struct crpc_frame *frame);
/* A message that came on the call: bytes_open and bytes_decode. */
int call_open(struct crpc_call *call, grpc_byte_buffer *in, struct arena *arena, ProtobufCMessage **ret_msg,
              struct err *ret_err);

/* chain.c */
void call_run(struct ready *ready);
void chain_start(struct crpc_call *call, const struct crpc_step *first);
/* Wakes a chain that waits for what. */
void chain_wake(struct crpc_call *call, enum wait what);
/* Wakes chains that wait for a signal: the call is cancelled or ended. */
void chain_wake_signals(struct crpc_call *call);
/* Drops the chain that waits for what. */
void chain_drop(struct crpc_call *call, enum wait what);
bool chain_signals_at_rest(const struct crpc_call *call);

#endif
