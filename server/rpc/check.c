/* See check.h: texts, ids, pages, times, filters. What a job and a worker's write must be is in check_job.c. That texts
 * are UTF-8 without NUL bytes has been seen to where messages are unpacked. */
#include "rpc/check.h"

#include <stdio.h>
#include <string.h>

#include "rpc/check_priv.h"

/* Seconds of 0001-01-01 and of the end of 9999: the range of google.protobuf.Timestamp. */
#define TIME_MIN_S INT64_C(-62135596800)
#define TIME_MAX_S INT64_C(253402300799)
#define DAY_US     (INT64_C(24) * 3600 * 1000000)

int check_bad(struct err *ret_err, const char *prefix, const char *name, const char *fmt, ...)
{
    char field[128], text[200];
    va_list ap;
    snprintf(field, sizeof field, "%s%s", prefix, name);
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap); /* NOLINT(clang-analyzer-valist.Uninitialized): it is, the line above */
    va_end(ap);
    return err_field(ret_err, field, "%s %s", field, text);
}

int check_no_memory(struct err *ret_err)
{
    return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

int check_text(const char *text, size_t max, const char *prefix, const char *name, struct span *ret,
               struct err *ret_err)
{
    struct span s = span_str(text);
    if (s.len > max)
        return check_bad(ret_err, prefix, name, "must be at most %zu bytes, is %zu", max, s.len);
    if (ret)
        *ret = s;
    return 0;
}

int check_name(const char *text, size_t max, const char *prefix, const char *name, struct span *ret,
               struct err *ret_err)
{
    if (!text || !text[0])
        return check_bad(ret_err, prefix, name, "must not be empty");
    return check_text(text, max, prefix, name, ret, ret_err);
}

int check_not_reserved(struct span text, const char *prefix, const char *name, struct err *ret_err)
{
    static const struct span own = SPAN_LIT("joblog.");
    if (text.len < own.len || memcmp(text.data, own.data, own.len) != 0)
        return 0;
    return check_bad(ret_err, prefix, name, "must not begin with \"joblog.\": such names are the server's own");
}

int check_names(char *const *texts, size_t n, size_t max_n, const char *prefix, const char *name, struct arena *arena,
                const struct span **ret, struct err *ret_err)
{
    if (n > max_n)
        return check_bad(ret_err, prefix, name, "must hold at most %zu values, holds %zu", max_n, n);
    struct span *spans = arena_alloc(arena, n * sizeof *spans);
    if (!spans)
        return check_no_memory(ret_err);
    for (size_t i = 0; i < n; i++) {
        char entry[80];
        snprintf(entry, sizeof entry, "%s[%zu]", name, i);
        if (check_name(texts[i], NAME_MAX_BYTES, prefix, entry, &spans[i], ret_err) != 0)
            return -ERR_INVALID_ARGUMENT;
    }
    *ret = spans;
    return 0;
}

int check_id(int64_t id, const char *name, struct err *ret_err)
{
    return id > 0 ? 0 : check_bad(ret_err, "", name, "must be the id of a job, is %lld", (long long)id);
}

int check_view(Joblog__V1__JobView view, enum job_view *ret_view, struct err *ret_err)
{
    switch (view) {
    case JOBLOG__V1__JOB_VIEW__JOB_VIEW_UNSPECIFIED:
    case JOBLOG__V1__JOB_VIEW__JOB_VIEW_BASIC:
        *ret_view = VIEW_BASIC;
        return 0;
    case JOBLOG__V1__JOB_VIEW__JOB_VIEW_FULL:
        *ret_view = VIEW_FULL;
        return 0;
    default:
        return check_bad(ret_err, "", "view", "is no JobView: %d", (int)view);
    }
}

int check_page_size(int32_t page_size, int32_t *ret_limit, struct err *ret_err)
{
    if (page_size < 0)
        return check_bad(ret_err, "", "page_size", "must not be negative, is %d", page_size);
    *ret_limit = page_size == 0 ? PAGE_DEFAULT : page_size > PAGE_MAX ? PAGE_MAX : page_size;
    return 0;
}

int check_time(const Google__Protobuf__Timestamp *time, const char *prefix, const char *name, int64_t *ret_us,
               struct err *ret_err)
{
    *ret_us = 0;
    if (!time)
        return 0;
    if (time->seconds < TIME_MIN_S || time->seconds > TIME_MAX_S || time->nanos < 0 || time->nanos > 999999999)
        return check_bad(ret_err, prefix, name, "is no time of the years 1 to 9999");
    int64_t us = time->seconds * 1000000 + time->nanos / 1000;
    *ret_us = us > 0 ? us : 1; /* 0 means absent, and no job is older than 1970 */
    return 0;
}

int check_duration(const Google__Protobuf__Duration *duration, int64_t absent_us, int64_t max_us, const char *prefix,
                   const char *name, int64_t *ret_us, struct err *ret_err)
{
    *ret_us = absent_us;
    if (!duration)
        return 0;
    if (duration->seconds < 0 || duration->nanos < 0)
        return check_bad(ret_err, prefix, name, "must not be negative");
    if (duration->nanos > 999999999)
        return check_bad(ret_err, prefix, name, "is no duration: nanos must be below one second");
    if (duration->seconds > max_us / 1000000 || duration->seconds * 1000000 + duration->nanos / 1000 > max_us)
        return max_us > DAY_US && max_us % DAY_US == 0
                   ? check_bad(ret_err, prefix, name, "must be at most %lld days", (long long)(max_us / DAY_US))
                   : check_bad(ret_err, prefix, name, "must be at most %lld seconds", (long long)(max_us / 1000000));
    *ret_us = duration->seconds * 1000000 + duration->nanos / 1000;
    return 0;
}

/* Field path of a label. Keys are the caller's and may be long: cut, but never within a character. */
static const char *label_field(char *room, size_t size, const char *key)
{
    size_t len = strlen(key);
    if (len > 40) {
        len = 40;
        while (len > 0 && ((unsigned char)key[len] & 0xc0) == 0x80)
            len--;
    }
    snprintf(room, size, "labels[\"%.*s\"]", (int)len, key);
    return room;
}

int check_label(const char *key, const char *value, const char *prefix, struct label *labels, size_t *n_labels,
                struct err *ret_err)
{
    char field[80];
    struct label label;
    size_t at = *n_labels;
    if (!key || !key[0])
        return check_bad(ret_err, prefix, "labels", "must not have an empty key");
    label_field(field, sizeof field, key);
    if (strlen(key) > LABEL_KEY_MAX_BYTES)
        return check_bad(ret_err, prefix, field, "must have a key of at most %d bytes, has %zu", LABEL_KEY_MAX_BYTES,
                         strlen(key));
    if (check_text(value, NAME_MAX_BYTES, prefix, field, &label.value, ret_err) != 0)
        return -ERR_INVALID_ARGUMENT;
    label.key = span_str(key);
    /* Sorted by key; of a key given twice the last value holds, as for every map on the wire. */
    for (; at > 0; at--) {
        int order = span_cmp(labels[at - 1].key, label.key);
        if (order == 0) {
            labels[at - 1] = label;
            return 0;
        }
        if (order < 0)
            break;
    }
    memmove(labels + at + 1, labels + at, (*n_labels - at) * sizeof *labels);
    labels[at] = label;
    (*n_labels)++;
    return 0;
}

static int filter_ids(const Joblog__V1__JobFilter *m, struct job_filter *f, struct err *ret_err)
{
    if (m->n_ids > FILTER_VALUES_MAX)
        return check_bad(ret_err, "filter.", "ids", "must hold at most %d values, holds %zu", FILTER_VALUES_MAX,
                         m->n_ids);
    for (size_t i = 0; i < m->n_ids; i++)
        if (m->ids[i] <= 0) {
            char field[32];
            snprintf(field, sizeof field, "ids[%zu]", i);
            return check_bad(ret_err, "filter.", field, "must be the id of a job, is %lld", (long long)m->ids[i]);
        }
    f->ids = m->ids;
    f->n_ids = m->n_ids;
    return 0;
}

static int filter_statuses(const Joblog__V1__JobFilter *m, struct job_filter *f, struct err *ret_err)
{
    if (m->n_statuses > FILTER_VALUES_MAX)
        return check_bad(ret_err, "filter.", "statuses", "must hold at most %d values, holds %zu", FILTER_VALUES_MAX,
                         m->n_statuses);
    for (size_t i = 0; i < m->n_statuses; i++) {
        if (!job_status_name((int)m->statuses[i])) {
            char field[32];
            snprintf(field, sizeof field, "statuses[%zu]", i);
            return check_bad(ret_err, "filter.", field, "is no status of a job: %d", (int)m->statuses[i]);
        }
        f->status_mask |= 1u << m->statuses[i];
    }
    return 0;
}

static int filter_labels(const Joblog__V1__JobFilter *m, struct arena *arena, struct job_filter *f, struct err *ret_err)
{
    if (m->n_labels > FILTER_VALUES_MAX)
        return check_bad(ret_err, "filter.", "labels", "must hold at most %d values, holds %zu", FILTER_VALUES_MAX,
                         m->n_labels);
    struct label *labels = arena_alloc(arena, m->n_labels * sizeof *labels);
    if (!labels)
        return check_no_memory(ret_err);
    for (size_t i = 0; i < m->n_labels; i++)
        if (check_label(m->labels[i]->key, m->labels[i]->value, "filter.", labels, &f->n_labels, ret_err) != 0)
            return -ERR_INVALID_ARGUMENT;
    f->labels = labels;
    return 0;
}

static int filter_payload(const Joblog__V1__JobFilter *m, struct arena *arena, struct job_filter *f,
                          struct err *ret_err)
{
    struct payload_match *all = arena_alloc(arena, m->n_payload * sizeof *all + 1);
    if (m->n_payload > PAYLOAD_MATCHES_MAX)
        return check_bad(ret_err, "filter.", "payload", "must hold at most %d values, holds %zu", PAYLOAD_MATCHES_MAX,
                         m->n_payload);
    if (!all)
        return check_no_memory(ret_err);
    for (size_t i = 0; i < m->n_payload; i++) {
        const Joblog__V1__PayloadMatch *from = m->payload[i];
        char path[40], text[40];
        int rc;
        snprintf(path, sizeof path, "payload[%zu].path", i);
        all[i] = (struct payload_match){
            .has_equals = from->match_case == JOBLOG__V1__PAYLOAD_MATCH__MATCH_EQUALS,
            .has_contains = from->match_case == JOBLOG__V1__PAYLOAD_MATCH__MATCH_CONTAINS,
        };
        snprintf(text, sizeof text, "payload[%zu].%s", i, all[i].has_equals ? "equals" : "contains");
        if ((rc = check_name(from->path, NAME_MAX_BYTES, "filter.", path, &all[i].path, ret_err)) != 0 ||
            (from->match_case && (rc = check_text(all[i].has_equals ? from->equals : from->contains, NAME_MAX_BYTES,
                                                  "filter.", text, &all[i].text, ret_err)) != 0))
            return rc;
    }
    f->payload = all;
    f->n_payload = m->n_payload;
    return 0;
}

/* The parts that are looked for among what the others leave. */
static int filter_sifted(const Joblog__V1__JobFilter *m, struct arena *arena, struct job_filter *f, struct err *ret_err)
{
    int rc = filter_payload(m, arena, f, ret_err);
    f->n_error_types = m->n_error_types;
    if (rc != 0 ||
        (rc = check_names(m->error_types, m->n_error_types, FILTER_VALUES_MAX, "filter.", "error_types", arena,
                          &f->error_types, ret_err)) != 0 ||
        (rc = check_text(m->error_text, NAME_MAX_BYTES, "filter.", "error_text", &f->error_text, ret_err)) != 0 ||
        (rc = check_time(m->start_time_from, "filter.", "start_time_from", &f->start_from_us, ret_err)) != 0 ||
        (rc = check_time(m->start_time_before, "filter.", "start_time_before", &f->start_before_us, ret_err)) != 0 ||
        (rc = check_time(m->end_time_from, "filter.", "end_time_from", &f->end_from_us, ret_err)) != 0)
        return rc;
    return check_time(m->end_time_before, "filter.", "end_time_before", &f->end_before_us, ret_err);
}

int check_filter(const Joblog__V1__JobFilter *m, struct arena *arena, struct job_filter *ret_filter,
                 struct err *ret_err)
{
    struct job_filter f = {.ids = NULL};
    int rc = 0;
    if (!m) {
        *ret_filter = f;
        return 0;
    }
    f.n_names = m->n_job_names;
    f.n_queues = m->n_queues;
    if ((rc = filter_ids(m, &f, ret_err)) != 0 ||
        (rc = check_names(m->job_names, m->n_job_names, FILTER_VALUES_MAX, "filter.", "job_names", arena, &f.names,
                          ret_err)) != 0 ||
        (rc = check_names(m->queues, m->n_queues, FILTER_VALUES_MAX, "filter.", "queues", arena, &f.queues, ret_err)) !=
            0 ||
        (rc = filter_statuses(m, &f, ret_err)) != 0 ||
        (rc = check_text(m->owner, NAME_MAX_BYTES, "filter.", "owner", &f.owner, ret_err)) != 0 ||
        (rc = check_text(m->batch, NAME_MAX_BYTES, "filter.", "batch", &f.batch, ret_err)) != 0 ||
        (rc = filter_labels(m, arena, &f, ret_err)) != 0 || (rc = filter_sifted(m, arena, &f, ret_err)) != 0 ||
        (rc = check_time(m->create_time_from, "filter.", "create_time_from", &f.create_from_us, ret_err)) != 0 ||
        (rc = check_time(m->create_time_before, "filter.", "create_time_before", &f.create_before_us, ret_err)) != 0)
        return rc;
    if (m->source &&
        ((rc = check_name(m->source->type, NAME_MAX_BYTES, "filter.", "source.type", &f.source_type, ret_err)) != 0 ||
         (rc = check_text(m->source->id, NAME_MAX_BYTES, "filter.", "source.id", &f.source_id, ret_err)) != 0))
        return rc;
    *ret_filter = f;
    return 0;
}
