/* A stand-in for the runtime of gRPC calls (crpc/server.h) and for the store, under the same function names, in which
 * nothing happens by itself: a test runs a handler's steps and ends each wait by hand, in the order and with the
 * outcome that it likes. One call at a time, one chain, one thread. It asserts what the real runtime relies on: one
 * awaited operation a step, one end, no event armed twice or left armed. */
#ifndef STEP_FAKE_CRPC_H
#define STEP_FAKE_CRPC_H

#include "crpc/server.h"
#include "rpc/caller.h"
#include "store/store.h"

enum fake_wait { FAKE_RUNNING, FAKE_EVENT, FAKE_SIGNAL, FAKE_SEND, FAKE_OVER };

enum { FAKE_STEPS_MAX = 64, FAKE_SENT_MAX = 64 };

struct crpc_call {
    const struct crpc_handler *handler;
    const ProtobufCMessage *request;
    void *state, *user;
    struct arena arena;
    struct identity identity;
    struct caller caller; /* an administrator, unless fake_scope says what it may see */
    enum fake_wait wait;
    const void *on;
    const struct crpc_step *next;
    bool cancelled, ended, was_sent;
    bool timed; /* waits for a signal no longer than some time */
    unsigned armed;
    struct err status;       /* once ended */
    ProtobufCMessage *reply; /* of a unary call that ended well; a copy */
    /* what happened */
    const char *steps[FAKE_STEPS_MAX];
    size_t n_steps;
    ProtobufCMessage *sent[FAKE_SENT_MAX]; /* copies */
    size_t n_sent;
};

/* What the callers of the calls to come may see; NULL: everything. */
extern const struct job_scope *fake_scope;

/* Runs the handler until its first wait. request: borrowed. output: what it sends or replies. */
struct crpc_call *fake_call_start(const struct crpc_handler *handler, void *user, const ProtobufCMessage *request,
                                  const ProtobufCMessageDescriptor *output);
/* Over: checks that nothing is left, frees. */
void fake_call_free(struct crpc_call *call);
/* The send under way ends. */
void fake_send_done(struct crpc_call *call, bool ok);
/* Goes on if the signal that it waits for has been raised. Not by the raise itself: whoever raises may hold a lock. */
void fake_wake(struct crpc_call *call);
/* The time passes for which it waits for a signal at most: it must wait so. */
void fake_pass(struct crpc_call *call);
/* The client goes away. A wait for a signal ends; others go on until their operation ends. */
void fake_cancel(struct crpc_call *call);
/* Names of the steps run so far, blanks between. */
const char *fake_steps(const struct crpc_call *call);

/* ---- the store ---- */

/* The command under way, NULL when there is none. */
struct store_cmd *fake_store_cmd(void);
/* The next submission is refused. */
void fake_store_refuse(enum err_code code);
/* The command under way ends: err is filled in (NULL: well), then its tag is posted. */
void fake_store_done(const struct err *err);

#endif
