/* See extra.h. Pure. */
#include "core/extra.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/json.h"

bool extra_is_there(const struct job *job)
{
    return job->unique.key.len > 0 || job->retry.backoff > BACKOFF_EXPONENTIAL || job->start_timeout_us > 0 ||
           job->run_timeout_us > 0 || job->heartbeat_timeout_us > 0;
}

void extra_write(struct buf *b, const struct job *job)
{
    const char *comma = "";

    buf_add_char(b, '{');
    if (job->retry.backoff > BACKOFF_EXPONENTIAL) {
        buf_printf(b, "\"backoff\":%d,\"delays_us\":[", (int)job->retry.backoff);
        for (size_t i = 0; i < job->retry.n_delays; i++)
            buf_printf(b, "%s%" PRId64, i ? "," : "", job->retry.delays_us[i]);
        buf_add_char(b, ']');
        comma = ",";
    }
    if (job->start_timeout_us > 0 || job->run_timeout_us > 0) {
        buf_printf(b, "%s\"start_timeout_us\":%" PRId64 ",\"run_timeout_us\":%" PRId64, comma, job->start_timeout_us,
                   job->run_timeout_us);
        comma = ",";
    }
    if (job->heartbeat_timeout_us > 0) {
        buf_printf(b, "%s\"heartbeat_timeout_us\":%" PRId64, comma, job->heartbeat_timeout_us);
        comma = ",";
    }
    if (job->unique.key.len > 0) {
        buf_printf(b, "%s\"unique_scope\":%d,\"unique_period_us\":%" PRId64 ",\"unique_key\":", comma,
                   (int)job->unique.scope, job->unique.period_us);
        json_add_string(b, job->unique.key);
    }
    buf_add_char(b, '}');
}

/* Whole numbers only: no others are written. */
static int64_t number_of(struct span text)
{
    int64_t n = 0;
    for (size_t i = 0; i < text.len && text.data[i] >= '0' && text.data[i] <= '9' && n < INT64_MAX / 10; i++)
        n = n * 10 + (text.data[i] - '0');
    return n;
}

/* "[1, 2]" */
static bool read_delays(struct span text, struct arena *arena, struct retry_policy *policy)
{
    size_t n = 0;
    int64_t *delays;
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == ',' || text.data[i] == ']';
    delays = arena_alloc(arena, (n + 1) * sizeof *delays);
    if (!delays)
        return false;
    n = 0;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] >= '0' && text.data[i] <= '9' && (text.data[i - 1] < '0' || text.data[i - 1] > '9'))
            delays[n++] = number_of(span_of(text.data + i, text.len - i));
    policy->delays_us = delays;
    policy->n_delays = n;
    return true;
}

bool extra_read(struct span text, struct arena *arena, struct job *job)
{
    struct span key, value;
    bool good = true;
    while (good && text.len > 0 && json_next_member(&text, &key, &value)) {
        if (span_eq(key, SPAN_LIT("\"unique_scope\"")))
            job->unique.scope = (enum unique_scope)number_of(value);
        else if (span_eq(key, SPAN_LIT("\"unique_period_us\"")))
            job->unique.period_us = number_of(value);
        else if (span_eq(key, SPAN_LIT("\"start_timeout_us\"")))
            job->start_timeout_us = number_of(value);
        else if (span_eq(key, SPAN_LIT("\"run_timeout_us\"")))
            job->run_timeout_us = number_of(value);
        else if (span_eq(key, SPAN_LIT("\"heartbeat_timeout_us\"")))
            job->heartbeat_timeout_us = number_of(value);
        else if (span_eq(key, SPAN_LIT("\"backoff\"")))
            job->retry.backoff = (enum backoff)number_of(value);
        else if (span_eq(key, SPAN_LIT("\"delays_us\"")))
            good = read_delays(value, arena, &job->retry);
        else if (span_eq(key, SPAN_LIT("\"unique_key\"")))
            good = json_decode_string(arena, value, &job->unique.key);
    }
    return good;
}
