/* libjoblog: dispatch jobs, watch them, run them, export tables. The client of Joblog for C.
 *
 *     struct joblog_error error;
 *     struct joblog_client *client = joblog_connect("127.0.0.1:7420", NULL, &error);
 *     struct joblog_spec spec = {.job_name = "send_newsletter", .payload = "{\"list\": 7}"};
 *     int64_t id;
 *     if (!client || joblog_dispatch(client, &spec, &id, &error) < 0)
 *         fprintf(stderr, "%s\n", error.message);
 *
 * Every function that can fail returns 0 or more on success, -code on failure (code: a gRPC status code,
 * JOBLOG_NOT_FOUND and so on) and fills *error, which may be NULL. Texts are NUL-terminated UTF-8. Times are
 * microseconds since 1970 UTC, 0 for "not set"; durations say their unit in their name.
 *
 * Threads: a client may be used by any number of threads at once. Other objects by one thread at a time, except where
 * said. Callbacks run on the thread named in their description.
 *
 * Ownership: *borrows* (valid during the call), *keeps* (must outlive the object), *gives* (the caller frees). */
#ifndef JOBLOG_JOBLOG_H
#define JOBLOG_JOBLOG_H

#include "joblog/access.h"
#include "joblog/bulk.h"
#include "joblog/client.h"
#include "joblog/dispatch.h"
#include "joblog/dispatcher.h"
#include "joblog/error.h"
#include "joblog/export.h"
#include "joblog/job.h"
#include "joblog/json.h"
#include "joblog/log.h"
#include "joblog/loop.h"
#include "joblog/query.h"
#include "joblog/queue.h"
#include "joblog/watch.h"
#include "joblog/worker.h"
#include "joblog/workers.h"

#endif
