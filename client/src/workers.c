/* Listing workers, asking them to drain, pausing them: one unary call each, on the caller's thread. */
#include "joblog/workers.h"

#include "base/alloc.h"
#include "convert.h"

struct list_box {
    struct joblog_worker_list list; /* first */
    ProtobufCMessage *message;
    struct joblog_worker_info workers[];
};

static struct joblog_worker_info convert_info(const Joblog__V1__Worker *m)
{
    const Joblog__V1__CancelRequest *drain = m->drain_request, *pause = m->pause_request;
    return (struct joblog_worker_info){.session_id = m->session_id,
                                       .pid = m->pid,
                                       .name = text_of(m->name),
                                       .version = text_of(m->version),
                                       .host = text_of(m->host),
                                       .queues = (const char *const *)m->queues,
                                       .n_queues = m->n_queues,
                                       .job_names = (const char *const *)m->job_names,
                                       .n_job_names = m->n_job_names,
                                       .credit = m->credit,
                                       .n_running = m->running_count,
                                       .job_ids = m->running_job_ids,
                                       .n_job_ids = m->n_running_job_ids,
                                       .start_us = time_us_of(m->start_time),
                                       .last_seen_us = time_us_of(m->last_seen_time),
                                       .replica = m->replica,
                                       .drain_us = drain ? time_us_of(drain->time) : 0,
                                       .drain_actor = text_of(drain ? drain->actor : NULL),
                                       .drain_reason = text_of(drain ? drain->reason : NULL),
                                       .pause_us = pause ? time_us_of(pause->time) : 0,
                                       .pause_actor = text_of(pause ? pause->actor : NULL),
                                       .pause_reason = text_of(pause ? pause->reason : NULL)};
}

int joblog_list_workers(struct joblog_client *client, const struct joblog_worker_filter *filter, int page_size,
                        const char *page_token, struct joblog_worker_list **ret_list, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__ListWorkersRequest request = JOBLOG__V1__LIST_WORKERS_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    if (filter) {
        request.name = text_for_message(filter->name);
        request.host = text_for_message(filter->host);
        request.version = text_for_message(filter->version);
        request.queue = text_for_message(filter->queue);
    }
    request.page_size = page_size;
    request.page_token = text_for_message(page_token);
    if (call_unary(client, WORKER_METHOD(LIST_WORKERS), &request.base, NULL, &message, &e) < 0)
        return error_give(error, &e);
    const Joblog__V1__ListWorkersResponse *m = (const Joblog__V1__ListWorkersResponse *)message;
    struct list_box *box = mem_zalloc(sizeof *box + m->n_workers * sizeof *box->workers);
    if (!box) {
        crpc_message_free(message);
        error_no_memory(&e);
        return error_give(error, &e);
    }
    for (size_t i = 0; i < m->n_workers; i++)
        box->workers[i] = convert_info(m->workers[i]);
    box->message = message;
    box->list = (struct joblog_worker_list){box->workers, m->n_workers, text_of(m->next_page_token)};
    *ret_list = &box->list;
    return 0;
}

void joblog_worker_list_free(struct joblog_worker_list *list)
{
    struct list_box *box = (struct list_box *)(void *)list;
    if (!box)
        return;
    crpc_message_free(box->message);
    mem_free(box);
}

/* Copies what fits, frees the response. How many there are. */
static int take_sessions(ProtobufCMessage *response, const int64_t *ids, size_t n, int64_t *ret_sessions, size_t max)
{
    for (size_t i = 0; ret_sessions && i < n && i < max; i++)
        ret_sessions[i] = ids[i];
    crpc_message_free(response);
    return (int)n;
}

/* The three requests have these fields. */
#define FILL_REQUEST(request, filter)                                                                                  \
    do {                                                                                                               \
        (request).name = text_for_message((filter)->name);                                                             \
        (request).host = text_for_message((filter)->host);                                                             \
        (request).version = text_for_message((filter)->version);                                                       \
        (request).session_ids = (int64_t *)(filter)->session_ids; /* only read */                                      \
        (request).n_session_ids = (filter)->n_session_ids;                                                             \
    } while (0)

int joblog_drain_workers(struct joblog_client *client, const struct joblog_worker_filter *filter, const char *reason,
                         int64_t *ret_sessions, size_t max, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__DrainWorkersRequest request = JOBLOG__V1__DRAIN_WORKERS_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    FILL_REQUEST(request, filter);
    request.reason = text_for_message(reason);
    if (call_unary(client, WORKER_METHOD(DRAIN_WORKERS), &request.base, NULL, &response, &e) < 0)
        return error_give(error, &e);
    const Joblog__V1__DrainWorkersResponse *m = (const Joblog__V1__DrainWorkersResponse *)response;
    return take_sessions(response, m->session_ids, m->n_session_ids, ret_sessions, max);
}

int joblog_pause_workers(struct joblog_client *client, const struct joblog_worker_filter *filter, const char *reason,
                         int64_t *ret_sessions, size_t max, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__PauseWorkersRequest request = JOBLOG__V1__PAUSE_WORKERS_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    FILL_REQUEST(request, filter);
    request.reason = text_for_message(reason);
    if (call_unary(client, WORKER_METHOD(PAUSE_WORKERS), &request.base, NULL, &response, &e) < 0)
        return error_give(error, &e);
    const Joblog__V1__PauseWorkersResponse *m = (const Joblog__V1__PauseWorkersResponse *)response;
    return take_sessions(response, m->session_ids, m->n_session_ids, ret_sessions, max);
}

int joblog_resume_workers(struct joblog_client *client, const struct joblog_worker_filter *filter,
                          int64_t *ret_sessions, size_t max, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__ResumeWorkersRequest request = JOBLOG__V1__RESUME_WORKERS_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    FILL_REQUEST(request, filter);
    if (call_unary(client, WORKER_METHOD(RESUME_WORKERS), &request.base, NULL, &response, &e) < 0)
        return error_give(error, &e);
    const Joblog__V1__ResumeWorkersResponse *m = (const Joblog__V1__ResumeWorkersResponse *)response;
    return take_sessions(response, m->session_ids, m->n_session_ids, ret_sessions, max);
}
