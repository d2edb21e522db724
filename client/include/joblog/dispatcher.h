/* Dispatching without waiting: for programs that dispatch much, from any number of threads. What is added while the
 * server is busy with what came before travels together, over one stream; each job still has an answer of its own, once
 * it is durable. Many times the rate of joblog_dispatch, at the same latency. */
#ifndef JOBLOG_DISPATCHER_H
#define JOBLOG_DISPATCHER_H

#include <stddef.h>

#include "joblog/dispatch.h"

JOBLOG_BEGIN_DECLS

struct joblog_client;
struct joblog_dispatcher;

/* How a job has fared: it is durable when outcome->code is JOBLOG_OK. outcome: borrowed during the call. Called on the
 * dispatcher's thread: it may add further jobs, but must not block, flush or free. */
typedef void joblog_dispatched(void *user, const struct joblog_outcome *outcome);

/* Starts its thread, does not connect yet. max_open: so many jobs may be without an answer; 0: 10 000. Gives the
 * dispatcher (joblog_dispatcher_free); NULL on failure. It uses the client until then. */
JOBLOG_API struct joblog_dispatcher *joblog_dispatcher_new(struct joblog_client *client, size_t max_open,
                                                           struct joblog_error *error);
/* Adds a job. 0, and then done (NULL: nobody) is called exactly once; or -code, and it never is: of a text that is no
 * UTF-8, or a job of more than 1 MiB, INVALID_ARGUMENT. Copies spec. Blocks while max_open jobs are without an answer,
 * but not within a joblog_dispatched. A connection that is cut is made anew, and what has no answer sent again under
 * its request id, until the client's timeout_ms has passed since the job had room; with its no_retry set the outcome
 * is UNAVAILABLE, or DEADLINE_EXCEEDED when the server did not answer in time, and what became of the job unknown; a
 * job that is added while the stream stands still waits for the end of the jobs on it, within its own time. A server
 * that takes smaller messages (max-message-bytes) gets such; a job that alone is larger has the outcome
 * RESOURCE_EXHAUSTED. Any thread. */
JOBLOG_API int joblog_dispatcher_add(struct joblog_dispatcher *dispatcher, const struct joblog_spec *spec,
                                     joblog_dispatched *done, void *user, struct joblog_error *error);
/* Adds a job and blocks until it is durable, as joblog_dispatch, which many threads at once do faster this way. Gives
 * *ret_id (may be NULL). 0 or -code. Any thread; not within a joblog_dispatched (FAILED_PRECONDITION). */
JOBLOG_API int joblog_dispatcher_dispatch(struct joblog_dispatcher *dispatcher, const struct joblog_spec *spec,
                                          int64_t *ret_id, struct joblog_error *error);
/* Blocks until every job that was added before has its answer, and done has returned. Any thread; not within a
 * joblog_dispatched. */
JOBLOG_API void joblog_dispatcher_flush(struct joblog_dispatcher *dispatcher);
/* Flushes, and ends the thread. No other thread may use the dispatcher any more. Takes NULL. */
JOBLOG_API void joblog_dispatcher_free(struct joblog_dispatcher *dispatcher);

JOBLOG_END_DECLS

#endif
