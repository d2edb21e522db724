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

static int filter_add_ids(const struct cli *cli, const struct filter_options *options, struct filter *filter)
{
    int64_t *ids = heap_new(options->ids.n + 1, sizeof *ids);
    filter->ids = ids;
    filter->filter.ids = ids;
    filter->filter.n_ids = options->ids.n;
    int code = 0;
    for (size_t i = 0; !code && i < options->ids.n; i++)
        code = cli_parse_id(cli, options->ids.values[i], &ids[i]);
    return code;
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
        if (kind == '~' && !mark[1])
            return cli_usage(cli, "--payload \"%s\": there is no text after ~", options->payload.values[i]);
    }
    filter->filter.payload = filter->payload;
    return 0;
}

static int filter_add_times(const struct cli *cli, const struct filter_options *options, struct joblog_filter *to)
{
    if (options->since_us && options->after_us)
        return cli_usage(cli, "--since and --after exclude each other");
    if (options->started_since_us && options->started_after_us)
        return cli_usage(cli, "--started-since and --started-after exclude each other");
    if (options->ended_since_us && options->ended_after_us)
        return cli_usage(cli, "--ended-since and --ended-after exclude each other");
    int64_t now = units_now_us();
    to->create_from_us = options->since_us ? now - options->since_us : options->after_us;
    to->create_before_us = options->before_us;
    to->start_from_us = options->started_since_us ? now - options->started_since_us : options->started_after_us;
    to->start_before_us = options->started_before_us;
    to->end_from_us = options->ended_since_us ? now - options->ended_since_us : options->ended_after_us;
    to->end_before_us = options->ended_before_us;
    return 0;
}

/* "User:" is what a shell makes of "User:$ID" without an ID; without one it means all of them. */
static int filter_add_source(const struct cli *cli, const struct filter_options *options, struct filter *filter)
{
    struct joblog_filter *to = &filter->filter;
    filter->source = filter_split_source(options->source, &to->source_type, &to->source_id);
    if (options->source && (!*to->source_type || (to->source_id && !*to->source_id)))
        return cli_usage(cli, "--source must be TYPE or TYPE:ID, is \"%s\"", options->source);
    return 0;
}

int filter_make(const struct cli *cli, const struct filter_options *options, struct filter *filter)
{
    *filter = (struct filter){0};
    int code = filter_add_statuses(cli, options, filter);
    if (!code)
        code = filter_add_payload(cli, options, filter);
    if (!code)
        code = filter_add_ids(cli, options, filter);
    if (!code)
        code = filter_add_source(cli, options, filter);
    if (!code)
        code = filter_add_times(cli, options, &filter->filter);
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
    to->error_types = (const char *const *)options->errors.values;
    to->n_error_types = options->errors.n;
    to->error_text = options->error_text;
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
    free(filter->ids);
    *filter = (struct filter){0};
}

bool filter_is_empty(const struct filter_options *options)
{
    return !options->ids.n && !options->statuses.n && !options->names.n && !options->queues.n && !options->labels.n &&
           !options->source && !options->owner && !options->batch && !options->failed && !options->errors.n &&
           !options->error_text && !options->payload.n && !options->since_us && !options->after_us &&
           !options->before_us && !options->started_since_us && !options->started_after_us &&
           !options->started_before_us && !options->ended_since_us && !options->ended_after_us &&
           !options->ended_before_us;
}
