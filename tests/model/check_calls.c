/* What callers were told, against the jobs that there are. One thread, when all is over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

struct made {
    uint64_t call;
    int64_t id;
};

static int by_call(const void *a, const void *b)
{
    const struct made *x = a, *y = b;
    return (x->call > y->call) - (x->call < y->call);
}

/* How many jobs a call made; *ret_id is one of them. */
static size_t jobs_of(const struct made *made, size_t n, uint64_t call, int64_t *ret_id)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (made[mid].call < call)
            low = mid + 1;
        else
            high = mid;
    }
    size_t count = 0;
    while (low + count < n && made[low + count].call == call)
        *ret_id = made[low + count++].id;
    return count;
}

/* The job that answered a call, though another had made it. */
static void check_existing(struct model *model, const struct call_fact *fact, const struct histories *h)
{
    const Joblog__V1__Job *job = history_of(h, fact->id);
    struct call_spec spec;
    call_spec_make(&spec, model->seed, fact->call, 0);
    if (!job || !job->unique_key || !spec.spec.unique_key || strcmp(job->unique_key->key, spec.key) != 0 ||
        strcmp(job->job_name, spec.spec.job_name) != 0)
        model_complain(model, "call %llu was answered with job %lld, which does not hold its key",
                       (unsigned long long)fact->call, (long long)fact->id);
}

static void check_call(struct model *model, const struct call_fact *fact, const struct made *made, size_t n,
                       const struct histories *h)
{
    int64_t id = 0;
    size_t count = jobs_of(made, n, fact->call, &id);
    unsigned long long call = fact->call;
    const Joblog__V1__Job *job = fact->answer == ANSWER_OK ? history_of(h, fact->id) : NULL;
    bool existing = job && call_of_job(job) != fact->call;
    if (fact->answer == ANSWER_OK && !existing && (count != 1 || id != fact->id))
        model_complain(model, "call %llu was acknowledged with job %lld, and made %zu jobs, such as %lld", call,
                       (long long)fact->id, count, (long long)id);
    if (existing) {
        check_existing(model, fact, h);
        if (count != 0)
            model_complain(model, "call %llu was answered with another's job, and made %lld", call, (long long)id);
    }
    if (fact->answer == ANSWER_REFUSED && count != 0)
        model_complain(model, "call %llu was refused, and made %lld", call, (long long)id);
    if (fact->answer == ANSWER_UNKNOWN && count > 1)
        model_complain(model, "call %llu made %zu jobs", call, count);
}

/* The changes of status that a cancel or a retry made, known by its request id. A completion names the cancel that came
 * too late, and was not made by it. */
static size_t changes_by(const Joblog__V1__Job *job, const struct steer_fact *fact, int *ret_to)
{
    char request_id[40];
    size_t n = 0;
    snprintf(request_id, sizeof request_id, "steer-%llu", (unsigned long long)fact->call);
    for (size_t k = 0; job && k < job->n_transitions; k++)
        if (strcmp(job->transitions[k]->request_id, request_id) == 0 &&
            job->transitions[k]->to_status != JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED) {
            *ret_to = (int)job->transitions[k]->to_status;
            n++;
        }
    return n;
}

static void check_steer(struct model *model, const struct steer_fact *fact, const struct histories *h)
{
    const char *what = fact->kind == STEER_RETRY ? "retry" : "cancel";
    int wanted = fact->kind == STEER_RETRY ? JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
                                           : JOBLOG__V1__JOB_STATUS__JOB_STATUS_CANCELLED;
    int to = wanted;
    size_t n = changes_by(history_of(h, fact->id), fact, &to);
    if (to != wanted || n > 1)
        model_complain(model, "%s %llu of job %lld made %zu changes, the last to %d", what,
                       (unsigned long long)fact->call, (long long)fact->id, n, to);
    if (fact->answer == ANSWER_REFUSED && n != 0)
        model_complain(model, "%s %llu of job %lld was refused and done", what, (unsigned long long)fact->call,
                       (long long)fact->id);
    /* A cancel that was acknowledged may have been a request to a worker, which finished first. */
    if (fact->answer == ANSWER_OK && fact->kind == STEER_RETRY && n != 1)
        model_complain(model, "retry %llu of job %lld was acknowledged, and not done", (unsigned long long)fact->call,
                       (long long)fact->id);
}

void check_calls(struct model *model, const struct model_actors *actors, const struct histories *h)
{
    size_t n = histories_count(h), n_asked = 1; /* the sentinel */
    struct made *made = calloc(n + 1, sizeof *made);
    for (size_t i = 0; i < n; i++)
        made[i] = (struct made){call_of_job(history_at(h, i)), history_at(h, i)->id};
    qsort(made, n, sizeof *made, by_call);
    for (int c = 0; c < CLIENTS; c++) {
        const struct facts *facts = &actors->clients[c].facts;
        for (size_t i = 0; i < facts->calls.n; i++) {
            int64_t id;
            check_call(model, &facts->calls.at[i], made, n, h);
            n_asked += jobs_of(made, n, facts->calls.at[i].call, &id);
        }
        for (size_t i = 0; i < facts->steers.n; i++)
            check_steer(model, &facts->steers.at[i], h);
    }
    if (n_asked != n)
        model_complain(model, "there are %zu jobs, of which %zu were asked for", n, n_asked);
    free(made);
}
