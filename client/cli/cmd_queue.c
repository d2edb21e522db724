/* joblog queue list, pause, resume: what queues hold; whether workers get their jobs. Main thread. */
#include <string.h>

#include "commands.h"
#include "json.h"
#include "table.h"
#include "text.h"
#include "units.h"

struct queue_options {
    const char *reason;
};

static const struct option_row pause_rows[] = {
    {"reason", 'r', OPTION_TEXT, "TEXT", offsetof(struct queue_options, reason), "why, for people", 0, 0},
    OPTION_END,
};

static const struct table_column columns[] = {
    {"QUEUE", false, true},   {"WAITING", true, false}, {"SCHEDULED", true, false},
    {"RUNNING", true, false}, {"OLDEST", false, false}, {"PAUSED", false, true},
};

static void add_row(struct table *table, const struct joblog_queue *queue, int64_t now_us)
{
    char text[UNITS_TEXT];
    table_cell(table, queue->name, NULL);
    table_cell(table, units_count(text, queue->waiting), NULL);
    table_cell(table, units_count(text, queue->scheduled), NULL);
    table_cell(table, units_count(text, queue->running), NULL);
    table_cell(table, units_relative(text, queue->oldest_us, now_us), NULL);
    if (queue->paused)
        table_cell_format(table, "%s by %s%s%s", units_relative(text, queue->pause_us, now_us), queue->pause_actor,
                          *queue->pause_reason ? ": " : "", queue->pause_reason);
    else
        table_cell(table, "", NULL);
}

/* A slip of the pen, most likely. */
static int no_queue(const char *name)
{
    fputs("joblog: there is no queue ", stderr);
    text_print(stderr, name, 0);
    fputs(": it never had a job, and is not paused\n", stderr);
    return EXIT_NOT_FOUND;
}

static bool is_among(const char *name, const struct joblog_queue *queues, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(queues[i].name, name) == 0)
            return true;
    return false;
}

static int run_list(struct cli *cli, const void *options, const struct operands *operands)
{
    struct joblog_error error = {0};
    struct joblog_queue *queues;
    int64_t now = units_now_us();
    size_t n;
    int code = EXIT_OK;
    (void)options;
    if (joblog_list_queues(cli->client, (const char *const *)operands->values, operands->n, &queues, &n, &error) < 0)
        return cli_error(&error);
    struct table *table = cli->json ? NULL : table_new(columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < n; i++) {
        if (table)
            add_row(table, &queues[i], now);
        else
            json_print_line(json_of_queue(&queues[i]));
    }
    if (table && n)
        table_print(table, &cli->term);
    else if (table && operands->n == 0)
        fputs("no queues\n", stderr);
    for (size_t i = 0; i < operands->n; i++)
        if (!is_among(operands->values[i], queues, n))
            code = no_queue(operands->values[i]);
    table_free(table);
    joblog_queues_free(queues);
    return code;
}

/* ResumeQueue takes any name, so that it may be repeated. Who may resume a queue but not list it is not told. */
static bool is_known(struct cli *cli, const char *name)
{
    struct joblog_error error = {0};
    struct joblog_queue *queues;
    size_t n;
    if (joblog_list_queues(cli->client, &name, 1, &queues, &n, &error) < 0)
        return true;
    joblog_queues_free(queues);
    return n > 0;
}

/* Every queue gets its call; the exit code is that of the first error. */
static int steer(struct cli *cli, const struct operands *operands, bool pauses, const char *reason)
{
    struct joblog_error error = {0};
    int code = EXIT_OK;
    for (size_t i = 0; i < operands->n; i++) {
        struct joblog_queue *queue;
        const char *name = operands->values[i];
        if (!pauses && !is_known(cli, name)) {
            int one = no_queue(name);
            code = code ? code : one;
            continue;
        }
        int rc = pauses ? joblog_pause_queue(cli->client, name, reason, &queue, &error)
                        : joblog_resume_queue(cli->client, name, &queue, &error);
        if (rc < 0) {
            int one = cli_error(&error);
            code = code ? code : one;
            continue;
        }
        if (cli->json)
            json_print_line(json_of_queue(queue));
        else
            printf("%s %s, %lld waiting, %lld running\n", queue->name, queue->paused ? "paused" : "goes on",
                   (long long)queue->waiting, (long long)queue->running);
        joblog_queues_free(queue);
    }
    return code;
}

static int run_pause(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct queue_options *options = values;
    return steer(cli, operands, true, options->reason);
}

static int run_resume(struct cli *cli, const void *options, const struct operands *operands)
{
    (void)options;
    return steer(cli, operands, false, NULL);
}

const struct command command_queue_list = {
    .name = "queue list",
    .arguments = "[QUEUE...]",
    .summary = "queues, and what they hold",
    .examples = "joblog queue list\njoblog queue list mail --json",
    .operands_max = 100,
    .run = run_list,
};

const struct command command_queue_pause = {
    .name = "queue pause",
    .arguments = "QUEUE...",
    .summary = "give workers no further jobs of queues",
    .text = "What runs goes on, and what is dispatched waits. On other replicas it holds within a second.",
    .examples = "joblog queue pause mail --reason 'mail server is down'",
    .options = pause_rows,
    .options_size = sizeof(struct queue_options),
    .operands_min = 1,
    .operands_max = 100,
    .run = run_pause,
};

const struct command command_queue_resume = {
    .name = "queue resume",
    .arguments = "QUEUE...",
    .summary = "let paused queues go on",
    .examples = "joblog queue resume mail",
    .operands_min = 1,
    .operands_max = 100,
    .run = run_resume,
};
