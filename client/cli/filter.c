/* Options that choose jobs. Main thread. */
#include "filter.h"

#include "heap.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

char *filter_split_source(const char *source, const char **ret_type, const char **ret_id)
{
    char *copy = heap_copy(source), *colon = copy ? strchr(copy, ':') : NULL;
    if (colon)
        *colon = '\0';
    *ret_type = copy;
    *ret_id = colon ? colon + 1 : NULL;
    return copy;
}

static int filter_add_statuses(const struct cli *cli, const struct filter_options *options, struct filter *filter)
{
    filter->statuses = heap_new(options->statuses.n + 1, sizeof(*filter->statuses));
    size_t n = 0;
    for (size_t i = 0; i < options->statuses.n; i++) {
        enum joblog_status status = joblog_status_parse(options->statuses.values[i]);
        if (!status)
            return cli_usage(cli, "\"%s\" is no status: pending, running, completed, failed, cancelled",
                             options->statuses.values[i]);
        filter->statuses[n++] = status;
    }
    if (options->failed)
        filter->statuses[n++] = JOBLOG_FAILED;
    filter->filter.statuses = filter->statuses;
    filter->filter.n_statuses = n;
    return 0;
}

/* "PATH=VALUE", "PATH~TEXT" or "PATH". */
static int filter_add_payload(const struct cli *cli, const struct filter_options *options, struct filter *filter)
{
    filter->payload = heap_new(options->payload.n + 1, sizeof(*filter->payload));
    for (size_t i = 0; i < options->payload.n; i++) {
        char *path = heap_copy(options->payload.values[i]);
        char *mark = path + strcspn(path, "=~"), kind = *mark;
        struct joblog_payload_match *match = &filter->payload[filter->filter.n_payload++];
        match->path = path;
        if (mark == path)
            return cli_usage(cli, "--payload \"%s\": must be PATH=VALUE, PATH~TEXT or PATH",
                             options->payload.values[i]);
        *mark = '\0';
        if (kind == '=')
            match->equals = mark + 1;
        else if (kind == '~')
            match->contains = mark + 1;
    }
    filter->filter.payload = filter->payload;
    return 0;
}

static void filter_add_times(const struct filter_options *options, struct joblog_filter *to)
{
    int64_t now = units_now_us();
    to->create_from_us = options->since_us ? now - options->since_us : options->after_us;
    to->create_before_us = options->before_us;
    to->start_from_us = options->started_since_us ? now - options->started_since_us : 0;
    to->end_from_us = options->ended_since_us ? now - options->ended_since_us : 0;
}

int filter_make(const struct cli *cli, const struct filter_options *options, struct filter *filter)
{
    *filter = (struct filter){0};
    int code = filter_add_statuses(cli, options, filter);
    if (!code)
        code = filter_add_payload(cli, options, filter);
    if (!code && options->since_us && options->after_us)
        code = cli_usage(cli, "--since and --after exclude each other");
    if (!code)
        code = cli_parse_labels(cli, &options->labels, &filter->labels);
    if (code) {
        filter_done(filter);
        return code;
    }
    struct joblog_filter *to = &filter->filter;
    to->job_names = (const char *const *)options->names.values;
    to->n_job_names = options->names.n;
    to->queues = (const char *const *)options->queues.values;
    to->n_queues = options->queues.n;
    to->labels = filter->labels;
    to->n_labels = options->labels.n;
    to->owner = options->owner;
    to->batch = options->batch;
    filter->source = filter_split_source(options->source, &to->source_type, &to->source_id);
    to->error_types = (const char *const *)options->errors.values;
    to->n_error_types = options->errors.n;
    to->error_text = options->error_text;
    filter_add_times(options, to);
    return 0;
}

void filter_done(struct filter *filter)
{
    cli_labels_free(filter->labels, filter->filter.n_labels);
    for (size_t i = 0; i < filter->filter.n_payload; i++)
        free((char *)filter->payload[i].path);
    free(filter->payload);
    free(filter->statuses);
    free(filter->source);
    *filter = (struct filter){0};
}

bool filter_is_empty(const struct filter_options *options)
{
    return !options->statuses.n && !options->names.n && !options->queues.n && !options->labels.n && !options->source &&
           !options->owner && !options->batch && !options->failed && !options->errors.n && !options->error_text &&
           !options->payload.n && !options->since_us && !options->after_us && !options->before_us &&
           !options->started_since_us && !options->ended_since_us;
}
