/* Domain to messages. Messages are made in an arena and valid as long as it; texts are copied, since a span need not
 * end in NUL. Any thread. */
#ifndef RPC_CONVERT_H
#define RPC_CONVERT_H

#include <stdint.h>

#include "base/arena.h"
#include "core/job.h"
#include "crpc/server.h"
#include "joblog/v1/job.pb-c.h"
#include "joblog/v1/job_log.pb-c.h"

/* How much of a job. LEASE: what a worker gets, that is FULL without attempts and transitions. */
enum job_view { VIEW_BASIC, VIEW_FULL, VIEW_LEASE };

/* Each gives NULL when out of memory. now_us: for the duration of what still runs. */
Joblog__V1__Job *convert_job(struct arena *arena, const struct job *job, enum job_view view, int64_t now_us);
Joblog__V1__CancelRequest *convert_cancel_request(struct arena *arena, const struct cancel_request *cancel);
Google__Protobuf__Timestamp *convert_time(struct arena *arena, int64_t time_us);
Google__Protobuf__Duration *convert_duration(struct arena *arena, int64_t us);
/* An error as outcomes of bulk calls tell it: as a call of its own would have ended with it. */
struct error_parts {
    int32_t code;
    char *message, *reason, *field;
    Google__Protobuf__Duration *retry_after; /* NULL: waiting does not help */
};

/* False: out of memory. */
bool convert_error(struct arena *arena, const struct err *err, struct error_parts *ret_parts);
/* NUL-terminated copy. */
char *convert_text(struct arena *arena, struct span text);

/* The snapshot as the message of a watch, BASIC view, encoded once for all who watch. It is a WatchJobResponse and a
 * WatchJobsResponse at once: both hold the job in field 1. A reference of the caller's (crpc_frame_unref); NULL when
 * out of memory. The snapshot came from service_observer. */
struct crpc_frame *convert_snapshot_frame(struct job_snapshot *snapshot);

#endif
