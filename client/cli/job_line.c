/* See job_line.h. Main thread. */
#include "job_line.h"

#include "heap.h"
#include "policy.h"
#include "units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    struct job_line *line;
    struct joblog_spec *spec;
    char *problem;
    size_t size;
};

static bool bad(struct reading *r, const char *key, const char *what)
{
    snprintf(r->problem, r->size, "\"%.60s\" %s", key, what);
    return false;
}

static bool read_labels(struct reading *r, const json_t *value)
{
    const char *key;
    json_t *label;
    size_t n = 0;
    if (!json_is_object(value))
        return bad(r, "labels", "must be an object of texts");
    r->line->labels = heap_new(json_object_size(value) + 1, sizeof *r->line->labels);
    json_object_foreach((json_t *)value, key, label)
    {
        if (!json_is_string(label))
            return bad(r, "labels", "must be an object of texts");
        r->line->labels[n++] = (struct joblog_label){key, json_string_value(label)};
    }
    r->spec->labels = r->line->labels;
    r->spec->n_labels = n;
    return true;
}

static bool read_source(struct reading *r, const json_t *value)
{
    r->spec->source_type = json_string_value(json_object_get(value, "type"));
    r->spec->source_id = json_string_value(json_object_get(value, "id"));
    return r->spec->source_type || bad(r, "source", "must be {\"type\": ..., \"id\": ...}");
}

static bool read_time(struct reading *r, const json_t *value)
{
    return (json_is_string(value) && units_parse_time(json_string_value(value), &r->spec->run_time_us) == 0) ||
           bad(r, "run_time", "must be a time such as \"2026-01-31T10:00:00Z\"");
}

static bool read_delays(struct reading *r, const json_t *value)
{
    size_t n = json_array_size(value), i;
    json_t *delay;
    if (n == 0)
        return bad(r, "delays_ms", "must be a list of whole numbers");
    r->line->delays = heap_new(n, sizeof *r->line->delays);
    json_array_foreach(value, i, delay)
    {
        if (!json_is_integer(delay))
            return bad(r, "delays_ms", "must be a list of whole numbers");
        r->line->delays[i] = json_integer_value(delay);
    }
    r->spec->delays_ms = r->line->delays;
    r->spec->n_delays = n;
    return true;
}

/* Members that are one of a few words. *ret_known: it is such a member. */
static bool read_word(struct reading *r, const char *key, const json_t *value, bool *ret_known)
{
    static const struct {
        const char *key;
        bool (*read)(const char *text, struct joblog_spec *spec);
        const char *what;
    } words[] = {
        {"unique_for", policy_read_unique_for, "must be \"not-final\", \"pending\", or a time such as \"10m\""},
        {"on_conflict", policy_read_on_conflict, "must be \"reject\", \"use\", \"replace\" or \"merge\""},
        {"backoff", policy_read_backoff, "must be \"exponential\", \"linear\" or \"fixed\""}};
    *ret_known = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].key, key) != 0)
            continue;
        *ret_known = true;
        return (json_is_string(value) && words[i].read(json_string_value(value), r->spec)) ||
               bad(r, key, words[i].what);
    }
    return false;
}

static bool read_real(struct reading *r, const char *key, const json_t *value, double *ret_real)
{
    *ret_real = json_number_value(value);
    return json_is_number(value) || bad(r, key, "must be a number");
}

/* What belongs together: a list of delays stands for the other parts of a back-off, and nothing is said of a key that
 * is not there. */
static bool check_whole(struct reading *r)
{
    struct joblog_spec *s = r->spec;
    if (!s->unique_key && (s->unique_scope || s->on_conflict))
        return bad(r, s->unique_scope ? "unique_for" : "on_conflict", "needs \"unique_key\"");
    if (s->n_delays && (s->backoff || s->initial_backoff_ms || s->max_backoff_ms || s->backoff_multiplier > 0))
        return bad(r, "delays_ms", "excludes the other members of a back-off but jitter");
    if (s->n_delays)
        s->backoff = JOBLOG_BACKOFF_LIST;
    return true;
}

/* Members that are texts or whole numbers. */
static bool read_simple(struct reading *r, const char *key, const json_t *value)
{
    struct joblog_spec *s = r->spec;
    const struct {
        const char *key;
        const char **text;
    } texts[] = {{"job_name", &s->job_name},
                 {"queue", &s->queue},
                 {"owner", &s->owner},
                 {"batch", &s->batch},
                 {"request_id", &s->request_id},
                 {"unique_key", &s->unique_key},
                 {"traceparent", &s->traceparent}};
    const struct {
        const char *key;
        int *number;
        int64_t *large;
    } numbers[] = {{"priority", &s->priority, NULL},
                   {"max_attempts", &s->max_attempts, NULL},
                   {"initial_backoff_ms", NULL, &s->initial_backoff_ms},
                   {"max_backoff_ms", NULL, &s->max_backoff_ms},
                   {"start_timeout_ms", NULL, &s->start_timeout_ms},
                   {"run_timeout_ms", NULL, &s->run_timeout_ms},
                   {"heartbeat_timeout_ms", NULL, &s->heartbeat_timeout_ms}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(texts[i].key, key) != 0)
            continue;
        *texts[i].text = json_string_value(value);
        return *texts[i].text || bad(r, key, "must be a text");
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(numbers[i].key, key) != 0)
            continue;
        json_int_t n = json_integer_value(value);
        if (!json_is_integer(value) || (numbers[i].number && (n < -1000000 || n > 1000000)))
            return bad(r, key, "must be a whole number");
        if (numbers[i].number)
            *numbers[i].number = (int)n;
        else
            *numbers[i].large = n;
        return true;
    }
    return bad(r, key, "is no member of a job");
}

static bool read_member(struct reading *r, const char *key, const json_t *value)
{
    if (strcmp(key, "payload") == 0)
        return true; /* take_payload has it */
    if (strcmp(key, "labels") == 0)
        return read_labels(r, value);
    if (strcmp(key, "source") == 0)
        return read_source(r, value);
    if (strcmp(key, "delays_ms") == 0)
        return read_delays(r, value);
    if (strcmp(key, "multiplier") == 0)
        return read_real(r, key, value, &r->spec->backoff_multiplier);
    if (strcmp(key, "jitter") == 0)
        return read_real(r, key, value, &r->spec->backoff_jitter);
    if (strcmp(key, "run_time") == 0)
        return read_time(r, value);
    bool known, good = read_word(r, key, value, &known);
    return known ? good : read_simple(r, key, value);
}

/* text stands so many bytes behind the begin of the line: columns are told of that, and of no other line. */
static bool check_json(struct reading *r, const char *text, size_t len, const char *what, size_t before)
{
    struct joblog_error error;
    int column = 0, why = 0;
    if (joblog_json_check(text, len, true, what, &error) == 0)
        return true;
    sscanf(error.message, "%*[a-z]: not valid JSON at line 1, column %d: %n", &column, &why);
    if (why > 0)
        snprintf(r->problem, r->size, "%s: not valid JSON at column %zu: %s", what, before + (size_t)column,
                 error.message + why);
    else
        snprintf(r->problem, r->size, "%s", error.message);
    return false;
}

/* Of a line that is JSON, and cannot be read all the same. */
static bool too_large(struct reading *r, const char *line, const json_error_t *where)
{
    size_t at = where->position > 0 ? (size_t)where->position : 0;
    while (at > 0 && strchr("+-.0123456789eE", line[at - 1]))
        at--;
    snprintf(r->problem, r->size, "job: the number at column %zu is too large", at + 1);
    return false;
}

/* Keeps the payload as it is written, and puts a number of the same length in its place: those within it may be longer
 * than jansson takes. A line that has none, or is no JSON, is left to those who read it next. */
static bool take_payload(struct reading *r, char *line, size_t len)
{
    const char *value;
    size_t n;
    if (!joblog_json_member(line, len, "payload", &value, &n) || n == 0)
        return true;
    if (*value != '{')
        return bad(r, "payload", "must be an object");
    char *place = line + (value - line);
    r->line->payload = heap_new(n + 1, 1);
    memcpy(r->line->payload, value, n);
    r->spec->payload = r->line->payload;
    memset(place, ' ', n);
    *place = '0';
    return check_json(r, r->line->payload, n, "payload", (size_t)(place - line));
}

static bool read_line(struct reading *r, char *line, size_t len)
{
    json_error_t where;
    const char *key;
    json_t *value;
    while (len && (line[len - 1] == '\n' || line[len - 1] == '\r')) /* the end of the line is no second line */
        len--;
    if (!take_payload(r, line, len) || !check_json(r, line, len, "job", 0))
        return false;
    r->line->object = json_loadb(line, len, 0, &where);
    if (!r->line->object)
        return too_large(r, line, &where);
    json_object_foreach(r->line->object, key, value)
    {
        if (!read_member(r, key, value))
            return false;
    }
    return check_whole(r);
}

bool job_line_read(char *line, size_t len, const struct job_line_defaults *defaults, struct job_line *ret,
                   struct joblog_spec *ret_spec, char *problem, size_t problem_size)
{
    struct reading r = {ret, ret_spec, problem, problem_size};
    *ret = (struct job_line){.object = NULL};
    *ret_spec = (struct joblog_spec){.job_name = defaults->job_name,
                                     .queue = defaults->queue,
                                     .owner = defaults->owner,
                                     .batch = defaults->batch,
                                     .traceparent = defaults->traceparent};
    if (read_line(&r, line, len))
        return true;
    job_line_done(ret);
    return false;
}

void job_line_done(struct job_line *line)
{
    json_decref(line->object);
    free(line->payload);
    free(line->labels);
    free(line->delays);
    *line = (struct job_line){.object = NULL};
}
