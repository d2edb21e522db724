/* Between the messages of the contract and the structs of the public headers. Results borrow the texts of what they are
 * made from; only arrays are allocated, in the arena given. Any thread. */
#ifndef CLIENT_CONVERT_H
#define CLIENT_CONVERT_H

#include <stdbool.h>

#include "base/arena.h"
#include "client_priv.h"
#include "joblog/job.h"
#include "joblog/query.h"

static inline const char *text_of(const char *s)
{
    return s ? s : "";
}
/* What protobuf-c wants for "not const". The message is only read. */
static inline char *text_for_message(const char *s)
{
    return (char *)(s ? s : "");
}

int64_t time_us_of(const Google__Protobuf__Timestamp *t);    /* NULL: 0 */
int64_t duration_us_of(const Google__Protobuf__Duration *d); /* NULL: 0 */
int32_t retry_ms_of(const Google__Protobuf__Duration *d);    /* NULL, below zero: 0; more than fits: the most */
/* Absent (NULL) for 0, else in the arena; NULL when out of memory as well, which sets *failed. */
Google__Protobuf__Timestamp *timestamp_for(struct arena *a, int64_t us, bool *failed);
Google__Protobuf__Duration *duration_for(struct arena *a, int64_t ms, bool *failed);

/* False when out of memory. message NULL gives a job of id 0 with empty texts. */
bool convert_job(struct arena *a, const Joblog__V1__Job *message, struct joblog_job *ret_job);
/* A box (joblog_job_free). Takes message, whose job is given; NULL and *ret_err when out of memory. */
struct joblog_job *convert_job_box(ProtobufCMessage *message, const Joblog__V1__Job *job, struct err *ret_err);

/* NULL and *ret_err when out of memory. */
Joblog__V1__JobSpec *convert_spec(struct arena *a, const struct joblog_spec *spec, struct err *ret_err);
Joblog__V1__JobFilter *convert_filter(struct arena *a, const struct joblog_filter *filter, struct err *ret_err);

#endif
