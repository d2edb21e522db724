/* From the structs of the public headers to requests of the contract. No I/O; any thread. What the server checks is not
 * checked here: its answers name the field. */
#include "convert.h"

Google__Protobuf__Timestamp *timestamp_for(struct arena *a, int64_t us, bool *failed)
{
    if (us == 0)
        return NULL;
    Google__Protobuf__Timestamp *t = arena_alloc(a, sizeof *t);
    if (!t) {
        *failed = true;
        return NULL;
    }
    google__protobuf__timestamp__init(t);
    int64_t rest = us % 1000000;
    t->seconds = us / 1000000 - (rest < 0 ? 1 : 0);
    t->nanos = (int32_t)((rest < 0 ? rest + 1000000 : rest) * 1000);
    return t;
}

Google__Protobuf__Duration *duration_for(struct arena *a, int64_t ms, bool *failed)
{
    if (ms == 0)
        return NULL;
    Google__Protobuf__Duration *d = arena_alloc(a, sizeof *d);
    if (!d) {
        *failed = true;
        return NULL;
    }
    google__protobuf__duration__init(d);
    d->seconds = ms / 1000;
    d->nanos = (int32_t)(ms % 1000 * 1000000);
    return d;
}

static Joblog__V1__Source *source_for(struct arena *a, const char *type, const char *id, bool *failed)
{
    if ((!type || !*type) && (!id || !*id))
        return NULL;
    Joblog__V1__Source *source = arena_alloc(a, sizeof *source);
    if (!source) {
        *failed = true;
        return NULL;
    }
    joblog__v1__source__init(source);
    source->type = text_for_message(type);
    source->id = text_for_message(id);
    return source;
}

static bool spec_labels(struct arena *a, const struct joblog_spec *spec, Joblog__V1__JobSpec *m)
{
    if (spec->n_labels == 0)
        return true;
    m->labels = arena_alloc(a, spec->n_labels * sizeof *m->labels);
    Joblog__V1__JobSpec__LabelsEntry *entries = arena_alloc(a, spec->n_labels * sizeof *entries);
    if (!m->labels || !entries)
        return false;
    for (size_t i = 0; i < spec->n_labels; i++) {
        joblog__v1__job_spec__labels_entry__init(&entries[i]);
        entries[i].key = text_for_message(spec->labels[i].key);
        entries[i].value = text_for_message(spec->labels[i].value);
        m->labels[i] = &entries[i];
    }
    m->n_labels = spec->n_labels;
    return true;
}

static bool spec_delays(struct arena *a, const struct joblog_spec *spec, Joblog__V1__RetryPolicy *policy)
{
    Google__Protobuf__Duration *delays = arena_alloc(a, spec->n_delays * sizeof *delays);
    policy->delays = arena_alloc(a, spec->n_delays * sizeof *policy->delays);
    if (!delays || !policy->delays)
        return false;
    for (size_t i = 0; i < spec->n_delays; i++) {
        google__protobuf__duration__init(&delays[i]);
        delays[i].seconds = spec->delays_ms[i] / 1000;
        delays[i].nanos = (int32_t)(spec->delays_ms[i] % 1000 * 1000000);
        policy->delays[i] = &delays[i];
    }
    policy->n_delays = spec->n_delays;
    return true;
}

static bool spec_retry(struct arena *a, const struct joblog_spec *spec, Joblog__V1__JobSpec *m)
{
    if (spec->max_attempts == 0 && spec->initial_backoff_ms == 0 && spec->max_backoff_ms == 0 &&
        spec->backoff_multiplier == 0 && spec->backoff_jitter == 0 && spec->backoff == 0 && spec->n_delays == 0)
        return true;
    bool failed = false;
    Joblog__V1__RetryPolicy *policy = arena_alloc(a, sizeof *policy);
    if (!policy)
        return false;
    joblog__v1__retry_policy__init(policy);
    policy->max_attempts = spec->max_attempts;
    policy->initial_backoff = duration_for(a, spec->initial_backoff_ms, &failed);
    policy->max_backoff = duration_for(a, spec->max_backoff_ms, &failed);
    policy->multiplier = spec->backoff_multiplier;
    policy->jitter = spec->backoff_jitter;
    policy->backoff = (Joblog__V1__RetryPolicy__Backoff)spec->backoff;
    if (spec->n_delays > 0 && !spec_delays(a, spec, policy))
        return false;
    m->retry_policy = policy;
    return !failed;
}

static bool spec_unique(struct arena *a, const struct joblog_spec *spec, Joblog__V1__JobSpec *m)
{
    if (!spec->unique_key)
        return true;
    bool failed = false;
    Joblog__V1__UniqueKey *key = arena_alloc(a, sizeof *key);
    if (!key)
        return false;
    joblog__v1__unique_key__init(key);
    key->key = text_for_message(spec->unique_key);
    key->scope = (Joblog__V1__UniqueKey__Scope)spec->unique_scope;
    key->period = duration_for(a, spec->unique_period_ms, &failed);
    key->on_conflict = (Joblog__V1__UniqueKey__OnConflict)spec->on_conflict;
    m->unique_key = key;
    return !failed;
}

Joblog__V1__JobSpec *convert_spec(struct arena *a, const struct joblog_spec *spec, struct err *ret_err)
{
    bool failed = false;
    Joblog__V1__JobSpec *m = arena_alloc(a, sizeof *m);
    if (!m) {
        error_no_memory(ret_err);
        return NULL;
    }
    joblog__v1__job_spec__init(m);
    m->job_name = text_for_message(spec->job_name);
    m->queue = text_for_message(spec->queue);
    m->priority = spec->priority;
    m->source = source_for(a, spec->source_type, spec->source_id, &failed);
    m->owner = text_for_message(spec->owner);
    m->payload = text_for_message(spec->payload);
    m->run_time = timestamp_for(a, spec->run_time_us, &failed);
    m->batch = text_for_message(spec->batch);
    m->traceparent = text_for_message(spec->traceparent);
    m->start_timeout = duration_for(a, spec->start_timeout_ms, &failed);
    m->run_timeout = duration_for(a, spec->run_timeout_ms, &failed);
    m->heartbeat_timeout = duration_for(a, spec->heartbeat_timeout_ms, &failed);
    if (!spec_labels(a, spec, m) || !spec_retry(a, spec, m) || !spec_unique(a, spec, m) || failed) {
        error_no_memory(ret_err);
        return NULL;
    }
    return m;
}

static bool filter_labels(struct arena *a, const struct joblog_filter *filter, Joblog__V1__JobFilter *m)
{
    if (filter->n_labels == 0)
        return true;
    m->labels = arena_alloc(a, filter->n_labels * sizeof *m->labels);
    Joblog__V1__JobFilter__LabelsEntry *entries = arena_alloc(a, filter->n_labels * sizeof *entries);
    if (!m->labels || !entries)
        return false;
    for (size_t i = 0; i < filter->n_labels; i++) {
        joblog__v1__job_filter__labels_entry__init(&entries[i]);
        entries[i].key = text_for_message(filter->labels[i].key);
        entries[i].value = text_for_message(filter->labels[i].value);
        m->labels[i] = &entries[i];
    }
    m->n_labels = filter->n_labels;
    return true;
}

static bool filter_payload(struct arena *a, const struct joblog_filter *filter, Joblog__V1__JobFilter *m)
{
    if (filter->n_payload == 0)
        return true;
    m->payload = arena_alloc(a, filter->n_payload * sizeof *m->payload);
    Joblog__V1__PayloadMatch *all = arena_alloc(a, filter->n_payload * sizeof *all);
    if (!m->payload || !all)
        return false;
    for (size_t i = 0; i < filter->n_payload; i++) {
        const struct joblog_payload_match *from = &filter->payload[i];
        joblog__v1__payload_match__init(&all[i]);
        all[i].path = text_for_message(from->path);
        if (from->equals) {
            all[i].match_case = JOBLOG__V1__PAYLOAD_MATCH__MATCH_EQUALS;
            all[i].equals = text_for_message(from->equals);
        } else if (from->contains) {
            all[i].match_case = JOBLOG__V1__PAYLOAD_MATCH__MATCH_CONTAINS;
            all[i].contains = text_for_message(from->contains);
        }
        m->payload[i] = &all[i];
    }
    m->n_payload = filter->n_payload;
    return true;
}

static bool filter_statuses(struct arena *a, const struct joblog_filter *filter, Joblog__V1__JobFilter *m)
{
    if (filter->n_statuses == 0)
        return true;
    m->statuses = arena_alloc(a, filter->n_statuses * sizeof *m->statuses);
    if (!m->statuses)
        return false;
    for (size_t i = 0; i < filter->n_statuses; i++)
        m->statuses[i] = (Joblog__V1__JobStatus)filter->statuses[i];
    m->n_statuses = filter->n_statuses;
    return true;
}

Joblog__V1__JobFilter *convert_filter(struct arena *a, const struct joblog_filter *filter, struct err *ret_err)
{
    bool failed = false;
    Joblog__V1__JobFilter *m = arena_alloc(a, sizeof *m);
    if (!m) {
        error_no_memory(ret_err);
        return NULL;
    }
    joblog__v1__job_filter__init(m);
    m->n_ids = filter->n_ids;
    m->ids = (int64_t *)filter->ids;
    m->n_job_names = filter->n_job_names;
    m->job_names = (char **)filter->job_names;
    m->n_queues = filter->n_queues;
    m->queues = (char **)filter->queues;
    m->source = source_for(a, filter->source_type, filter->source_id, &failed);
    m->owner = text_for_message(filter->owner);
    m->batch = text_for_message(filter->batch);
    m->create_time_from = timestamp_for(a, filter->create_from_us, &failed);
    m->create_time_before = timestamp_for(a, filter->create_before_us, &failed);
    m->start_time_from = timestamp_for(a, filter->start_from_us, &failed);
    m->start_time_before = timestamp_for(a, filter->start_before_us, &failed);
    m->end_time_from = timestamp_for(a, filter->end_from_us, &failed);
    m->end_time_before = timestamp_for(a, filter->end_before_us, &failed);
    m->n_error_types = filter->n_error_types;
    m->error_types = (char **)filter->error_types;
    m->error_text = text_for_message(filter->error_text);
    if (!filter_payload(a, filter, m) || !filter_labels(a, filter, m) || !filter_statuses(a, filter, m) || failed) {
        error_no_memory(ret_err);
        return NULL;
    }
    return m;
}
