/* joblog stats and joblog statuses. Main thread. */
#include <string.h>

#include "commands.h"
#include "json.h"
#include "table.h"
#include "units.h"

struct stats_options {
    struct option_texts names, queues;
    int64_t since_us, until_us;
    const char *by;
};

static const struct option_row rows[] = {
    {"since", 0, OPTION_DURATION, "TIME", offsetof(struct stats_options, since_us),
     "how long the range is that ends now (24h)", 1, 0},
    {"name", 'n', OPTION_TEXTS, "NAME", offsetof(struct stats_options, names), "only this job name (again for more)", 1,
     0},
    {"queue", 'q', OPTION_TEXTS, "NAME", offsetof(struct stats_options, queues), "only this queue (again for more)", 1,
     0},
    {"until", 0, OPTION_TIME, "TIME", offsetof(struct stats_options, until_us), "the range ends then, not now", 1, 0},
    {"by", 0, OPTION_TEXT, "PART", offsetof(struct stats_options, by), "the range in parts: minute, hour or day", 0, 0},
    OPTION_END,
};

static const struct table_column columns[] = {
    {"NAME", false, true},         {"QUEUE", false, true},  {"PENDING", true, false},    {"RUNNING", true, false},
    {"COMPLETED", true, false},    {"FAILED", true, false}, {"CANCELLED", true, false},  {"| DISPATCHED", true, false},
    {"COMPLETED", true, false},    {"FAILED", true, false}, {"CANCELLED", true, false},  {"RETRIED", true, false},
    {"TOOK P50", true, false},     {"P95", true, false},    {"WAITED P50", true, false}, {"P95", true, false},
    {"OLDEST WAITS", true, false},
};
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static void add_count(struct table *table, int64_t n)
{
    char text[UNITS_TEXT];
    table_cell(table, units_count(text, n), NULL);
}

static void add_durations(struct table *table, const struct joblog_durations *durations)
{
    char text[UNITS_TEXT];
    table_cell(table, durations->count ? units_duration(text, durations->p50_us) : "-", NULL);
    table_cell(table, durations->count ? units_duration(text, durations->p95_us) : "-", NULL);
}

static void add_row(struct table *table, const struct joblog_stats_row *row, const char *name, const char *color,
                    int64_t now_us)
{
    char text[UNITS_TEXT];
    table_cell(table, name, color);
    table_cell(table, row->queue, NULL);
    add_count(table, row->pending);
    add_count(table, row->running);
    add_count(table, row->completed_now);
    add_count(table, row->failed_now);
    add_count(table, row->cancelled_now);
    add_count(table, row->dispatched);
    add_count(table, row->completed);
    add_count(table, row->failed);
    add_count(table, row->cancelled);
    add_count(table, row->retried);
    add_durations(table, &row->execution);
    add_durations(table, &row->wait);
    if (row->waiting_since_us)
        table_cell(table, units_duration(text, now_us > row->waiting_since_us ? now_us - row->waiting_since_us : 0),
                   NULL);
    else
        table_cell(table, "-", NULL);
}

static const struct table_column part_columns[] = {
    {"FROM", false, false},     {"DISPATCHED", true, false}, {"COMPLETED", true, false},  {"FAILED", true, false},
    {"CANCELLED", true, false}, {"P95", true, false},        {"WAITED P95", true, false}, {"DISPATCHED", false, false}};
enum { N_PART_COLUMNS = sizeof(part_columns) / sizeof(part_columns[0]), BAR_CELLS = 30 };

/* How much of the largest. */
static void add_bar(struct table *table, int64_t n, int64_t max)
{
    char bar[BAR_CELLS + 1];
    int64_t cells = max > 0 ? (n * BAR_CELLS + max - 1) / max : 0;
    memset(bar, '#', (size_t)cells);
    bar[cells] = 0;
    table_cell(table, bar, "green");
}

static void add_part_time(struct table *table, const struct joblog_durations *durations)
{
    char text[UNITS_TEXT];
    table_cell(table, durations->count ? units_duration(text, durations->p95_us) : "-", NULL);
}

static void print_parts(struct cli *cli, const struct joblog_stats *stats)
{
    struct table *table = table_new(part_columns, N_PART_COLUMNS);
    int64_t max = 0;
    for (size_t i = 0; i < stats->n_buckets; i++)
        if (stats->buckets[i].dispatched > max)
            max = stats->buckets[i].dispatched;
    for (size_t i = 0; i < stats->n_buckets; i++) {
        const struct joblog_stats_bucket *bucket = &stats->buckets[i];
        char text[UNITS_TEXT];
        table_cell_format(table, "%.16s", units_local(text, bucket->start_us)); /* without seconds */
        add_count(table, bucket->dispatched);
        add_count(table, bucket->completed);
        add_count(table, bucket->failed);
        add_count(table, bucket->cancelled);
        add_part_time(table, &bucket->execution);
        add_part_time(table, &bucket->wait);
        add_bar(table, bucket->dispatched, max);
    }
    table_print(table, &cli->term);
    table_free(table);
}

static void print_stats(struct cli *cli, const struct joblog_stats *stats)
{
    char range[UNITS_TEXT], rate[UNITS_TEXT], workers[UNITS_TEXT];
    struct table *table = table_new(columns, N_COLUMNS);
    int64_t now_us = units_now_us();
    for (size_t i = 0; i < stats->n_rows; i++)
        add_row(table, &stats->rows[i], stats->rows[i].job_name, NULL, now_us);
    add_row(table, &stats->total, "all", "bold", now_us);
    printf("Left of |: jobs now. Right: in %s. Completed: %s, failed: %.1f%%. Workers: %s.\n",
           units_duration(range, stats->range_end_us - stats->range_start_us),
           units_rate(rate, stats->total.throughput), stats->total.failure_rate * 100,
           units_count(workers, stats->workers));
    table_print(table, &cli->term);
    table_free(table);
    if (stats->n_buckets == 0)
        return;
    putchar('\n');
    print_parts(cli, stats);
}

/* -1: no such part. */
static int part_of(const char *by)
{
    static const char *const names[] = {"none", "minute", "hour", "day"};
    for (int i = 0; i < 4; i++)
        if (strcmp(by, names[i]) == 0)
            return i;
    return -1;
}

static int run_stats(struct cli *cli, const void *values, const struct operands *operands)
{
    (void)operands;
    const struct stats_options *options = values;
    struct joblog_error error = {0};
    struct joblog_stats *stats;
    struct joblog_filter filter = {
        .job_names = (const char *const *)options->names.values,
        .n_job_names = options->names.n,
        .queues = (const char *const *)options->queues.values,
        .n_queues = options->queues.n,
    };
    int part = options->by ? part_of(options->by) : JOBLOG_PARTS_NONE;
    if (part < 0)
        return cli_usage(cli, "--by must be minute, hour or day, is \"%s\"", options->by);
    struct joblog_stats_query query = {.filter = &filter,
                                       .range_ms = (options->since_us + 999) / 1000,
                                       .range_end_us = options->until_us,
                                       .parts = (enum joblog_stats_part)part};
    if (joblog_query_stats(cli->client, &query, &stats, &error) < 0)
        return cli_error(&error);
    if (cli->json)
        json_print_line(json_of_stats(stats));
    else
        print_stats(cli, stats);
    joblog_stats_free(stats);
    return EXIT_OK;
}

const struct command command_stats = {
    .name = "stats",
    .arguments = "",
    .summary = "numbers of jobs, run times and waiting times",
    .text = "Percentiles come from histograms and are exact to one part in four.",
    .examples = "joblog stats\njoblog stats --since 1h --queue mail\njoblog stats --since 7d --by day\njoblog stats "
                "--json | jq .total.counts",
    .options = rows,
    .options_size = sizeof(struct stats_options),
    .run = run_stats,
};

static const struct table_column status_columns[] = {
    {"NAME", false, false}, {"LABEL", false, false}, {"COLOR", false, false}, {"ICON", false, false}};

static int run_statuses(struct cli *cli, const void *options, const struct operands *operands)
{
    (void)options;
    (void)operands;
    struct joblog_error error = {0};
    if (joblog_list_statuses(cli->client, cli->language, &cli->statuses.rows, &cli->statuses.n_rows, &error) < 0)
        return cli_error(&error);
    if (cli->json) {
        json_print_line(json_of_statuses(cli->statuses.rows, cli->statuses.n_rows));
        return EXIT_OK;
    }
    struct table *table = table_new(status_columns, 4);
    for (size_t i = 0; i < cli->statuses.n_rows; i++) {
        const struct joblog_status_info *info = &cli->statuses.rows[i];
        table_cell(table, info->name, NULL);
        table_cell(table, info->label, info->color);
        table_cell(table, info->color, NULL);
        table_cell(table, info->icon, NULL);
    }
    table_print(table, &cli->term);
    table_free(table);
    return EXIT_OK;
}

const struct command command_statuses = {
    .name = "statuses",
    .arguments = "",
    .summary = "the statuses with their labels, colours and icons",
    .examples = "joblog statuses --lang es",
    .run = run_statuses,
};
