/* Lists of jobs, and the catalogue of statuses. One unary call each, on the caller's thread. */
#include "box.h"
#include "convert.h"

static struct joblog_list *list_of(ProtobufCMessage *message, struct err *ret_err)
{
    Joblog__V1__ListJobsResponse *m = (Joblog__V1__ListJobsResponse *)message;
    struct joblog_list *list = box_new(message, sizeof *list);
    if (!list) {
        error_no_memory(ret_err);
        return NULL;
    }
    struct arena *a = box_arena(list);
    list->next_page_token = m->next_page_token;
    list->n_jobs = m->n_jobs;
    list->jobs = arena_alloc(a, m->n_jobs * sizeof *list->jobs);
    bool ok = list->jobs != NULL;
    for (size_t i = 0; ok && i < m->n_jobs; i++)
        ok = convert_job(a, m->jobs[i], &list->jobs[i]);
    if (!ok) {
        box_free(list);
        error_no_memory(ret_err);
        return NULL;
    }
    return list;
}

int joblog_list_jobs(struct joblog_client *client, const struct joblog_filter *filter, int page_size,
                     const char *page_token, struct joblog_list **ret_list, struct joblog_error *error)
{
    return joblog_list_jobs_in_order(client, filter, JOBLOG_NEWEST_FIRST, page_size, page_token, ret_list, error);
}

int joblog_list_jobs_in_order(struct joblog_client *client, const struct joblog_filter *filter, enum joblog_order order,
                              int page_size, const char *page_token, struct joblog_list **ret_list,
                              struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    Joblog__V1__ListJobsRequest request = JOBLOG__V1__LIST_JOBS_REQUEST__INIT;
    request.page_size = page_size;
    request.order = (Joblog__V1__JobOrder)order;
    request.page_token = text_for_message(page_token);
    request.filter = filter ? convert_filter(&arena, filter, &e) : NULL;
    ProtobufCMessage *response = NULL;
    if (e.code == ERR_OK && call_unary(client, JOB_LOG_METHOD(LIST_JOBS), &request.base, NULL, &response, &e) == 0) {
        struct joblog_list *list = list_of(response, &e);
        if (list)
            *ret_list = list;
    }
    arena_done(&arena);
    return error_give(error, &e);
}

void joblog_list_free(struct joblog_list *list)
{
    box_free(list);
}

int joblog_list_statuses(struct joblog_client *client, const char *language, struct joblog_status_info **ret_statuses,
                         size_t *ret_n, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__ListJobStatusesRequest request = JOBLOG__V1__LIST_JOB_STATUSES_REQUEST__INIT;
    request.language = text_for_message(language);
    ProtobufCMessage *response = NULL;
    if (call_unary(client, JOB_LOG_METHOD(LIST_JOB_STATUSES), &request.base, NULL, &response, &e) < 0)
        return error_give(error, &e);
    Joblog__V1__ListJobStatusesResponse *m = (Joblog__V1__ListJobStatusesResponse *)response;
    struct joblog_status_info *infos = box_new(response, m->n_statuses * sizeof *infos);
    if (!infos) {
        error_no_memory(&e);
        return error_give(error, &e);
    }
    for (size_t i = 0; i < m->n_statuses; i++) {
        const Joblog__V1__JobStatusInfo *s = m->statuses[i];
        infos[i] = (struct joblog_status_info){(enum joblog_status)s->status, text_of(s->name), text_of(s->label),
                                               text_of(s->color), text_of(s->icon)};
    }
    *ret_statuses = infos;
    *ret_n = m->n_statuses;
    return 0;
}

void joblog_statuses_free(struct joblog_status_info *statuses)
{
    box_free(statuses);
}

static const char *const status_names[] = {[JOBLOG_PENDING] = "pending",
                                           [JOBLOG_RUNNING] = "running",
                                           [JOBLOG_COMPLETED] = "completed",
                                           [JOBLOG_FAILED] = "failed",
                                           [JOBLOG_STATUS_CANCELLED] = "cancelled"};

const char *joblog_status_name(enum joblog_status status)
{
    return status >= JOBLOG_PENDING && status <= JOBLOG_STATUS_CANCELLED ? status_names[status] : "unknown";
}

enum joblog_status joblog_status_parse(const char *name)
{
    for (int s = JOBLOG_PENDING; name && s <= JOBLOG_STATUS_CANCELLED; s++) {
        if (strcmp(status_names[s], name) == 0)
            return (enum joblog_status)s;
    }
    return (enum joblog_status)0;
}
