/* See log_rig.h. */
#include "log_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct replicas replicas;
struct crpc_channel *a, *b;

int log_rig_start(void **state)
{
    static const char *const args[] = {"--job-log-kilobytes=64", "--lease-timeout-ms=2000", NULL};
    (void)state;
    int rc = replicas_start(&replicas, args);
    a = replicas.channels[0];
    b = replicas.channels[1];
    return rc;
}

int log_rig_stop(void **state)
{
    (void)state;
    return replicas_stop(&replicas);
}

/* ---- reading ---- */

Joblog__V1__GetJobLogRequest request_of(int64_t id)
{
    Joblog__V1__GetJobLogRequest request = JOBLOG__V1__GET_JOB_LOG_REQUEST__INIT;
    request.id = id;
    return request;
}

struct reading *reading_open(struct crpc_channel *channel, const Joblog__V1__GetJobLogRequest *request)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    struct reading *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->stream = joblog_v1_job_log_service_get_job_log_open(channel, &options, request, &r->end);
    assert_non_null(r->stream);
    return r;
}

bool reading_go_on(struct reading *r)
{
    Joblog__V1__GetJobLogResponse *m = NULL;
    if (joblog_v1_job_log_service_get_job_log_read(r->stream, &m, &r->end) != 1)
        return false;
    r->messages[r->n_messages++] = m;
    for (size_t i = 0; i < m->n_lines; i++)
        r->lines[r->n_lines++] = m->lines[i];
    r->dropped = m->dropped_lines;
    return true;
}

void reading_free(struct reading *r)
{
    crpc_stream_free(r->stream);
    for (size_t i = 0; i < r->n_messages; i++)
        crpc_message_free(&r->messages[i]->base);
    free(r);
}

struct reading *read_all(struct crpc_channel *channel, const Joblog__V1__GetJobLogRequest *request)
{
    struct reading *r = reading_open(channel, request);
    while (reading_go_on(r)) {
    }
    assert_int_equal(r->end.code, ERR_OK);
    return r;
}

void expect_refused(const Joblog__V1__GetJobLogRequest *request, int code, const char *field)
{
    struct reading *r = reading_open(a, request);
    assert_false(reading_go_on(r));
    assert_int_equal(r->end.code, code);
    assert_string_equal(r->end.field, field);
    reading_free(r);
}

void expect_lines(struct reading *r, size_t n)
{
    while (r->n_lines < n)
        assert_true(reading_go_on(r));
    assert_int_equal(r->n_lines, n);
}

/* ---- writing ---- */

int64_t dispatch(const char *queue, int attempts)
{
    Joblog__V1__JobSpec spec = spec_of("job", queue);
    Joblog__V1__RetryPolicy policy = JOBLOG__V1__RETRY_POLICY__INIT;
    Google__Protobuf__Duration backoff = GOOGLE__PROTOBUF__DURATION__INIT;
    backoff.nanos = 1000000;
    policy.max_attempts = attempts;
    policy.initial_backoff = &backoff;
    spec.retry_policy = &policy;
    return must_dispatch(a, &spec);
}

int log_one(struct test_worker *w, struct test_lease lease, const char *text)
{
    return worker_answer(w, worker_log(w, lease, &text, 1), NULL);
}

Joblog__V1__StartJobResponse *start_job(struct crpc_channel *channel)
{
    Joblog__V1__StartJobRequest request = JOBLOG__V1__START_JOB_REQUEST__INIT;
    Joblog__V1__StartJobResponse *response = NULL;
    Joblog__V1__JobSpec spec = spec_of("own", "own");
    struct err err = ERR_NONE;
    request.job = &spec;
    assert_int_equal(joblog_v1_worker_service_start_job(channel, NULL, &request, &response, &err), 0);
    return response;
}

int write_line(struct crpc_channel *channel, const Joblog__V1__StartJobResponse *started, Joblog__V1__LogLine *line,
               Joblog__V1__WriteJobLogResponse **ret_response, struct err *ret_err)
{
    Joblog__V1__WriteJobLogRequest request = JOBLOG__V1__WRITE_JOB_LOG_REQUEST__INIT;
    Joblog__V1__WriteJobLogResponse *response = NULL;
    Joblog__V1__LogWrite log = JOBLOG__V1__LOG_WRITE__INIT;
    log.lines = &line;
    log.n_lines = line ? 1 : 0;
    request.job_id = started->job->id;
    request.lease_token = started->lease_token;
    request.log = &log;
    int rc = joblog_v1_worker_service_write_job_log(channel, NULL, &request, &response, ret_err);
    if (ret_response)
        *ret_response = response;
    else if (response)
        crpc_message_free(&response->base);
    return rc;
}

Joblog__V1__LogLine line_of(const char *text, Joblog__V1__LogLevel level)
{
    Joblog__V1__LogLine line = JOBLOG__V1__LOG_LINE__INIT;
    line.text = (char *)text;
    line.level = level;
    return line;
}

void complete(struct crpc_channel *channel, const Joblog__V1__StartJobResponse *started)
{
    Joblog__V1__CompleteJobRequest request = JOBLOG__V1__COMPLETE_JOB_REQUEST__INIT;
    Joblog__V1__Job *job = NULL;
    struct err err = ERR_NONE;
    request.job_id = started->job->id;
    request.lease_token = started->lease_token;
    assert_int_equal(joblog_v1_worker_service_complete_job(channel, NULL, &request, &job, &err), 0);
    job_free(job);
}
