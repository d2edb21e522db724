/* What workers were told of their writes, against the attempts that there are: each accepted end is the end of its
 * attempt, none is of an attempt that was over, and what they patched is there. One thread, when all is over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

#define COMPLETED JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_COMPLETED
#define FAILED    JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_FAILED
#define CANCELLED JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_CANCELLED
#define RELEASED  JOBLOG__V1__ATTEMPT__OUTCOME__OUTCOME_RELEASED

struct all {
    struct model *model;
    const struct histories *h;
    const struct write_fact **writes; /* by job, attempt, time */
    const struct lease_fact **leases; /* by job, attempt */
    size_t n_writes, n_leases;
};

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_attempt(const void *a, const void *b)
{
    const struct write_fact *x = *(const struct write_fact *const *)a, *y = *(const struct write_fact *const *)b;
    int c = order(x->id, y->id);
    c = c ? c : order(x->attempt, y->attempt);
    c = c ? c : order(x->token, y->token);
    return c ? c : order(x->sent_us, y->sent_us);
}

static int lease_by_attempt(const void *a, const void *b)
{
    const struct lease_fact *x = *(const struct lease_fact *const *)a, *y = *(const struct lease_fact *const *)b;
    int c = order(x->id, y->id);
    return c ? c : order(x->attempt, y->attempt);
}

/* The lease of an attempt that somebody was given; NULL: nobody noted it. */
static const struct lease_fact *lease_of(const struct all *all, int64_t id, int32_t attempt)
{
    struct lease_fact key = {.id = id, .attempt = attempt};
    const struct lease_fact *at = &key;
    const struct lease_fact **found = bsearch(&at, all->leases, all->n_leases, sizeof *all->leases, lease_by_attempt);
    return found ? *found : NULL;
}

static bool is_end(const struct write_fact *w)
{
    return w->kind != WRITE_PROGRESS;
}

/* Whether this outcome may come of such an end. A cancel that was asked for makes CANCELLED of all but a completion. */
static bool follows(enum write_kind kind, Joblog__V1__Attempt__Outcome outcome)
{
    switch (kind) {
    case WRITE_COMPLETE:
        return outcome == COMPLETED;
    case WRITE_FAIL:
        return outcome == FAILED || outcome == CANCELLED;
    case WRITE_CANCELLED:
        return outcome == CANCELLED;
    case WRITE_RELEASE:
    case WRITE_SNOOZE:
        return outcome == RELEASED || outcome == CANCELLED;
    default:
        return false;
    }
}

/* The status that the job got by the end of an attempt. */
static int status_after(const Joblog__V1__Job *job, int32_t attempt)
{
    int n = 0;
    for (size_t k = 0; k < job->n_transitions; k++) {
        if (n == attempt)
            return (int)job->transitions[k]->to_status;
        n += job->transitions[k]->to_status == JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING;
    }
    return 0;
}

/* Of a write that was accepted: the attempt is its worker's and ended so. */
static void check_accepted(const struct all *all, const struct write_fact *w, const Joblog__V1__Job *job)
{
    const struct lease_fact *lease = lease_of(all, w->id, w->attempt);
    if (!lease || lease->token != w->token || w->attempt < 1 || w->attempt > (int32_t)job->n_attempts) {
        model_complain(all->model, "job %lld: a write by a token that nobody was given was accepted", (long long)w->id);
        return;
    }
    if (!is_end(w))
        return;
    const Joblog__V1__Attempt *a = job->attempts[w->attempt - 1];
    if (!follows(w->kind, a->outcome))
        model_complain(all->model, "job %lld attempt %d: an end of kind %d was accepted, the outcome is %d",
                       (long long)w->id, w->attempt, w->kind, a->outcome);
    if (strcmp(a->worker, w->worker) != 0)
        model_complain(all->model, "job %lld attempt %d: an end by %s was accepted, the attempt is of %s",
                       (long long)w->id, w->attempt, w->worker, a->worker);
    if (w->status != 0 && w->status != status_after(job, w->attempt))
        model_complain(all->model, "job %lld attempt %d: its worker was told %d, the job became %d", (long long)w->id,
                       w->attempt, w->status, status_after(job, w->attempt));
}

/* Sent for the first time when another worker held the next attempt, and accepted. */
static void check_overlap(const struct all *all, const struct write_fact **group, size_t n)
{
    const struct lease_fact *next = lease_of(all, group[0]->id, group[0]->attempt + 1);
    for (size_t i = 0; next && i < n; i++) {
        if (!is_end(group[i]) || group[i]->answer != ANSWER_OK)
            continue;
        size_t first = 0; /* the same end may have been sent before, and its answer lost */
        while (group[first]->kind != group[i]->kind)
            first++;
        if (group[first]->sent_us > next->got_us)
            model_complain(all->model, "job %lld attempt %d: an end was accepted %lld us after attempt %d had begun",
                           (long long)next->id, group[i]->attempt, (long long)(group[first]->sent_us - next->got_us),
                           next->attempt);
    }
}

/* "p<attempt>" of the payload; 0 when it is not there. */
static int mark_of(const Joblog__V1__Job *job, int32_t attempt)
{
    char name[24];
    snprintf(name, sizeof name, "\"p%d\": ", attempt);
    const char *at = strstr(job->payload, name);
    return at ? atoi(at + strlen(name)) : 0;
}

/* A report that was accepted in an attempt that completed is in the payload; nothing is that nobody sent. */
static void check_marks(const struct all *all, const struct write_fact **group, size_t n, const Joblog__V1__Job *job)
{
    int32_t attempt = group[0]->attempt;
    if (job->unique_key || attempt < 1 || attempt > (int32_t)job->n_attempts)
        return; /* its payload may have been replaced */
    int mark = mark_of(job, attempt), accepted = 0;
    bool was_sent = mark == 0;
    for (size_t i = 0; i < n; i++) {
        if (group[i]->kind != WRITE_PROGRESS)
            continue;
        was_sent |= group[i]->mark == mark && group[i]->answer != ANSWER_REFUSED;
        if (group[i]->answer == ANSWER_OK && group[i]->mark > accepted)
            accepted = group[i]->mark;
    }
    if (!was_sent)
        model_complain(all->model, "job %lld attempt %d: mark %d of a report that was refused, or never sent",
                       (long long)job->id, attempt, mark);
    if (job->attempts[attempt - 1]->outcome == COMPLETED && mark < accepted)
        model_complain(all->model, "job %lld attempt %d: report %d was accepted, the payload has %d",
                       (long long)job->id, attempt, accepted, mark);
}

/* The writes by one token. */
static void check_group(const struct all *all, const struct write_fact **group, size_t n)
{
    const Joblog__V1__Job *job = history_of(all->h, group[0]->id);
    if (!job) {
        model_complain(all->model, "job %lld was leased, and is not there", (long long)group[0]->id);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (group[i]->answer == ANSWER_OK)
            check_accepted(all, group[i], job);
    check_overlap(all, group, n);
    const struct lease_fact *lease = lease_of(all, group[0]->id, group[0]->attempt);
    if (lease && lease->token == group[0]->token)
        check_marks(all, group, n, job);
}

/* An attempt that ended by its worker's word: the worker said it, and was not refused. */
static void check_attempt_was_written(const struct all *all, const Joblog__V1__Job *job, const Joblog__V1__Attempt *a)
{
    struct write_fact key = {.id = job->id, .attempt = a->number};
    bool by_worker = a->outcome == COMPLETED || a->outcome == RELEASED ||
                     (a->outcome == FAILED && a->error && strcmp(a->error->type, "Model") == 0);
    size_t low = 0, high = all->n_writes;
    const struct write_fact *at = &key;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (by_attempt(&all->writes[mid], &at) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (; by_worker && low < all->n_writes; low++) {
        const struct write_fact *w = all->writes[low];
        if (w->id != job->id || w->attempt != a->number)
            break;
        if (is_end(w) && follows(w->kind, a->outcome) && w->answer != ANSWER_REFUSED)
            return;
    }
    if (by_worker)
        model_complain(all->model, "job %lld attempt %d: outcome %d, which no worker wrote", (long long)job->id,
                       a->number, a->outcome);
}

static void gather(struct all *all, const struct facts *facts)
{
    for (size_t i = 0; i < facts->writes.n; i++)
        all->writes[all->n_writes++] = &facts->writes.at[i];
    for (size_t i = 0; i < facts->leases.n; i++)
        all->leases[all->n_leases++] = &facts->leases.at[i];
}

void check_writes(struct model *model, const struct model_actors *actors, const struct histories *h)
{
    struct all all = {.model = model, .h = h};
    size_t n_writes = 0, n_leases = 0;
    for (int i = 0; i < CLIENTS + WORKERS; i++) {
        const struct facts *facts = i < CLIENTS ? &actors->clients[i].facts : &actors->workers[i - CLIENTS].facts;
        n_writes += facts->writes.n;
        n_leases += facts->leases.n;
    }
    all.writes = calloc(n_writes + 1, sizeof(void *));
    all.leases = calloc(n_leases + 1, sizeof(void *));
    for (int i = 0; i < CLIENTS + WORKERS; i++)
        gather(&all, i < CLIENTS ? &actors->clients[i].facts : &actors->workers[i - CLIENTS].facts);
    qsort(all.writes, n_writes, sizeof *all.writes, by_attempt);
    qsort(all.leases, n_leases, sizeof *all.leases, lease_by_attempt);
    for (size_t i = 1; i < n_leases; i++)
        if (lease_by_attempt(&all.leases[i - 1], &all.leases[i]) == 0)
            model_complain(model, "job %lld attempt %d was given to %s and to %s", (long long)all.leases[i]->id,
                           all.leases[i]->attempt, all.leases[i - 1]->worker, all.leases[i]->worker);
    for (size_t i = 0, n; i < n_writes; i += n) {
        for (n = 1; i + n < n_writes && all.writes[i + n]->id == all.writes[i]->id &&
                    all.writes[i + n]->attempt == all.writes[i]->attempt &&
                    all.writes[i + n]->token == all.writes[i]->token;)
            n++;
        check_group(&all, &all.writes[i], n);
    }
    for (size_t i = 0; i < histories_count(h); i++)
        for (size_t k = 0; k < history_at(h, i)->n_attempts; k++)
            check_attempt_was_written(&all, history_at(h, i), history_at(h, i)->attempts[k]);
    free(all.writes);
    free(all.leases);
}
