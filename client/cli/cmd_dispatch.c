/* joblog dispatch: makes a job, prints its id, and waits for its end when asked to. Main thread. */
#include "commands.h"
#include "filter.h"
#include "follow.h"
#include "heap.h"
#include "json.h"
#include "payload.h"
#include "units.h"

#include <stdlib.h>

struct dispatch_options {
    const char *queue, *payload, *source, *owner, *batch, *request_id;
    struct option_texts labels;
    int64_t priority, max_attempts, backoff_us, max_backoff_us, delay_us, at_us;
    double multiplier, jitter;
    bool wait, watch;
};

static const struct option_row rows[] = {
    {"queue", 'q', OPTION_TEXT, "NAME", offsetof(struct dispatch_options, queue), "where it waits (default)", 0, 0},
    {"payload", 'p', OPTION_TEXT, "JSON", offsetof(struct dispatch_options, payload),
     "a JSON object, @FILE, or - for standard input ({})", 0, 0},
    {"priority", 0, OPTION_NUMBER, "N", offsetof(struct dispatch_options, priority),
     "higher runs earlier, -1000 to 1000 (0)", -1000, 1000},
    {"source", 0, OPTION_TEXT, "TYPE:ID", offsetof(struct dispatch_options, source), "the object that it works for", 0,
     0},
    {"owner", 0, OPTION_TEXT, "NAME", offsetof(struct dispatch_options, owner), "whose job it is", 0, 0},
    {"label", 'l', OPTION_TEXTS, "KEY=VALUE", offsetof(struct dispatch_options, labels), "a label (again for more)", 0,
     0},
    {"batch", 'b', OPTION_TEXT, "NAME", offsetof(struct dispatch_options, batch), "groups jobs for lists and watches",
     0, 0},
    {"max-attempts", 0, OPTION_NUMBER, "N", offsetof(struct dispatch_options, max_attempts), "attempts in all (1)", 1,
     1000},
    {"backoff", 0, OPTION_DURATION, "TIME", offsetof(struct dispatch_options, backoff_us),
     "delay after the first failed attempt (1s)", 0, 0},
    {"max-backoff", 0, OPTION_DURATION, "TIME", offsetof(struct dispatch_options, max_backoff_us),
     "the longest delay (10m)", 0, 0},
    {"multiplier", 0, OPTION_REAL, "X", offsetof(struct dispatch_options, multiplier),
     "growth of the delay from attempt to attempt (2)", 0, 0},
    {"jitter", 0, OPTION_REAL, "X", offsetof(struct dispatch_options, jitter),
     "part of the delay that is random, 0 to 1 (0)", 0, 0},
    {"delay", 0, OPTION_DURATION, "TIME", offsetof(struct dispatch_options, delay_us), "not before this time from now",
     0, 0},
    {"at", 0, OPTION_TIME, "TIME", offsetof(struct dispatch_options, at_us), "not before this time, RFC 3339", 0, 0},
    {"request-id", 0, OPTION_TEXT, "TEXT", offsetof(struct dispatch_options, request_id),
     "the same text gets the same job, however often it is sent", 0, 0},
    {"wait", 'w', OPTION_FLAG, NULL, offsetof(struct dispatch_options, wait), "wait for its end", 0, 0},
    {"watch", 'W', OPTION_FLAG, NULL, offsetof(struct dispatch_options, watch), "watch it to its end", 0, 0},
    OPTION_END,
};

static int64_t milliseconds(int64_t us)
{
    return (us + 999) / 1000;
}

/* What follows a dispatch: nothing, a wait, a watch. */
static int finish(struct cli *cli, const struct dispatch_options *options, int64_t id)
{
    if (!cli->json)
        printf("%lld\n", (long long)id);
    else if (!options->wait && !options->watch)
        json_print_line(json_pack("{s:I}", "id", (json_int_t)id));
    fflush(stdout);
    if (options->watch)
        return follow_job(cli, id, cli->json ? FOLLOW_JSON : FOLLOW_BARS, &cli->term);
    if (!options->wait)
        return EXIT_OK;
    int code = follow_job(cli, id, FOLLOW_SILENT, &cli->term);
    struct joblog_job *job;
    if (cli->json && code <= EXIT_JOB_FAILED && joblog_get(cli->client, id, &job, NULL) >= 0) {
        json_print_line(json_of_job(job));
        joblog_job_free(job);
    }
    return code;
}

static int run_dispatch(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct dispatch_options *options = values;
    struct joblog_error error = {0};
    struct joblog_label *labels;
    int64_t id;
    if (options->delay_us && options->at_us)
        return cli_usage(cli, "--delay and --at exclude each other");
    int code = cli_parse_labels(cli, &options->labels, &labels);
    if (code)
        return code;
    char *payload = options->payload ? payload_read(options->payload) : heap_copy("{}");
    struct joblog_spec spec = {
        .job_name = operands->values[0],
        .queue = options->queue,
        .priority = (int)options->priority,
        .owner = options->owner,
        .labels = labels,
        .n_labels = options->labels.n,
        .payload = payload,
        .max_attempts = (int)options->max_attempts,
        .initial_backoff_ms = milliseconds(options->backoff_us),
        .max_backoff_ms = milliseconds(options->max_backoff_us),
        .backoff_multiplier = options->multiplier,
        .backoff_jitter = options->jitter,
        .run_time_us = options->delay_us ? units_now_us() + options->delay_us : options->at_us,
        .batch = options->batch,
        .request_id = options->request_id,
    };
    char *source = filter_split_source(options->source, &spec.source_type, &spec.source_id);
    if (!payload)
        code = EXIT_REFUSED;
    else if (joblog_dispatch(cli->client, &spec, &id, &error) < 0)
        code = cli_error(&error);
    else
        code = finish(cli, options, id);
    free(source);
    free(payload);
    cli_labels_free(labels, options->labels.n);
    return code;
}

const struct command command_dispatch = {
    .name = "dispatch",
    .arguments = "NAME",
    .summary = "make a job; prints its id",
    .text = "The id is printed once the job is durable. With --wait or --watch the exit code is 0 when the job\n"
            "completes and 1 when it fails or is cancelled.",
    .examples = "joblog dispatch send_newsletter --payload '{\"list\": 7}'\n"
                "joblog dispatch process_file --payload @job.json --max-attempts 3 --backoff 5s --watch\n"
                "joblog dispatch clean_up --queue night --at 2026-01-31T02:00:00Z --source User:42 -l tenant=acme",
    .options = rows,
    .options_size = sizeof(struct dispatch_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_dispatch,
};
