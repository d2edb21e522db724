/* Dispatch, get, cancel, retry: one unary call each, on the caller's thread. */
#include "joblog/job.h"

#include "box.h"
#include "convert.h"

int joblog_dispatch(struct joblog_client *client, const struct joblog_spec *spec, int64_t *ret_id,
                    struct joblog_error *error)
{
    struct err e = ERR_NONE;
    char room[2048], made_id[REQUEST_ID_SIZE];
    struct arena arena;
    arena_init(&arena, room, sizeof room, 0);
    Joblog__V1__DispatchJobRequest request = JOBLOG__V1__DISPATCH_JOB_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    request.job = convert_spec(&arena, spec, &e);
    if (request.job) {
        if (!spec->request_id)
            request_id_make(made_id);
        request.request_id = text_for_message(spec->request_id ? spec->request_id : made_id);
        call_unary(client, JOB_LOG_METHOD(DISPATCH_JOB), &request.base, NULL, &response, &e);
    }
    if (response && ret_id)
        *ret_id = ((Joblog__V1__Job *)response)->id;
    crpc_message_free(response);
    arena_done(&arena);
    return error_give(error, &e);
}

static struct joblog_job *get_job(struct joblog_client *client, int64_t id, struct err *ret_err)
{
    Joblog__V1__GetJobRequest request = JOBLOG__V1__GET_JOB_REQUEST__INIT;
    request.id = id;
    request.view = JOBLOG__V1__JOB_VIEW__JOB_VIEW_FULL;
    ProtobufCMessage *response = NULL;
    if (call_unary(client, JOB_LOG_METHOD(GET_JOB), &request.base, NULL, &response, ret_err) < 0)
        return NULL;
    return convert_job_box(response, (const Joblog__V1__Job *)response, ret_err);
}

int joblog_get(struct joblog_client *client, int64_t id, struct joblog_job **ret_job, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct joblog_job *job = get_job(client, id, &e);
    if (job)
        *ret_job = job;
    return error_give(error, &e);
}

static bool has_transition_of(const struct joblog_job *job, const char *request_id)
{
    for (size_t i = 0; i < job->n_transitions; i++) {
        if (strcmp(job->transitions[i].request_id, request_id) == 0)
            return true;
    }
    return false;
}

/* FAILED_PRECONDITION after a repeat: perhaps it is the first try, whose answer was lost, that has already done it.
 * Then the job's history carries our request id, or the job stands where it was to be brought; that is success. */
static struct joblog_job *recover(struct joblog_client *client, int64_t id, const char *request_id,
                                  enum joblog_status wanted, struct err *e)
{
    struct err ignored = ERR_NONE;
    struct joblog_job *job = get_job(client, id, &ignored);
    if (job && (job->status == wanted || has_transition_of(job, request_id))) {
        *e = ERR_NONE;
        return job;
    }
    joblog_job_free(job);
    return NULL;
}

static int steer(struct joblog_client *client, const struct crpc_method *method, const ProtobufCMessage *request,
                 int64_t id, const char *request_id, enum joblog_status wanted, struct joblog_job **ret_job,
                 struct joblog_error *error)
{
    struct err e = ERR_NONE;
    ProtobufCMessage *response = NULL;
    struct joblog_job *job = NULL;
    int tries = 0;
    if (call_unary(client, method, request, &tries, &response, &e) == 0)
        job = convert_job_box(response, (const Joblog__V1__Job *)response, &e);
    else if (e.code == ERR_FAILED_PRECONDITION && tries > 1)
        job = recover(client, id, request_id, wanted, &e);
    if (job && ret_job)
        *ret_job = job;
    else
        joblog_job_free(job);
    return error_give(error, &e);
}

int joblog_cancel(struct joblog_client *client, int64_t id, const char *reason, struct joblog_job **ret_job,
                  struct joblog_error *error)
{
    return joblog_cancel_with_request_id(client, id, reason, NULL, ret_job, error);
}

int joblog_cancel_with_request_id(struct joblog_client *client, int64_t id, const char *reason, const char *request_id,
                                  struct joblog_job **ret_job, struct joblog_error *error)
{
    char made_id[REQUEST_ID_SIZE];
    if (!request_id)
        request_id_make(made_id);
    request_id = request_id ? request_id : made_id;
    Joblog__V1__CancelJobRequest request = JOBLOG__V1__CANCEL_JOB_REQUEST__INIT;
    request.id = id;
    request.reason = text_for_message(reason);
    request.request_id = text_for_message(request_id);
    return steer(client, JOB_LOG_METHOD(CANCEL_JOB), &request.base, id, request_id, JOBLOG_STATUS_CANCELLED, ret_job,
                 error);
}

int joblog_retry(struct joblog_client *client, int64_t id, const char *reason, struct joblog_job **ret_job,
                 struct joblog_error *error)
{
    return joblog_retry_with_request_id(client, id, reason, NULL, ret_job, error);
}

int joblog_retry_with_request_id(struct joblog_client *client, int64_t id, const char *reason, const char *request_id,
                                 struct joblog_job **ret_job, struct joblog_error *error)
{
    char made_id[REQUEST_ID_SIZE];
    if (!request_id)
        request_id_make(made_id);
    request_id = request_id ? request_id : made_id;
    Joblog__V1__RetryJobRequest request = JOBLOG__V1__RETRY_JOB_REQUEST__INIT;
    request.id = id;
    request.reason = text_for_message(reason);
    request.request_id = text_for_message(request_id);
    return steer(client, JOB_LOG_METHOD(RETRY_JOB), &request.base, id, request_id, JOBLOG_PENDING, ret_job, error);
}
