/* What a handler may do with its job. Runs on the handler's thread; context_cancel and context_take on others. Nothing
 * here talks to the server. */
#include "context_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/utf8.h"
#include "deadline.h"
#include "patch.h"

bool context_init(struct joblog_context *context, struct joblog_client *client,
                  void (*changed)(struct joblog_context *context))
{
    context->client = client;
    context->changed = changed;
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0)
        return false;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(&context->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (rc != 0)
        return false;
    if (pthread_mutex_init(&context->lock, NULL) != 0) {
        pthread_cond_destroy(&context->wake);
        return false;
    }
    return true;
}

void context_clear(struct joblog_context *context)
{
    atomic_store_explicit(&context->cancelled, false, memory_order_relaxed);
    atomic_store_explicit(&context->orphaned, false, memory_order_relaxed);
    context->cancel_asked = context->dirty = context->beat = false;
    context->progress.done = context->progress.total = 0;
    context->progress.percent = 0;
    context->progress.unit[0] = context->progress.step[0] = '\0';
    mem_free(context->patch);
    context->patch = NULL;
    log_clear(context);
    context->n_children = 0;
    context->key[0] = '\0';
    if (context->result) {
        mem_free(context->result);
        context->result = NULL;
    }
    if (context->failed) {
        mem_free(context->error_type);
        mem_free(context->error_message);
        mem_free(context->stack_trace);
        context->error_type = context->error_message = context->stack_trace = NULL;
    }
    if (context->snoozed) {
        mem_free(context->snooze_reason);
        context->snooze_reason = NULL;
    }
    context->failed = context->no_retry = context->snoozed = false;
}

void context_done(struct joblog_context *context)
{
    context_clear(context);
    pthread_cond_destroy(&context->wake);
    pthread_mutex_destroy(&context->lock);
}

void context_cancel(struct joblog_context *context, bool asked)
{
    pthread_mutex_lock(&context->lock);
    context->cancel_asked |= asked;
    atomic_store(&context->cancelled, true);
    pthread_cond_broadcast(&context->wake);
    pthread_mutex_unlock(&context->lock);
}

/* How much of s fits, up to where a character ends. */
static size_t text_fit(const char *s, size_t max)
{
    size_t len = strnlen(s, max + 1);
    if (len <= max)
        return len;
    len = max;
    while (len > 0 && ((unsigned char)s[len] & 0xc0) == 0x80)
        len--;
    return len;
}

/* The server takes UTF-8 only, and gives up a stream with anything else in it; handlers report what they come across.
 * Bytes that are none become "?". */
static void text_make_valid(char *s, size_t len)
{
    size_t n;
    for (size_t at = 0; at < len; at += n) {
        n = utf8_len((const uint8_t *)s + at, len - at);
        if (n == 0) {
            s[at] = '?';
            n = 1;
        }
    }
}

char *context_text(const char *s, size_t max)
{
    size_t len = text_fit(s, max);
    char *copy = mem_alloc(len + 1);
    if (copy) {
        memcpy(copy, s, len);
        copy[len] = '\0';
        text_make_valid(copy, len);
    }
    return copy;
}

/* Puts s into a fixed field; true when that changes it. size: at most STEP_SIZE. */
static bool field_set(char *field, size_t size, const char *s)
{
    char text[STEP_SIZE];
    size_t len = text_fit(s, size - 1);
    memcpy(text, s, len);
    text[len] = '\0';
    text_make_valid(text, len);
    if (strcmp(field, text) == 0)
        return false;
    memcpy(field, text, len + 1);
    return true;
}

const struct joblog_job *joblog_job_info(const struct joblog_context *context)
{
    return &context->job;
}

void joblog_job_set_step(struct joblog_context *context, const char *step)
{
    pthread_mutex_lock(&context->lock);
    bool changed = field_set(context->progress.step, STEP_SIZE, step ? step : "");
    context->dirty |= changed;
    pthread_mutex_unlock(&context->lock);
    if (changed)
        context->changed(context);
}

void joblog_job_set_progress(struct joblog_context *context, int64_t done, int64_t total, const char *unit)
{
    struct context_progress *p = &context->progress;
    pthread_mutex_lock(&context->lock);
    done = done < 0 ? 0 : done;
    total = total < 0 ? 0 : total;
    bool changed =
        field_set(p->unit, UNIT_SIZE, unit ? unit : "") || p->done != done || p->total != total || p->percent > 0;
    p->done = done;
    p->total = total;
    p->percent = 0;
    context->dirty |= changed;
    pthread_mutex_unlock(&context->lock);
    if (changed)
        context->changed(context);
}

void joblog_job_set_percent(struct joblog_context *context, double percent)
{
    percent = !(percent > 0) ? 0 : percent > 100 ? 100 : percent;
    struct context_progress *p = &context->progress;
    pthread_mutex_lock(&context->lock);
    bool changed = p->percent != percent || p->done != 0 || p->total != 0;
    p->percent = percent;
    p->done = p->total = 0;
    context->dirty |= changed;
    pthread_mutex_unlock(&context->lock);
    if (changed)
        context->changed(context);
}

/* What the server would say of it, said at once: a text of at most max bytes that it takes as JSON. 0, or -code. */
static int check_json(const char *json, size_t max, bool must_be_object, const char *field, struct err *ret_err)
{
    size_t len = json ? strlen(json) : 0;
    if (len > max)
        return err_field(ret_err, field, "%s: must be at most %zu bytes, is %zu", field, max, len);
    return json_check(span_of(json, len), must_be_object, field, ret_err);
}

int joblog_job_merge_payload(struct joblog_context *context, const char *json_object, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    if (check_json(json_object, PAYLOAD_MAX, true, "payload_patch", &e) < 0)
        return error_give(error, &e);
    pthread_mutex_lock(&context->lock);
    bool ok = patch_merge(&context->patch, json_object);
    pthread_mutex_unlock(&context->lock);
    if (!ok) {
        error_no_memory(&e);
        return error_give(error, &e);
    }
    context->changed(context);
    return 0;
}

void joblog_job_heartbeat(struct joblog_context *context)
{
    pthread_mutex_lock(&context->lock);
    context->beat = true;
    pthread_mutex_unlock(&context->lock);
    context->changed(context);
}

bool joblog_job_cancelled(const struct joblog_context *context)
{
    return atomic_load_explicit(&context->cancelled, memory_order_acquire);
}

bool joblog_job_wait_cancelled(struct joblog_context *context, int64_t timeout_ms)
{
    int64_t until = deadline_in_ms(timeout_ms);
    struct timespec at = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
    pthread_mutex_lock(&context->lock);
    int rc = 0;
    while (!joblog_job_cancelled(context) && rc == 0)
        rc = timeout_ms < 0 ? pthread_cond_wait(&context->wake, &context->lock)
                            : pthread_cond_timedwait(&context->wake, &context->lock, &at);
    pthread_mutex_unlock(&context->lock);
    return joblog_job_cancelled(context);
}

int joblog_job_set_result(struct joblog_context *context, const char *json, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    if (check_json(json, RESULT_MAX, false, "result", &e) < 0)
        return error_give(error, &e);
    char *copy = mem_strdup(json);
    if (!copy) {
        error_no_memory(&e);
        return error_give(error, &e);
    }
    mem_free(context->result);
    context->result = copy;
    return 0;
}

void context_fail(struct joblog_context *context, const char *type, const char *message, char *stack_trace)
{
    if (context->failed) {
        mem_free(context->error_type);
        mem_free(context->error_message);
        mem_free(context->stack_trace);
    }
    context->failed = true;
    context->error_type = context_text(type && *type ? type : "Error", ERROR_TYPE_MAX);
    context->error_message = context_text(message, ERROR_MESSAGE_MAX);
    context->stack_trace = stack_trace; /* names of files are not always UTF-8 */
    if (stack_trace) {
        stack_trace[text_fit(stack_trace, STACK_TRACE_MAX)] = '\0';
        text_make_valid(stack_trace, strlen(stack_trace));
    }
}

bool context_end_refused(struct joblog_context *context, bool completed, const char *why)
{
    enum { FEW_WORDS = 500 };
    bool is_long = context->stack_trace || (context->error_message && strlen(context->error_message) > FEW_WORDS);
    if (completed) {
        context_fail(context, "ResultRefused", why, NULL);
        return true;
    }
    if (!context->failed || !is_long)
        return false;
    char *words = context_text(context->error_message ? context->error_message : "", FEW_WORDS);
    mem_free(context->error_message);
    mem_free(context->stack_trace);
    context->error_message = words;
    context->stack_trace = NULL;
    return true;
}

static void fail_with(struct joblog_context *context, bool for_good, const char *type, char *stack_trace,
                      const char *fmt, va_list ap)
{
    char *message = NULL;
    if (vasprintf(&message, fmt, ap) < 0)
        message = NULL;
    context_fail(context, type, message ? message : fmt, stack_trace);
    context->no_retry = for_good;
    free(message);
}

void joblog_job_fail_at(struct joblog_context *context, const char *file, int line, const char *function, bool for_good,
                        const char *type, const char *fmt, ...)
{
    char *stack_trace = file ? backtrace_text(__builtin_return_address(0), function, file, line) : NULL;
    va_list ap;
    va_start(ap, fmt);
    fail_with(context, for_good, type, stack_trace, fmt, ap);
    va_end(ap);
}

int(joblog_job_fail)(struct joblog_context *context, const char *type, const char *fmt, ...)
{
    char *stack_trace = backtrace_text(__builtin_return_address(0), NULL, NULL, 0);
    va_list ap;
    va_start(ap, fmt);
    fail_with(context, false, type, stack_trace, fmt, ap);
    va_end(ap);
    return -1;
}

int(joblog_job_fail_for_good)(struct joblog_context *context, const char *type, const char *fmt, ...)
{
    char *stack_trace = backtrace_text(__builtin_return_address(0), NULL, NULL, 0);
    va_list ap;
    va_start(ap, fmt);
    fail_with(context, true, type, stack_trace, fmt, ap);
    va_end(ap);
    return -1;
}

int joblog_job_snooze(struct joblog_context *context, int64_t delay_ms, const char *reason)
{
    if (!context->may_snooze) {
        context_fail(context, "CannotSnooze", "only jobs of a worker can wait for later", NULL);
        return -1;
    }
    if (context->snoozed)
        mem_free(context->snooze_reason);
    context->snoozed = true;
    context->snooze_ms = delay_ms > SNOOZE_MAX_MS ? SNOOZE_MAX_MS : delay_ms < 0 ? 0 : delay_ms;
    context->snooze_reason = context_text(reason ? reason : "", SNOOZE_REASON_MAX);
    return -1;
}

int64_t joblog_job_deadline_us(const struct joblog_context *context)
{
    return context->job.run_timeout_ms ? context->job.start_us + context->job.run_timeout_ms * 1000 : 0;
}

const char *joblog_job_key(const struct joblog_context *context)
{
    return context->key;
}

int joblog_job_dispatch(struct joblog_context *context, const struct joblog_spec *spec, int64_t *ret_id,
                        struct joblog_error *error)
{
    struct err e = ERR_NONE;
    if (atomic_load(&context->orphaned)) {
        err_set(&e, ERR_FAILED_PRECONDITION, NULL, "the worker of this job has been freed");
        return error_give(error, &e);
    }
    struct joblog_spec child = *spec;
    char request_id[64];
    snprintf(request_id, sizeof request_id, "%s-%d", context->key, ++context->n_children);
    if (!child.request_id)
        child.request_id = request_id;
    return joblog_dispatch(context->client, &child, ret_id, error);
}

void context_begin(struct joblog_context *context)
{
    snprintf(context->key, sizeof context->key, "joblog-%lld", (long long)context->job.id);
}

bool context_returned(struct joblog_context *context, int returned)
{
    if (returned >= 0)
        return true;
    pthread_mutex_lock(&context->lock);
    bool cancelled = context->cancel_asked;
    pthread_mutex_unlock(&context->lock);
    if (!context->failed && !context->snoozed && !cancelled) {
        char message[64];
        snprintf(message, sizeof message, "the handler returned %d", returned);
        context_fail(context, "HandlerFailed", message, NULL);
    }
    return false;
}

bool context_run(struct joblog_context *context, joblog_handler *handler, void *user, int *ret_returned)
{
    context_begin(context);
    *ret_returned = handler(context, user);
    return context_returned(context, *ret_returned);
}

bool context_take(struct joblog_context *context, size_t patch_max, struct context_progress *ret_progress,
                  char **ret_patch, char **unsent)
{
    pthread_mutex_lock(&context->lock);
    bool any = context->dirty || context->patch || context->beat;
    *ret_progress = context->progress;
    ret_progress->is_news = context->dirty;
    context->dirty = context->beat = false;
    char *patch = patch_take(&context->patch, patch_max < PAYLOAD_MAX ? patch_max : PAYLOAD_MAX);
    if (patch && !patch_merge(unsent, patch))
        (void)patch_put_back(&context->patch, &patch); /* should that fail too, it is sent, once */
    *ret_patch = patch;
    pthread_mutex_unlock(&context->lock);
    return any;
}

bool context_has_patch(struct joblog_context *context)
{
    pthread_mutex_lock(&context->lock);
    bool has_patch = context->patch != NULL;
    pthread_mutex_unlock(&context->lock);
    return has_patch;
}

void context_put_back(struct joblog_context *context, char **unsent)
{
    pthread_mutex_lock(&context->lock);
    (void)patch_put_back(&context->patch, unsent);
    pthread_mutex_unlock(&context->lock);
}
