/* joblog dispatch: makes a job, prints its id, and waits for its end when asked to. Main thread. */
#include "commands.h"
#include "filter.h"
#include "follow.h"
#include "heap.h"
#include "json.h"
#include "payload.h"
#include "policy.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

struct dispatch_options {
    const char *queue, *payload, *source, *owner, *batch, *request_id, *traceparent, *unique, *unique_for, *on_conflict;
    const char *backoff_kind;
    struct option_texts labels, delays;
    int64_t priority, max_attempts, backoff_us, max_backoff_us, delay_us, at_us, start_timeout_us, run_timeout_us,
        heartbeat_timeout_us;
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
    {"backoff-kind", 0, OPTION_TEXT, "KIND", offsetof(struct dispatch_options, backoff_kind),
     "how the delay grows: exponential, linear or fixed (exponential)", 0, 0},
    {"delays", 0, OPTION_LIST, "TIME,...", offsetof(struct dispatch_options, delays),
     "the delays one by one instead; the last again and again", 0, 0},
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
     "the same text gets the same job, however often it is sent", 1, 0},
    {"traceparent", 0, OPTION_TEXT, "TEXT", offsetof(struct dispatch_options, traceparent),
     "the trace that it belongs to, as W3C's header has it", 1, 0},
    {"start-timeout", 0, OPTION_DURATION, "TIME", offsetof(struct dispatch_options, start_timeout_us),
     "cancelled if no worker has started it by then", 0, 0},
    {"run-timeout", 0, OPTION_DURATION, "TIME", offsetof(struct dispatch_options, run_timeout_us),
     "an attempt that takes longer has failed", 0, 0},
    {"heartbeat-timeout", 0, OPTION_DURATION, "TIME", offsetof(struct dispatch_options, heartbeat_timeout_us),
     "an attempt that its worker says nothing about for longer has failed", 0, 0},
    {"unique", 0, OPTION_TEXT, "KEY", offsetof(struct dispatch_options, unique),
     "at most one job of this name holds the key", 1, 0},
    {"unique-for", 0, OPTION_TEXT, "SCOPE", offsetof(struct dispatch_options, unique_for),
     "how long it holds it: not-final, pending, or a time (not-final)", 0, 0},
    {"on-conflict", 0, OPTION_TEXT, "WHAT", offsetof(struct dispatch_options, on_conflict),
     "when another job holds it: reject, use, replace or merge its payload (reject)", 0, 0},
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

/* --backoff-kind, --delays; *ret_delays is to be freed. EXIT_OK or the code to end with. */
static int read_backoff(struct cli *cli, const struct dispatch_options *options, struct joblog_spec *spec,
                        int64_t **ret_delays)
{
    if (options->backoff_kind && !policy_read_backoff(options->backoff_kind, spec))
        return cli_usage(cli, "--backoff-kind must be exponential, linear or fixed");
    if (options->delays.n == 0)
        return EXIT_OK;
    if (options->backoff_kind || options->backoff_us || options->max_backoff_us || options->multiplier > 0)
        return cli_usage(cli, "--delays excludes --backoff, --backoff-kind, --max-backoff and --multiplier");
    int64_t *delays = heap_new(options->delays.n, sizeof *delays);
    *ret_delays = delays;
    for (size_t i = 0; i < options->delays.n; i++) {
        int64_t us;
        if (units_parse_duration(options->delays.values[i], &us) != 0)
            return cli_usage(cli, "--delays must be times such as 1s,10s,5m");
        delays[i] = milliseconds(us);
    }
    spec->backoff = JOBLOG_BACKOFF_LIST;
    spec->n_delays = options->delays.n;
    return EXIT_OK;
}

/* --unique, --unique-for, --on-conflict. EXIT_OK or the code to end with. */
static int read_unique(struct cli *cli, const struct dispatch_options *options, struct joblog_spec *spec)
{
    spec->unique_key = options->unique;
    spec->unique_scope = JOBLOG_UNIQUE_NOT_FINAL;
    if (!options->unique && (options->unique_for || options->on_conflict))
        return cli_usage(cli, "--unique-for and --on-conflict need --unique");
    if (options->unique_for && !policy_read_unique_for(options->unique_for, spec))
        return cli_usage(cli, "--unique-for must be not-final, pending, or a time such as 10m");
    if (options->on_conflict && !policy_read_on_conflict(options->on_conflict, spec))
        return cli_usage(cli, "--on-conflict must be reject, use, replace or merge");
    return EXIT_OK;
}

static int run_dispatch(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct dispatch_options *options = values;
    struct joblog_error error = {0};
    struct joblog_label *labels;
    int64_t id;
    struct joblog_spec parts = {0};
    int64_t *delays = NULL;
    if (options->delay_us && options->at_us)
        return cli_usage(cli, "--delay and --at exclude each other");
    int code = read_unique(cli, options, &parts);
    if (code == EXIT_OK)
        code = read_backoff(cli, options, &parts, &delays);
    if (code == EXIT_OK)
        code = cli_parse_labels(cli, &options->labels, &labels);
    if (code) {
        free(delays);
        return code;
    }
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
        .traceparent = options->traceparent,
        .start_timeout_ms = milliseconds(options->start_timeout_us),
        .run_timeout_ms = milliseconds(options->run_timeout_us),
        .heartbeat_timeout_ms = milliseconds(options->heartbeat_timeout_us),
        .unique_key = parts.unique_key,
        .unique_scope = parts.unique_scope,
        .unique_period_ms = parts.unique_period_ms,
        .on_conflict = parts.on_conflict,
        .backoff = parts.backoff,
        .delays_ms = delays,
        .n_delays = parts.n_delays,
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
    free(delays);
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
