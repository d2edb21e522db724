/* Two joblogd on one database for tests of logs, and the reading and writing of logs in a line each. A log may take 64
 * KiB, and leases run out after two seconds. What must not fail is asserted. Main thread. */
#ifndef LOG_RIG_H
#define LOG_RIG_H

#include "support/calls.h"
#include "support/replicas.h"
#include "support/server_fixture.h"

#define RUNNING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING
#define COMPLETED JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED

#define INFO    JOBLOG__V1__LOG_LEVEL__LOG_LEVEL_INFO
#define WARNING JOBLOG__V1__LOG_LEVEL__LOG_LEVEL_WARNING
#define ERROR   JOBLOG__V1__LOG_LEVEL__LOG_LEVEL_ERROR

enum { LOG_MAX = 64 * 1024, LINE_EXTRA = 32 };

extern struct replicas replicas;
extern struct crpc_channel *a, *b;

int log_rig_start(void **state);
int log_rig_stop(void **state);

enum { LINES_MAX = 5000 };

/* What a reading has brought so far; the texts lie in the messages. */
struct reading {
    struct crpc_stream *stream;
    Joblog__V1__GetJobLogResponse *messages[LINES_MAX];
    Joblog__V1__LogLine *lines[LINES_MAX];
    size_t n_messages, n_lines;
    int64_t dropped;
    struct err end;
};

Joblog__V1__GetJobLogRequest request_of(int64_t id);
struct reading *reading_open(struct crpc_channel *channel, const Joblog__V1__GetJobLogRequest *request);
/* One message more. False at the end, whose status is r->end. */
bool reading_go_on(struct reading *r);
void reading_free(struct reading *r);
/* To its end, which must be OK. */
struct reading *read_all(struct crpc_channel *channel, const Joblog__V1__GetJobLogRequest *request);
void expect_refused(const Joblog__V1__GetJobLogRequest *request, int code, const char *field);
/* Waits until a follower has got so many lines. */
void expect_lines(struct reading *r, size_t n);
/* Into a queue; the attempts follow each other at once. */
int64_t dispatch(const char *queue, int attempts);
/* Code of the answer. */
int log_one(struct test_worker *w, struct test_lease lease, const char *text);
Joblog__V1__StartJobResponse *start_job(struct crpc_channel *channel);
/* By a call: one line. 0 or -code. */
int write_line(struct crpc_channel *channel, const Joblog__V1__StartJobResponse *started, Joblog__V1__LogLine *line,
               Joblog__V1__WriteJobLogResponse **ret_response, struct err *ret_err);
Joblog__V1__LogLine line_of(const char *text, Joblog__V1__LogLevel level);
void complete(struct crpc_channel *channel, const Joblog__V1__StartJobResponse *started);

#endif
