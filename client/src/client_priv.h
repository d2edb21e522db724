/* What the files of libjoblog share: the client itself, calls with retries, errors at the public edge. */
#ifndef CLIENT_PRIV_H
#define CLIENT_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"
#include "credentials.h"
#include "crpc/client.h"
#include "joblog/client.h"
#include "joblog/v1/export.crpc.h"
#include "joblog/v1/job_log.crpc.h"
#include "joblog/v1/worker.crpc.h"

struct joblog_client {
    struct crpc_channel *channel;
    struct credentials credentials;
    int64_t timeout_ms;
    bool retry;
    char program[200]; /* host:program, for StartJob */
};

#define JOB_LOG_METHOD(m) (&joblog_v1_job_log_service.methods[JOBLOG_V1_JOB_LOG_SERVICE_##m])
#define WORKER_METHOD(m)  (&joblog_v1_worker_service.methods[JOBLOG_V1_WORKER_SERVICE_##m])
#define EXPORT_METHOD(m)  (&joblog_v1_export_service.methods[JOBLOG_V1_EXPORT_SERVICE_##m])

/* At the public edge: copies *e to *error (may be NULL) and returns -code, 0 for OK. */
int error_give(struct joblog_error *error, const struct err *e);
int error_no_memory(struct err *ret_err);

/* One unary call; failures that may pass (call_may_pass) are repeated with back-off until the client's timeout_ms is
 * over. Gives *ret_response (crpc_message_free). ret_tries, may be NULL: how often it was sent. 0, or -code and
 * *ret_err. */
int call_unary(struct joblog_client *client, const struct crpc_method *method, const ProtobufCMessage *request,
               int *ret_tries, ProtobufCMessage **ret_response, struct err *ret_err);
/* For what must not happen twice: never repeated. */
int call_unary_once(struct joblog_client *client, const struct crpc_method *method, const ProtobufCMessage *request,
                    ProtobufCMessage **ret_response, struct err *ret_err);
/* The rest between two tries: blocks the calling thread. */
void call_pause(struct joblog_client *client, int64_t ms);
/* A small part of it, of 50 ms at most, for who looks at something else in between. A rest must be spent here: core
 * makes a lost connection anew while somebody waits on the channel, and otherwise looks after it every five seconds
 * only. */
void call_pause_part(struct joblog_client *client, int64_t left_ms);
/* As call_unary, with another time limit. */
int call_unary_within(struct joblog_client *client, const struct crpc_method *method, const ProtobufCMessage *request,
                      int64_t timeout_ms, int *ret_tries, ProtobufCMessage **ret_response, struct err *ret_err);
/* True when the call may succeed later although nothing is changed. */
bool call_may_pass(const struct err *e);
/* True for a stream that was cut by the network or by a server that goes away. */
bool stream_was_cut(const struct err *e);
/* Was a message refused for its size, before anybody looked at it? */
bool message_too_large(const struct err *e);

/* Pauses between attempts: first, doubled up to max, each between half of it and all of it. */
struct backoff {
    int64_t first_ms, max_ms;
    int64_t next_ms; /* 0 to begin with */
};
#define BACKOFF_CALL   ((struct backoff){.first_ms = 50, .max_ms = 2000})
#define BACKOFF_STREAM ((struct backoff){.first_ms = 50, .max_ms = 1000})
/* The next pause. at_least_ms: what the server asked for, or 0. */
int64_t backoff_next_ms(struct backoff *b, int64_t at_least_ms);

enum { REQUEST_ID_SIZE = 37 };
/* A UUID of the present time and 62 random bits (RFC 9562, version 7), with its NUL: what is made at about the same
 * time lies together in the server's index of request ids. */
void request_id_make(char id[REQUEST_ID_SIZE]);

#endif
