/* Queues: unary calls on the caller's thread. */
#include "joblog/queue.h"

#include "box.h"
#include "convert.h"

static void convert_queue(const Joblog__V1__Queue *m, struct joblog_queue *ret)
{
    *ret = (struct joblog_queue){
        .name = text_of(m->name),
        .paused = m->paused,
        .pause_us = time_us_of(m->pause_time),
        .pause_actor = text_of(m->pause_actor),
        .pause_reason = text_of(m->pause_reason),
        .waiting = m->waiting,
        .scheduled = m->scheduled,
        .running = m->running,
        .oldest_us = time_us_of(m->oldest_time),
    };
}

/* One queue is the answer. */
static int call_queue(struct joblog_client *client, const struct crpc_method *method, const ProtobufCMessage *request,
                      struct joblog_queue **ret_queue, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    ProtobufCMessage *response = NULL;
    struct joblog_queue *queue = NULL;
    if (call_unary(client, method, request, NULL, &response, &e) == 0) {
        const Joblog__V1__Queue *m = (const Joblog__V1__Queue *)response;
        queue = box_new(response, sizeof *queue);
        if (queue)
            convert_queue(m, queue);
        else
            error_no_memory(&e);
    }
    if (queue && ret_queue)
        *ret_queue = queue;
    else
        box_free(queue);
    return error_give(error, &e);
}

int joblog_pause_queue(struct joblog_client *client, const char *queue, const char *reason,
                       struct joblog_queue **ret_queue, struct joblog_error *error)
{
    Joblog__V1__PauseQueueRequest request = JOBLOG__V1__PAUSE_QUEUE_REQUEST__INIT;
    request.queue = text_for_message(queue);
    request.reason = text_for_message(reason);
    return call_queue(client, JOB_LOG_METHOD(PAUSE_QUEUE), &request.base, ret_queue, error);
}

int joblog_resume_queue(struct joblog_client *client, const char *queue, struct joblog_queue **ret_queue,
                        struct joblog_error *error)
{
    Joblog__V1__ResumeQueueRequest request = JOBLOG__V1__RESUME_QUEUE_REQUEST__INIT;
    request.queue = text_for_message(queue);
    return call_queue(client, JOB_LOG_METHOD(RESUME_QUEUE), &request.base, ret_queue, error);
}

int joblog_list_queues(struct joblog_client *client, const char *const *names, size_t n_names,
                       struct joblog_queue **ret_queues, size_t *ret_n, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__ListQueuesRequest request = JOBLOG__V1__LIST_QUEUES_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    request.queues = (char **)names;
    request.n_queues = n_names;
    if (call_unary(client, JOB_LOG_METHOD(LIST_QUEUES), &request.base, NULL, &response, &e) < 0)
        return error_give(error, &e);
    const Joblog__V1__ListQueuesResponse *m = (const Joblog__V1__ListQueuesResponse *)response;
    struct joblog_queue *queues = box_new(response, m->n_queues * sizeof *queues);
    if (!queues) {
        error_no_memory(&e);
        return error_give(error, &e);
    }
    for (size_t i = 0; i < m->n_queues; i++)
        convert_queue(m->queues[i], &queues[i]);
    *ret_queues = queues;
    *ret_n = m->n_queues;
    return 0;
}

void joblog_queues_free(struct joblog_queue *queues)
{
    box_free(queues);
}
