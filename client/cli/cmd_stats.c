/* joblog stats and joblog statuses. Main thread. */
#include "commands.h"
#include "json.h"
#include "table.h"
#include "units.h"

struct stats_options {
    struct option_texts names, queues;
    int64_t since_us;
};

static const struct option_row rows[] = {
    {"since", 0, OPTION_DURATION, "TIME", offsetof(struct stats_options, since_us), "the range that ends now (24h)", 0,
     0},
    {"name", 'n', OPTION_TEXTS, "NAME", offsetof(struct stats_options, names), "only this job name (again for more)", 0,
     0},
    {"queue", 'q', OPTION_TEXTS, "NAME", offsetof(struct stats_options, queues), "only this queue (again for more)", 0,
     0},
    OPTION_END,
};

static const struct table_column columns[] = {
    {"NAME", false, true},      {"QUEUE", false, true},      {"PENDING", true, false},   {"RUNNING", true, false},
    {"COMPLETED", true, false}, {"FAILED", true, false},     {"CANCELLED", true, false}, {"| DISPATCHED", true, false},
    {"COMPLETED", true, false}, {"FAILED", true, false},     {"RETRIED", true, false},   {"TOOK P50", true, false},
    {"P95", true, false},       {"WAITED P50", true, false}, {"P95", true, false},
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

static void add_row(struct table *table, const struct joblog_stats_row *row, const char *name, const char *color)
{
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
    add_count(table, row->retried);
    add_durations(table, &row->execution);
    add_durations(table, &row->wait);
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
    if (joblog_get_stats(cli->client, &filter, (options->since_us + 999) / 1000, &stats, &error) < 0)
        return cli_error(&error);
    if (cli->json) {
        json_print_line(json_of_stats(stats));
    } else {
        char range[UNITS_TEXT];
        struct table *table = table_new(columns, N_COLUMNS);
        for (size_t i = 0; i < stats->n_rows; i++)
            add_row(table, &stats->rows[i], stats->rows[i].job_name, NULL);
        add_row(table, &stats->total, "all", "bold");
        printf("Left of |: jobs now. Right: in the last %s.\n",
               units_duration(range, stats->range_end_us - stats->range_start_us));
        table_print(table, &cli->term);
        table_free(table);
    }
    joblog_stats_free(stats);
    return EXIT_OK;
}

const struct command command_stats = {
    .name = "stats",
    .arguments = "",
    .summary = "numbers of jobs, run times and waiting times",
    .text = "Percentiles come from histograms and are exact to one part in four.",
    .examples = "joblog stats\njoblog stats --since 1h --queue mail\njoblog stats --json | jq .total.counts",
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
