/* The jobs as the server tells them when all is over, and whether each is a legal life. One thread. */
#include <stdlib.h>
#include <string.h>

#include "crpc/async.h"
#include "model.h"

/* A batch has the time of its beginning, and may wait for one of the other replica, which began later and commits
 * first. Which comes first is told by revisions and numbers, not by times. */
enum { IN_FLIGHT = 32, CLOCK_US = 2000000 };

struct histories {
    struct model *model;
    struct crpc_channel *channel;
    struct crpc_loop *loop;
    const int64_t *ids;
    size_t n_ids, next;
    Joblog__V1__Job **jobs;
    size_t n;
};

static void ask_next(struct histories *h);

static void on_job(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct histories *h = user;
    if (response) {
        size_t size = protobuf_c_message_get_packed_size(response);
        uint8_t *packed = malloc(size);
        protobuf_c_message_pack(response, packed);
        h->jobs[h->n++] = joblog__v1__job__unpack(NULL, size, packed);
        free(packed);
    } else {
        model_complain(h->model, "a job could not be read: %s", status->msg);
    }
    ask_next(h);
}

static void ask_next(struct histories *h)
{
    Joblog__V1__GetJobRequest request = JOBLOG__V1__GET_JOB_REQUEST__INIT;
    if (h->next == h->n_ids)
        return;
    request.id = h->ids[h->next++];
    request.view = JOBLOG__V1__JOB_VIEW__JOB_VIEW_FULL;
    joblog_v1_job_log_service_get_job_start(h->channel, h->loop, NULL, &request, on_job, h, NULL);
}

static int by_id(const void *a, const void *b)
{
    const Joblog__V1__Job *x = *(Joblog__V1__Job *const *)a, *y = *(Joblog__V1__Job *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

struct histories *histories_read(struct model *model, struct crpc_channel *channel, const int64_t *ids, size_t n)
{
    struct histories *h = calloc(1, sizeof *h);
    *h = (struct histories){.model = model, .channel = channel, .ids = ids, .n_ids = n};
    h->loop = crpc_loop_new();
    h->jobs = calloc(n + 1, sizeof(Joblog__V1__Job *));
    for (int i = 0; i < IN_FLIGHT; i++)
        ask_next(h);
    while (crpc_loop_run(h->loop, -1) > 0) {
    }
    crpc_loop_free(h->loop);
    qsort(h->jobs, h->n, sizeof *h->jobs, by_id);
    return h;
}

const Joblog__V1__Job *history_of(const struct histories *h, int64_t id)
{
    Joblog__V1__Job key = {.id = id}, *at = &key;
    Joblog__V1__Job **found = bsearch(&at, h->jobs, h->n, sizeof *h->jobs, by_id);
    return found ? *found : NULL;
}

size_t histories_count(const struct histories *h)
{
    return h->n;
}

const Joblog__V1__Job *history_at(const struct histories *h, size_t i)
{
    return h->jobs[i];
}

void histories_free(struct histories *h)
{
    for (size_t i = 0; i < h->n; i++)
        joblog__v1__job__free_unpacked(h->jobs[i], NULL);
    free(h->jobs);
    free(h);
}

/* ---- legal lives ---- */

static int64_t time_us(const Google__Protobuf__Timestamp *t)
{
    return t ? t->seconds * 1000000 + t->nanos / 1000 : 0;
}

/* The table of docs and of proto/joblog/v1/job.proto, written down here once more: the check must not trust the
 * server's. */
static bool allowed(int from, int to)
{
    static const unsigned may[] = {[0] = 1u << 1, [1] = 1u << 2 | 1u << 5, [2] = 1u << 3 | 1u << 4 | 1u << 5 | 1u << 1,
                                   [3] = 0,       [4] = 1u << 1,           [5] = 1u << 1};
    return from >= 0 && from <= 5 && to >= 0 && may[from] >> to & 1;
}

/* Calls complain with the job's id before the rest. */
#define COMPLAIN(fmt, ...) model_complain(model, "job %lld: " fmt, (long long)job->id, __VA_ARGS__)

static void check_transitions(struct model *model, const Joblog__V1__Job *job)
{
    int status = 0;
    int64_t at = 0;
    for (size_t k = 0; k < job->n_transitions; k++) {
        const Joblog__V1__Transition *t = job->transitions[k];
        if ((int)t->from_status != status || !allowed(status, (int)t->to_status))
            COMPLAIN("change %zu of status from %d to %d, where it was %d", k, t->from_status, t->to_status, status);
        if (t->revision != (int64_t)(k + 1) << 20)
            COMPLAIN("change %zu of status has revision %lld", k, (long long)t->revision);
        if (time_us(t->time) < at - CLOCK_US)
            COMPLAIN("change %zu of status is earlier than the one before", k);
        at = time_us(t->time);
        status = (int)t->to_status;
    }
    if ((int)job->status != status || job->revision >> 20 != (int64_t)job->n_transitions)
        COMPLAIN("is %d at revision %lld, its last change of status was to %d at %zu << 20", job->status,
                 (long long)job->revision, status, job->n_transitions);
    if (status < JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED)
        COMPLAIN("is not final but %d", status);
}

static int count_to(const Joblog__V1__Job *job, Joblog__V1__JobStatus status)
{
    int n = 0;
    for (size_t k = 0; k < job->n_transitions; k++)
        n += job->transitions[k]->to_status == status;
    return n;
}

/* Attempts one after the other, and no more of those that count than were asked for between retries by hand. */
static void check_attempts(struct model *model, const Joblog__V1__Job *job)
{
    int n_runs = count_to(job, JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING);
    size_t n = 0;
    int counted = 0;
    if (n_runs != (int)job->n_attempts)
        COMPLAIN("was started %d times, and has %zu attempts", n_runs, job->n_attempts);
    for (size_t i = 0; i < job->n_attempts; i++) {
        const Joblog__V1__Attempt *a = job->attempts[i];
        if (a->number != (int32_t)i + 1)
            COMPLAIN("attempt %zu has number %d", i + 1, a->number);
        if (!a->end_time || time_us(a->end_time) < time_us(a->start_time))
            COMPLAIN("attempt %zu ends before it starts, or not at all", i + 1);
        if (i > 0 && time_us(a->start_time) < time_us(job->attempts[i - 1]->end_time) - CLOCK_US)
            COMPLAIN("attempt %zu starts before the one before has ended", i + 1);
    }
    for (size_t k = 1; k < job->n_transitions && n < job->n_attempts; k++) {
        const Joblog__V1__Transition *t = job->transitions[k];
        if (t->from_status == JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING)
            counted += job->attempts[n++]->outcome != JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_RELEASED;
        else if (t->to_status == JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING)
            counted = 0;
        if (counted > job->retry_policy->max_attempts)
            COMPLAIN("%d attempts of %d", counted, job->retry_policy->max_attempts);
    }
}

void check_lives(struct model *model, const struct histories *h)
{
    for (size_t i = 0; i < h->n; i++) {
        check_transitions(model, h->jobs[i]);
        check_attempts(model, h->jobs[i]);
    }
}
