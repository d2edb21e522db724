/* Deleting the records of jobs that have ended. One unary call, on the caller's thread. */
#include "box.h"
#include "convert.h"

static struct joblog_cleaned *cleaned_of(ProtobufCMessage *message, struct err *ret_err)
{
    const Joblog__V1__CleanupJobsResponse *m = (const Joblog__V1__CleanupJobsResponse *)message;
    struct joblog_cleaned *cleaned = box_new(message, sizeof *cleaned);
    if (!cleaned) {
        error_no_memory(ret_err);
        return NULL;
    }
    if (m->deleted) {
        cleaned->completed = m->deleted->completed;
        cleaned->failed = m->deleted->failed;
        cleaned->cancelled = m->deleted->cancelled;
    }
    cleaned->next_page_token = m->next_page_token;
    return cleaned;
}

/* Absent means that somebody forgot it; zero is a wish. */
static bool fill_request(struct arena *arena, const struct joblog_cleanup *cleanup,
                         Joblog__V1__CleanupJobsRequest *request, Google__Protobuf__Duration *zero)
{
    bool failed = false;
    request->job_names = (char **)cleanup->job_names;
    request->n_job_names = cleanup->n_job_names;
    request->queues = (char **)cleanup->queues;
    request->n_queues = cleanup->n_queues;
    request->statuses = arena_alloc(arena, (cleanup->n_statuses + 1) * sizeof *request->statuses);
    if (!request->statuses)
        return false;
    request->n_statuses = cleanup->n_statuses;
    for (size_t i = 0; i < cleanup->n_statuses; i++)
        request->statuses[i] = (Joblog__V1__JobStatus)cleanup->statuses[i];
    request->older_than = cleanup->older_than_ms ? duration_for(arena, cleanup->older_than_ms, &failed) : zero;
    request->limit = cleanup->limit;
    request->dry_run = cleanup->dry_run;
    request->page_token = text_for_message(cleanup->page_token);
    return !failed;
}

int joblog_cleanup(struct joblog_client *client, const struct joblog_cleanup *cleanup,
                   struct joblog_cleaned **ret_cleaned, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    char room[256];
    struct arena arena;
    arena_init(&arena, room, sizeof room, 0);
    Joblog__V1__CleanupJobsRequest request = JOBLOG__V1__CLEANUP_JOBS_REQUEST__INIT;
    Google__Protobuf__Duration zero = GOOGLE__PROTOBUF__DURATION__INIT;
    ProtobufCMessage *response = NULL;
    if (fill_request(&arena, cleanup, &request, &zero))
        call_unary(client, JOB_LOG_METHOD(CLEANUP_JOBS), &request.base, NULL, &response, &e);
    else
        error_no_memory(&e);
    struct joblog_cleaned *cleaned = response ? cleaned_of(response, &e) : NULL;
    if (cleaned)
        *ret_cleaned = cleaned;
    arena_done(&arena);
    return error_give(error, &e);
}

void joblog_cleaned_free(struct joblog_cleaned *cleaned)
{
    box_free(cleaned);
}
