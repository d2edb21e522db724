/* A row of joblog.job_now (or the first columns of it) as a struct job. Pure; any thread. */
#include "core/extra.h"
#include "store/engine.h"

static bool read_labels(const struct pg_result *r, int row, struct arena *arena, struct job *j)
{
    struct span text = pg_json(r, row, ROW_LABELS), rest = text, key, value;
    struct label *labels;
    size_t n = 0;

    if (text.len == 0)
        return true;
    while (json_next_member(&rest, &key, &value))
        n++;
    labels = arena_alloc(arena, n * sizeof *labels);
    if (!labels)
        return false;
    rest = text;
    for (size_t i = 0; i < n && json_next_member(&rest, &key, &value); i++) {
        if (!json_decode_string(arena, key, &labels[i].key) || !json_decode_string(arena, value, &labels[i].value))
            return false;
    }
    j->labels = labels;
    j->n_labels = n;
    return true;
}

static struct retry_policy read_retry(const struct pg_result *r, int row)
{
    struct retry_policy p = {.max_attempts = (int32_t)pg_int(r, row, ROW_MAX_ATTEMPTS),
                             .initial_backoff_us = 1000000,
                             .max_backoff_us = 600000000,
                             .multiplier = 2,
                             .jitter = pg_double(r, row, ROW_JITTER),
                             .backoff = BACKOFF_EXPONENTIAL};

    if (!pg_is_null(r, row, ROW_INITIAL_BACKOFF))
        p.initial_backoff_us = pg_int(r, row, ROW_INITIAL_BACKOFF);
    if (!pg_is_null(r, row, ROW_MAX_BACKOFF))
        p.max_backoff_us = pg_int(r, row, ROW_MAX_BACKOFF);
    if (!pg_is_null(r, row, ROW_MULTIPLIER))
        p.multiplier = pg_double(r, row, ROW_MULTIPLIER);
    return p;
}

struct span row_extra(const struct pg_result *r, int row)
{
    return pg_json(r, row, pg_columns(r) > ROW_EXTRA ? ROW_EXTRA : ROW_BASIC_EXTRA);
}

bool row_job(const struct pg_result *r, int row, struct arena *arena, struct job *j)
{
    *j = (struct job){
        .id = pg_int(r, row, ROW_ID),
        .name = pg_text(r, row, ROW_NAME),
        .queue = pg_text(r, row, ROW_QUEUE),
        .status = (enum job_status)pg_int(r, row, ROW_STATUS),
        .priority = (int32_t)pg_int(r, row, ROW_PRIORITY),
        .source_type = pg_text(r, row, ROW_SOURCE_TYPE),
        .source_id = pg_text(r, row, ROW_SOURCE_ID),
        .owner = pg_text(r, row, ROW_OWNER),
        .creator = pg_text(r, row, ROW_CREATOR),
        .batch = pg_text(r, row, ROW_BATCH),
        .traceparent = pg_text(r, row, ROW_TRACEPARENT),
        .request_id = pg_text(r, row, ROW_REQUEST_ID),
        .progress = {.percent = pg_double(r, row, ROW_PERCENT),
                     .done = pg_int(r, row, ROW_DONE),
                     .total = pg_int(r, row, ROW_TOTAL),
                     .unit = pg_text(r, row, ROW_UNIT),
                     .step = pg_text(r, row, ROW_STEP),
                     .eta_us = pg_time(r, row, ROW_ETA)},
        .error = {.type = pg_text(r, row, ROW_ERROR_TYPE), .message = pg_text(r, row, ROW_ERROR_MESSAGE)},
        .attempt = (int32_t)pg_int(r, row, ROW_ATTEMPT),
        .attempts_left = (int32_t)pg_int(r, row, ROW_ATTEMPTS_LEFT),
        .retry = read_retry(r, row),
        .run_us = pg_time(r, row, ROW_RUN_TIME),
        .start_us = pg_time(r, row, ROW_START_TIME),
        .end_us = pg_time(r, row, ROW_END_TIME),
        .worker = pg_text(r, row, ROW_WORKER),
        .revision = pg_int(r, row, ROW_REVISION),
        .cancel = {.time_us = pg_time(r, row, ROW_CANCEL_TIME),
                   .actor = pg_text(r, row, ROW_CANCEL_ACTOR),
                   .reason = pg_text(r, row, ROW_CANCEL_REASON)},
    };
    if (pg_columns(r) > ROW_ERROR_STACK) {
        j->payload = pg_json(r, row, ROW_PAYLOAD);
        j->result = pg_json(r, row, ROW_RESULT);
        j->error.stack_trace = pg_text(r, row, ROW_ERROR_STACK);
    }
    return read_labels(r, row, arena, j) && extra_read(row_extra(r, row), arena, j);
}
