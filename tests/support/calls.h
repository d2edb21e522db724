/* Calls of a test as one line each, over the generated stubs. What must not fail is asserted; the functions with a
 * ret_err give NULL on failure. Everything given is freed with crpc_message_free or as said. Every call has a deadline,
 * so that a test that would hang fails. Any thread, but see crpc/client.h. */
#ifndef SUPPORT_CALLS_H
#define SUPPORT_CALLS_H

#include "crpc/client.h"
#include "joblog/v1/job_log.crpc.h"
#include "joblog/v1/worker.crpc.h"

enum { CALL_TIMEOUT_MS = 60000 };

/* ---- JobLogService ---- */

/* A spec with a name and a queue; change what you like. Static texts are borrowed. */
Joblog__V1__JobSpec spec_of(const char *job_name, const char *queue);
Joblog__V1__Job *call_dispatch(struct crpc_channel *channel, const Joblog__V1__JobSpec *spec, const char *request_id,
                               struct err *ret_err);
/* Dispatches and gives the id. */
int64_t must_dispatch(struct crpc_channel *channel, const Joblog__V1__JobSpec *spec);
Joblog__V1__Job *call_get(struct crpc_channel *channel, int64_t id, bool full, struct err *ret_err);
Joblog__V1__JobStatus must_status(struct crpc_channel *channel, int64_t id);
Joblog__V1__Job *call_cancel(struct crpc_channel *channel, int64_t id, const char *reason, struct err *ret_err);
Joblog__V1__Job *call_retry(struct crpc_channel *channel, int64_t id, const char *reason, struct err *ret_err);
void job_free(Joblog__V1__Job *job);

struct crpc_stream *must_watch(struct crpc_channel *channel, int64_t id, int64_t after_revision, bool full);
/* Next job of the watch (crpc_message_free the response); NULL at its end, with the status in *ret_err. */
Joblog__V1__WatchJobResponse *watch_next(struct crpc_stream *watch, struct err *ret_err);

/* ---- Work ---- */

struct test_worker;

struct test_lease {
    int64_t job_id, token;
    Joblog__V1__Job *job; /* of the worker */
};

/* Opens the stream, says hello for one queue, gives credit. Reads the welcome. */
struct test_worker *worker_open(struct crpc_channel *channel, const char *name, const char *queue, int32_t credit);
/* The same with a hello of one's own (borrowed). */
struct test_worker *worker_open_as(struct crpc_channel *channel, Joblog__V1__WorkerHello *hello, int32_t credit);
int64_t worker_session_id(const struct test_worker *w);
/* Next lease, cancel, drain, answer to a write: blocks until it comes, keeping the rest for later. */
struct test_lease worker_lease(struct test_worker *w);
/* Gives a copy whose cancel_request belongs to the worker. */
Joblog__V1__CancelLease worker_cancel(struct test_worker *w);
void worker_drain(struct test_worker *w);
/* Until it has been told that it is paused, or goes on. */
void worker_paused(struct test_worker *w, bool paused);
/* Code of the answer; *ret_message (may be NULL) is the worker's. */
int worker_answer(struct test_worker *w, uint64_t write_id, const char **ret_message);
/* Reason of a refusal; the worker's. */
const char *worker_refusal(struct test_worker *w, uint64_t write_id);
/* Leases read and not yet taken by worker_lease. */
size_t worker_leases_read(const struct test_worker *w);

/* Gives signs of life by itself from now on, as workers do; without it one that only waits is silent. */
void worker_keep_alive(struct test_worker *w);
void worker_send(struct test_worker *w, const Joblog__V1__WorkRequest *request);
void worker_credit(struct test_worker *w, int32_t credit);
/* Each sends one write with a new write_id and gives that. */
uint64_t worker_complete(struct test_worker *w, struct test_lease lease, const char *result);
uint64_t worker_fail(struct test_worker *w, struct test_lease lease, const char *type, const char *message,
                     const char *stack_trace, bool no_retry);
uint64_t worker_followed_cancel(struct test_worker *w, struct test_lease lease);
uint64_t worker_progress(struct test_worker *w, struct test_lease lease, int64_t done, int64_t total, const char *step,
                         const char *payload_patch);
/* Lines of level info. */
uint64_t worker_log(struct test_worker *w, struct test_lease lease, const char *const *texts, size_t n);
uint64_t worker_release(struct test_worker *w, struct test_lease lease);
void worker_draining(struct test_worker *w);
/* Closes the writing half if close, reads to the end, frees. Code of the status; *ret_err may be NULL. */
int worker_end(struct test_worker *w, bool close, struct err *ret_err);
/* Cuts the stream, frees. */
void worker_cut(struct test_worker *w);

#endif
