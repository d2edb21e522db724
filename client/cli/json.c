/* Results for programs, over jansson. Main thread. */
#include "json.h"

#include "units.h"

#include <stdlib.h>
#include <string.h>

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(object, key, json_string(text));
}

static void set_int(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

static void set_time(json_t *object, const char *key, int64_t time_us)
{
    char buf[UNITS_TEXT];
    if (time_us)
        json_object_set_new(object, key, json_string(units_rfc3339(buf, time_us)));
}

static void set_json(json_t *object, const char *key, const char *text)
{
    if (text && *text)
        json_object_set_new(object, key, json_raw(text));
}

static void set_error(json_t *object, const char *type, const char *message, const char *stack_trace)
{
    if (!*type && !*message)
        return;
    json_t *error = json_object();
    set_text(error, "type", type);
    set_text(error, "message", message);
    set_text(error, "stack_trace", stack_trace);
    json_object_set_new(object, "error", error);
}

static json_t *json_of_progress(const struct joblog_job *job)
{
    json_t *progress = json_object();
    json_object_set_new(progress, "percent", json_real(job->percent));
    set_int(progress, "done", job->done);
    set_int(progress, "total", job->total);
    set_text(progress, "unit", job->unit);
    set_text(progress, "step", job->step);
    set_time(progress, "eta", job->eta_us);
    return progress;
}

static json_t *json_of_attempt(const struct joblog_attempt *attempt)
{
    json_t *object = json_object();
    set_int(object, "number", attempt->number);
    set_text(object, "worker", attempt->worker);
    set_text(object, "outcome", attempt->outcome);
    set_time(object, "start_time", attempt->start_us);
    set_time(object, "end_time", attempt->end_us);
    set_error(object, attempt->error_type, attempt->error_message, attempt->stack_trace);
    return object;
}

static json_t *json_of_transition(const struct joblog_transition *transition)
{
    json_t *object = json_object();
    set_int(object, "revision", transition->revision);
    if (transition->from)
        set_text(object, "from_status", joblog_status_name(transition->from));
    set_text(object, "to_status", joblog_status_name(transition->to));
    set_time(object, "time", transition->time_us);
    set_text(object, "actor", transition->actor);
    set_text(object, "reason", transition->reason);
    set_text(object, "request_id", transition->request_id);
    return object;
}

static void set_history(json_t *object, const struct joblog_job *job)
{
    if (job->n_attempts) {
        json_t *attempts = json_array();
        for (size_t i = 0; i < job->n_attempts; i++)
            json_array_append_new(attempts, json_of_attempt(&job->attempts[i]));
        json_object_set_new(object, "attempts", attempts);
    }
    if (job->n_transitions) {
        json_t *transitions = json_array();
        for (size_t i = 0; i < job->n_transitions; i++)
            json_array_append_new(transitions, json_of_transition(&job->transitions[i]));
        json_object_set_new(object, "transitions", transitions);
    }
}

static void set_objects(json_t *object, const struct joblog_job *job)
{
    if (*job->source_type || *job->source_id) {
        json_t *source = json_object();
        set_text(source, "type", job->source_type);
        set_text(source, "id", job->source_id);
        json_object_set_new(object, "source", source);
    }
    if (job->n_labels) {
        json_t *labels = json_object();
        for (size_t i = 0; i < job->n_labels; i++)
            json_object_set_new(labels, job->labels[i].key, json_string(job->labels[i].value));
        json_object_set_new(object, "labels", labels);
    }
    if (job->cancel_requested) {
        json_t *cancel = json_object();
        set_text(cancel, "actor", job->cancel_actor);
        set_text(cancel, "reason", job->cancel_reason);
        json_object_set_new(object, "cancel_request", cancel);
    } else {
        set_text(object, "cancel_reason", job->cancel_reason);
    }
}

/* Back-off and time-outs, in milliseconds; what is as nobody asked for is left out. */
static void set_policy(json_t *object, const struct joblog_job *job)
{
    static const char *const kinds[] = {"", "exponential", "linear", "fixed", "list"};
    const struct {
        const char *key;
        int64_t ms;
    } times[] = {{"initial_backoff_ms", job->max_attempts > 1 ? job->initial_backoff_ms : 0},
                 {"max_backoff_ms", job->max_attempts > 1 ? job->max_backoff_ms : 0},
                 {"start_timeout_ms", job->start_timeout_ms},
                 {"run_timeout_ms", job->run_timeout_ms},
                 {"heartbeat_timeout_ms", job->heartbeat_timeout_ms}};
    if (job->max_attempts > 1 && job->backoff >= JOBLOG_BACKOFF_EXPONENTIAL && job->backoff <= JOBLOG_BACKOFF_LIST)
        set_text(object, "backoff", kinds[job->backoff]);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        if (times[i].ms)
            set_int(object, times[i].key, times[i].ms);
    if (job->n_delays == 0)
        return;
    json_t *delays = json_array();
    for (size_t i = 0; i < job->n_delays; i++)
        json_array_append_new(delays, json_integer(job->delays_ms[i]));
    json_object_set_new(object, "delays_ms", delays);
}

json_t *json_of_job(const struct joblog_job *job)
{
    json_t *object = json_object();
    set_int(object, "id", job->id);
    set_text(object, "job_name", job->job_name);
    set_text(object, "queue", job->queue);
    set_text(object, "status", joblog_status_name(job->status));
    set_int(object, "priority", job->priority);
    set_objects(object, job);
    set_text(object, "owner", job->owner);
    set_text(object, "creator", job->creator);
    set_text(object, "batch", job->batch);
    set_text(object, "worker", job->worker);
    set_text(object, "request_id", job->request_id);
    set_text(object, "traceparent", job->traceparent);
    set_text(object, "unique_key", job->unique_key);
    set_json(object, "payload", job->payload);
    set_json(object, "result", job->result);
    json_object_set_new(object, "progress", json_of_progress(job));
    set_error(object, job->error_type, job->error_message, job->stack_trace);
    set_int(object, "attempt", job->attempt);
    set_int(object, "max_attempts", job->max_attempts);
    set_int(object, "uncounted_attempts", job->uncounted_attempts);
    set_policy(object, job);
    set_time(object, "create_time", job->create_us);
    set_time(object, "run_time", job->run_us);
    set_time(object, "start_time", job->start_us);
    set_time(object, "end_time", job->end_us);
    set_int(object, "wait_us", job->wait_us);
    set_int(object, "execution_us", job->execution_us);
    set_int(object, "revision", job->revision);
    set_history(object, job);
    return object;
}

static json_t *json_of_texts(const char *const *texts, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_string(texts[i]));
    return array;
}

/* "-created_at": descending, as the option --order takes it. */
static json_t *json_of_orders(const struct joblog_export_order *order, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_sprintf("%s%s", order[i].descending ? "-" : "", order[i].column));
    return array;
}

/* What was asked for. */
static void set_asked(json_t *object, const struct joblog_export *export_)
{
    json_t *filters = json_array();
    for (size_t i = 0; i < export_->n_filters; i++) {
        const struct joblog_export_filter *filter = &export_->filters[i];
        json_t *item = json_object();
        set_text(item, "field", filter->field);
        set_text(item, "operator", filter->op);
        json_object_set_new(item, "values", json_of_texts(filter->values, filter->n_values));
        json_array_append_new(filters, item);
    }
    json_object_set_new(object, "filters", filters);
    json_object_set_new(object, "columns", json_of_texts(export_->columns, export_->n_columns));
    json_object_set_new(object, "order", json_of_orders(export_->order, export_->n_order));
    set_text(object, "format", export_->format);
    set_text(object, "compression", export_->compression);
    set_text(object, "language", export_->language);
}

json_t *json_of_export(const struct joblog_export *export_)
{
    json_t *object = json_object();
    set_int(object, "id", export_->job.id);
    set_text(object, "export_type", export_->export_type);
    set_text(object, "title", export_->title);
    json_object_set_new(object, "job", json_of_job(&export_->job));
    set_text(object, "file_state", export_->file_state);
    set_text(object, "file_name", export_->file_name);
    set_asked(object, export_);
    if (export_->has_file) {
        json_t *file = json_object();
        set_text(file, "file_name", export_->file_name);
        set_text(file, "content_type", export_->content_type);
        set_int(file, "size", export_->size);
        set_int(file, "rows", export_->rows);
        set_int(file, "cut_cells", export_->cut_cells);
        set_text(file, "sha256", export_->sha256);
        set_time(file, "expire_time", export_->expire_us);
        json_object_set_new(object, "file", file);
    }
    return object;
}

static json_t *json_of_column(const struct joblog_export_column *column)
{
    json_t *object = json_object();
    set_text(object, "name", column->name);
    set_text(object, "title", column->title);
    set_text(object, "value_type", column->value_type);
    set_text(object, "format", column->format);
    json_object_set_new(object, "sortable", json_boolean(column->sortable));
    return object;
}

static json_t *json_of_filter_type(const struct joblog_export_filter_type *filter)
{
    json_t *object = json_object();
    set_text(object, "field", filter->field);
    set_text(object, "title", filter->title);
    set_text(object, "value_type", filter->value_type);
    json_object_set_new(object, "operators", json_of_texts(filter->operators, filter->n_operators));
    return object;
}

json_t *json_of_export_type(const struct joblog_export_type *type)
{
    json_t *object = json_object(), *columns = json_array(), *filters = json_array();
    for (size_t i = 0; i < type->n_columns; i++)
        json_array_append_new(columns, json_of_column(&type->column_types[i]));
    for (size_t i = 0; i < type->n_filters; i++)
        json_array_append_new(filters, json_of_filter_type(&type->filter_types[i]));
    set_text(object, "name", type->name);
    set_text(object, "title", type->title);
    json_object_set_new(object, "columns", json_of_texts(type->columns, type->n_columns));
    json_object_set_new(object, "column_names", json_of_texts(type->column_names, type->n_columns));
    json_object_set_new(object, "filters", json_of_texts(type->filters, type->n_filters));
    json_object_set_new(object, "column_types", columns);
    json_object_set_new(object, "filter_types", filters);
    json_object_set_new(object, "order", json_of_orders(type->order, type->n_order));
    json_object_set_new(object, "formats", json_of_texts(type->formats, type->n_formats));
    json_object_set_new(object, "compressions", json_of_texts(type->compressions, type->n_compressions));
    set_int(object, "row_limit", type->row_limit);
    json_object_set_new(object, "own_rows_only", json_boolean(type->own_rows_only));
    return object;
}

static void set_durations(json_t *object, const char *key, const struct joblog_durations *durations)
{
    json_t *value = json_object();
    set_int(value, "count", durations->count);
    set_int(value, "average_us", durations->average_us);
    set_int(value, "p50_us", durations->p50_us);
    set_int(value, "p95_us", durations->p95_us);
    set_int(value, "p99_us", durations->p99_us);
    json_object_set_new(object, key, value);
}

static json_t *json_of_stats_row(const struct joblog_stats_row *row)
{
    json_t *object = json_object(), *counts = json_object();
    set_text(object, "job_name", row->job_name);
    set_text(object, "queue", row->queue);
    set_int(counts, "pending", row->pending);
    set_int(counts, "running", row->running);
    set_int(counts, "completed", row->completed_now);
    set_int(counts, "failed", row->failed_now);
    set_int(counts, "cancelled", row->cancelled_now);
    json_object_set_new(object, "counts", counts);
    set_int(object, "dispatched", row->dispatched);
    set_int(object, "completed", row->completed);
    set_int(object, "failed", row->failed);
    set_int(object, "cancelled", row->cancelled);
    set_int(object, "retried", row->retried);
    set_durations(object, "execution", &row->execution);
    set_durations(object, "wait", &row->wait);
    json_object_set_new(object, "throughput", json_real(row->throughput));
    json_object_set_new(object, "failure_rate", json_real(row->failure_rate));
    set_time(object, "waiting_since", row->waiting_since_us);
    return object;
}

static json_t *json_of_stats_bucket(const struct joblog_stats_bucket *bucket)
{
    json_t *object = json_object();
    set_time(object, "start", bucket->start_us);
    set_int(object, "dispatched", bucket->dispatched);
    set_int(object, "completed", bucket->completed);
    set_int(object, "failed", bucket->failed);
    set_int(object, "cancelled", bucket->cancelled);
    set_int(object, "retried", bucket->retried);
    set_durations(object, "execution", &bucket->execution);
    set_durations(object, "wait", &bucket->wait);
    return object;
}

json_t *json_of_outcome(const struct joblog_bulk_outcome *outcome, bool dry_run)
{
    json_t *object = json_object();
    set_int(object, "matched", outcome->matched);
    set_int(object, "changed", outcome->changed);
    set_int(object, "refused", outcome->refused);
    json_object_set_new(object, "dry_run", json_boolean(dry_run));
    if (outcome->n_refusals == 0)
        return object;
    json_t *refusals = json_array();
    for (size_t i = 0; i < outcome->n_refusals; i++) {
        json_t *refusal = json_object();
        set_int(refusal, "id", outcome->refusals[i].id);
        set_int(refusal, "code", outcome->refusals[i].code);
        set_text(refusal, "reason", outcome->refusals[i].reason);
        set_text(refusal, "message", outcome->refusals[i].message);
        if (outcome->refusals[i].retry_after_ms)
            set_int(refusal, "retry_after_ms", outcome->refusals[i].retry_after_ms);
        json_array_append_new(refusals, refusal);
    }
    json_object_set_new(object, "refusals", refusals);
    return object;
}

json_t *json_of_queue(const struct joblog_queue *queue)
{
    json_t *object = json_object();
    set_text(object, "name", queue->name);
    json_object_set_new(object, "paused", json_boolean(queue->paused));
    set_time(object, "pause_time", queue->pause_us);
    set_text(object, "pause_actor", queue->pause_actor);
    set_text(object, "pause_reason", queue->pause_reason);
    set_int(object, "waiting", queue->waiting);
    set_int(object, "scheduled", queue->scheduled);
    set_int(object, "running", queue->running);
    set_time(object, "oldest_time", queue->oldest_us);
    return object;
}

json_t *json_of_stats(const struct joblog_stats *stats)
{
    json_t *object = json_object(), *rows = json_array();
    set_time(object, "range_start", stats->range_start_us);
    set_time(object, "range_end", stats->range_end_us);
    json_object_set_new(object, "total", json_of_stats_row(&stats->total));
    for (size_t i = 0; i < stats->n_rows; i++)
        json_array_append_new(rows, json_of_stats_row(&stats->rows[i]));
    json_object_set_new(object, "rows", rows);
    set_int(object, "workers", stats->workers);
    json_t *buckets = json_array();
    for (size_t i = 0; i < stats->n_buckets; i++)
        json_array_append_new(buckets, json_of_stats_bucket(&stats->buckets[i]));
    json_object_set_new(object, "buckets", buckets);
    return object;
}

json_t *json_of_cleaned(const struct joblog_cleaned *cleaned, bool dry_run)
{
    json_t *object = json_object();
    json_object_set_new(object, "dry_run", json_boolean(dry_run));
    set_int(object, "completed", cleaned->completed);
    set_int(object, "failed", cleaned->failed);
    set_int(object, "cancelled", cleaned->cancelled);
    return object;
}

json_t *json_of_statuses(const struct joblog_status_info *rows, size_t n)
{
    json_t *array = json_array(), *object = json_object();
    for (size_t i = 0; i < n; i++) {
        json_t *row = json_object();
        set_text(row, "name", rows[i].name);
        set_text(row, "label", rows[i].label);
        set_text(row, "color", rows[i].color);
        set_text(row, "icon", rows[i].icon);
        json_array_append_new(array, row);
    }
    json_object_set_new(object, "statuses", array);
    return object;
}
