/* See extra.h. Pure. */
#include "core/extra.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/json.h"

bool extra_is_there(const struct job *job)
{
    return job->unique.key.len > 0;
}

void extra_write(struct buf *b, const struct job *job)
{
    buf_add_char(b, '{');
    if (job->unique.key.len > 0) {
        buf_printf(b, "\"unique_scope\":%d,\"unique_period_us\":%" PRId64 ",\"unique_key\":", (int)job->unique.scope,
                   job->unique.period_us);
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

bool extra_read(struct span text, struct arena *arena, struct job *job)
{
    struct span key, value;
    while (text.len > 0 && json_next_member(&text, &key, &value)) {
        if (span_eq(key, SPAN_LIT("\"unique_scope\"")))
            job->unique.scope = (enum unique_scope)number_of(value);
        else if (span_eq(key, SPAN_LIT("\"unique_period_us\"")))
            job->unique.period_us = number_of(value);
        else if (span_eq(key, SPAN_LIT("\"unique_key\"")) && !json_decode_string(arena, value, &job->unique.key))
            return false;
    }
    return true;
}
