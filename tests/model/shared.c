/* What the actors share; see model.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "support/channel.h"

enum { COMPLAINTS_SHOWN = 40 };

void model_complain(struct model *model, const char *fmt, ...)
{
    va_list args;
    if (atomic_fetch_add(&model->n_complaints, 1) >= COMPLAINTS_SHOWN)
        return;
    char line[600];
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    fprintf(stderr, "model: BROKEN: %s\n", line);
}

void model_know(struct model *model, int64_t id)
{
    pthread_mutex_lock(&model->lock);
    if (model->n_known < KNOWN_MAX)
        model->known[model->n_known++] = id;
    pthread_cond_broadcast(&model->more);
    pthread_mutex_unlock(&model->lock);
}

int64_t model_choose(struct model *model, uint64_t *chance, size_t recent)
{
    int64_t id = 0;
    pthread_mutex_lock(&model->lock);
    size_t from = recent > 0 && model->n_known > recent ? model->n_known - recent : 0;
    if (model->n_known > 0)
        id = model->known[from + (size_t)chance_below(chance, (int)(model->n_known - from))];
    pthread_mutex_unlock(&model->lock);
    return id;
}

void model_await_known(struct model *model, size_t n)
{
    pthread_mutex_lock(&model->lock);
    while (model->n_known <= n && atomic_load(&model->phase) == PHASE_CHAOS)
        pthread_cond_wait(&model->more, &model->lock);
    pthread_mutex_unlock(&model->lock);
}

void model_set_phase(struct model *model, enum phase phase)
{
    pthread_mutex_lock(&model->lock);
    atomic_store(&model->phase, phase);
    pthread_cond_broadcast(&model->more);
    pthread_mutex_unlock(&model->lock);
}

struct crpc_channel *actor_channel(struct actor *actor)
{
    int at = chance_below(&actor->chance, REPLICAS);
    if (!actor->channels[at])
        actor->channels[at] = channel_open_with(actor->model->address[at], actor->model->token,
                                                &(struct crpc_channel_options){.max_reconnect_ms = 100});
    return actor->channels[at];
}

/* ---- what a call asks for ---- */

static const char *const NAMES[] = {"model.a", "model.b", "model.c"};
static const char *const QUEUE_NAMES[QUEUES] = {"model-x", "model-y", "model-z"};
static const char *const COLORS[] = {"red", "green", "blue"};

bool call_is_delayed(uint64_t seed, uint64_t call)
{
    return chance_of(seed, call, 'd') % 10 == 0;
}

static void duration_set(Google__Protobuf__Duration *d, Google__Protobuf__Duration **member, int ms)
{
    google__protobuf__duration__init(d);
    d->seconds = ms / 1000;
    d->nanos = ms % 1000 * 1000000;
    *member = d;
}

static void label_set(struct call_spec *c, int i, const char *key, const char *value)
{
    joblog__v1__job_spec__labels_entry__init(&c->labels[i]);
    c->labels[i].key = (char *)key;
    c->labels[i].value = (char *)value;
    c->label_list[i] = &c->labels[i];
    c->spec.labels = c->label_list;
    c->spec.n_labels = (size_t)i + 1;
}

static void unique_set(struct call_spec *c, uint64_t *chance)
{
    joblog__v1__unique_key__init(&c->unique);
    snprintf(c->key, sizeof c->key, "key-%d", chance_below(chance, 4));
    c->unique.key = c->key;
    c->unique.scope = chance_percent(chance, 60) ? JOBLOG__V1__UNIQUE_KEY__SCOPE__SCOPE_NOT_FINAL
                                                 : JOBLOG__V1__UNIQUE_KEY__SCOPE__SCOPE_PENDING;
    c->unique.on_conflict = (Joblog__V1__UniqueKey__OnConflict)(1 + chance_below(chance, 4));
    c->spec.unique_key = &c->unique;
}

void call_spec_make(struct call_spec *c, uint64_t seed, uint64_t call, int64_t run_us)
{
    uint64_t chance = chance_of(seed, call, 's');
    joblog__v1__job_spec__init(&c->spec);
    c->spec.job_name = (char *)NAMES[chance_below(&chance, 3)];
    c->spec.queue = (char *)QUEUE_NAMES[chance_below(&chance, QUEUES)];
    c->spec.priority = chance_below(&chance, 3);
    snprintf(c->call, sizeof c->call, "%llu", (unsigned long long)call);
    label_set(c, 0, "call", c->call);
    label_set(c, 1, "color", COLORS[chance_below(&chance, 3)]);
    snprintf(c->payload, sizeof c->payload, "{\"call\": %llu}", (unsigned long long)call);
    c->spec.payload = c->payload;
    joblog__v1__retry_policy__init(&c->retry);
    c->retry.max_attempts = 1 + chance_below(&chance, 3);
    c->retry.backoff = JOBLOG__V1__RETRY_POLICY__BACKOFF__BACKOFF_FIXED;
    duration_set(&c->backoff, &c->retry.initial_backoff, chance_below(&chance, 2) * 50);
    c->spec.retry_policy = &c->retry;
    if (chance_percent(&chance, 5))
        duration_set(&c->start_timeout, &c->spec.start_timeout, 100 + chance_below(&chance, 300));
    if (chance_percent(&chance, 5))
        duration_set(&c->run_timeout, &c->spec.run_timeout, 100 + chance_below(&chance, 300));
    if (chance_percent(&chance, 10))
        unique_set(c, &chance);
    if (run_us > 0) {
        google__protobuf__timestamp__init(&c->run_time);
        c->run_time.seconds = run_us / 1000000;
        c->run_time.nanos = (int32_t)(run_us % 1000000 * 1000);
        c->spec.run_time = &c->run_time;
    }
}

uint64_t call_of_job(const Joblog__V1__Job *job)
{
    for (size_t i = 0; i < job->n_labels; i++)
        if (strcmp(job->labels[i]->key, "call") == 0)
            return strtoull(job->labels[i]->value, NULL, 10);
    return 0;
}

/* ---- what the watchers of many jobs ask for ---- */

/* Number: 0 a queue, 1 a job name, 2 a label, 3 everything, 4 what is bad, 5 what runs. The first four are told of
 * every change of status. */
void jobs_watcher_filter(int number, struct watch_filter *f)
{
    joblog__v1__job_filter__init(&f->filter);
    joblog__v1__job_filter__labels_entry__init(&f->label);
    f->queue = (char *)QUEUE_NAMES[0];
    f->name = (char *)NAMES[1];
    f->label.key = (char *)"color";
    f->label.value = (char *)COLORS[2];
    f->labels[0] = &f->label;
    f->statuses[0] =
        number == 4 ? JOBLOG__V1__JOB_STATUS__JOB_STATUS_FAILED : JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING;
    f->statuses[1] = JOBLOG__V1__JOB_STATUS__JOB_STATUS_CANCELLED;
    if (number == 0) {
        f->filter.queues = &f->queue;
        f->filter.n_queues = 1;
    } else if (number == 1) {
        f->filter.job_names = &f->name;
        f->filter.n_job_names = 1;
    } else if (number == 2) {
        f->filter.labels = f->labels;
        f->filter.n_labels = 1;
    } else if (number > 3) {
        f->filter.statuses = f->statuses;
        f->filter.n_statuses = number == 4 ? 2 : 1;
    }
}

bool jobs_watcher_wants(int number, const Joblog__V1__Job *job)
{
    if (number == 0)
        return strcmp(job->queue, QUEUE_NAMES[0]) == 0;
    if (number == 1)
        return strcmp(job->job_name, NAMES[1]) == 0;
    if (number > 2)
        return true;
    for (size_t i = 0; i < job->n_labels; i++)
        if (strcmp(job->labels[i]->key, "color") == 0)
            return strcmp(job->labels[i]->value, COLORS[2]) == 0;
    return false;
}
