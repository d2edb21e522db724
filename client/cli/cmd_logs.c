/* joblog logs: what a job has logged, and with --follow what it logs. Main thread. */
#include "commands.h"
#include "interrupt.h"
#include "json.h"
#include "text.h"
#include "units.h"

#include <string.h>

struct logs_options {
    const char *level;
    int64_t attempt, tail, after;
    bool follow, times;
};

static const struct option_row rows[] = {
    {"follow", 'f', OPTION_FLAG, NULL, offsetof(struct logs_options, follow), "go on until the job has ended", 0, 0},
    {"tail", 'n', OPTION_NUMBER, "N", offsetof(struct logs_options, tail), "begin with the last N lines", 0, 1000000},
    {"attempt", 0, OPTION_NUMBER, "N", offsetof(struct logs_options, attempt), "only lines of this attempt", 1,
     1000000000},
    {"level", 'l', OPTION_TEXT, "LEVEL", offsetof(struct logs_options, level),
     "only lines that matter that much: debug, info, warning, error", 0, 0},
    {"after", 0, OPTION_NUMBER, "N", offsetof(struct logs_options, after), "only lines after the one with this number",
     0, INT64_MAX},
    {"times", 't', OPTION_FLAG, NULL, offsetof(struct logs_options, times), "put time and level before each line", 0,
     0},
    OPTION_END,
};

static json_t *json_of_line(const struct joblog_log_line *line)
{
    char time[UNITS_TEXT];
    return json_pack("{sI si ss ss ss}", "sequence", (json_int_t)line->sequence, "attempt", line->attempt, "time",
                     units_rfc3339(time, line->time_us), "level", joblog_log_level_name(line->level), "text",
                     line->text);
}

static void print_line(const struct cli *cli, const struct logs_options *options, const struct joblog_log_line *line)
{
    char time[UNITS_TEXT];
    if (cli->json) {
        json_print_line(json_of_line(line));
        return;
    }
    if (options->times)
        printf("%s %-7s ", units_local(time, line->time_us), joblog_log_level_name(line->level));
    if (*line->text)
        text_print_block(stdout, line->text, "");
    else
        putchar('\n');
    fflush(stdout);
}

static void cancel(void *log)
{
    joblog_log_cancel(log);
}

static int print_log(const struct cli *cli, const struct logs_options *options, struct joblog_log *log)
{
    struct joblog_error error = {0};
    const struct joblog_log_line *line;
    int rc;
    interrupt_set(cancel, NULL, log);
    while ((rc = joblog_log_next(log, &line, &error)) == 1)
        print_line(cli, options, line);
    interrupt_clear();
    int64_t dropped = joblog_log_dropped(log);
    joblog_log_free(log);
    if (rc < 0)
        return interrupt_seen() ? EXIT_INTERRUPTED : cli_error(&error);
    if (dropped > 0)
        fprintf(stderr, "joblog: the log was too long: its last %lld lines were not kept\n", (long long)dropped);
    return EXIT_OK;
}

static int parse_level(const struct cli *cli, const char *text, enum joblog_log_level *ret_level)
{
    for (enum joblog_log_level level = JOBLOG_LOG_DEBUG; text && level <= JOBLOG_LOG_ERROR; level++)
        if (!strcmp(text, joblog_log_level_name(level))) {
            *ret_level = level;
            return EXIT_OK;
        }
    return text ? cli_usage(cli, "--level must be debug, info, warning or error, not \"%s\"", text) : EXIT_OK;
}

static int run_logs(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct logs_options *options = values;
    struct joblog_error error = {0};
    struct joblog_log_options settings = {.after_sequence = options->after,
                                          .attempt = (int)options->attempt,
                                          .tail = (int)options->tail,
                                          .follow = options->follow};
    int64_t id;
    int code = cli_parse_id(cli, operands->values[0], &id);
    if (!code)
        code = parse_level(cli, options->level, &settings.min_level);
    if (code)
        return code;
    struct joblog_log *log = joblog_log_open(cli->client, id, &settings, &error);
    return log ? print_log(cli, options, log) : cli_error(&error);
}

const struct command command_logs = {
    .name = "logs",
    .arguments = "ID",
    .summary = "print what a job has logged",
    .text =
        "The lines of all attempts, in their order. --follow goes on with what is added until the job has ended, and\n"
        "connects again by itself. With --json one object a line.",
    .examples = "joblog logs 7402893457234 --follow\n"
                "joblog logs 7402893457234 --attempt 2 --level warning --times",
    .options = rows,
    .options_size = sizeof(struct logs_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_logs,
};
