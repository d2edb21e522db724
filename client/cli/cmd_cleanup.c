/* joblog cleanup: deletes the records of jobs that ended long ago. Main thread. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "heap.h"
#include "json.h"
#include "units.h"

struct cleanup_options {
    struct option_texts names, queues, statuses;
    int64_t limit;
    bool dry_run;
    const char *older;
};

static const struct option_row rows[] = {
    {"older-than", 0, OPTION_TEXT, "TIME", offsetof(struct cleanup_options, older),
     "jobs that ended this long ago, such as 90d; needed", 0, 0},
    {"status", 0, OPTION_LIST, "STATUS,...", offsetof(struct cleanup_options, statuses),
     "only these: completed, failed, cancelled", 0, 0},
    {"name", 'n', OPTION_TEXTS, "NAME", offsetof(struct cleanup_options, names), "only this job name (again for more)",
     1, 0},
    {"queue", 'q', OPTION_TEXTS, "NAME", offsetof(struct cleanup_options, queues), "only this queue (again for more)",
     1, 0},
    {"limit", 0, OPTION_NUMBER, "N", offsetof(struct cleanup_options, limit), "at most so many jobs", 1,
     INT64_C(1000000000000)},
    {"dry-run", 0, OPTION_FLAG, NULL, offsetof(struct cleanup_options, dry_run), "delete nothing, only count", 0, 0},
    OPTION_END,
};

enum { LIMIT_OF_A_CALL = 100000 };

static int add_statuses(const struct cli *cli, const struct option_texts *texts, enum joblog_status *statuses)
{
    for (size_t i = 0; i < texts->n; i++) {
        statuses[i] = joblog_status_parse(texts->values[i]);
        if (!joblog_status_is_final(statuses[i]))
            return cli_usage(cli, "\"%s\" is no final status: completed, failed, cancelled", texts->values[i]);
    }
    return 0;
}

/* Calls until there is nothing more, or the limit is reached. */
static int clean(struct cli *cli, struct joblog_cleanup *cleanup, int64_t limit, struct joblog_cleaned *sum)
{
    struct joblog_error error = {0};
    char *token = NULL;
    int code = EXIT_OK;
    bool more = true;
    while (!code && more) {
        int64_t left = limit ? limit - sum->completed - sum->failed - sum->cancelled : LIMIT_OF_A_CALL;
        struct joblog_cleaned *cleaned = NULL;
        cleanup->limit = (int)(left < LIMIT_OF_A_CALL ? left : LIMIT_OF_A_CALL);
        cleanup->page_token = token;
        if (left <= 0)
            break;
        if (joblog_cleanup(cli->client, cleanup, &cleaned, &error) < 0) {
            code = cli_error(&error);
            break;
        }
        sum->completed += cleaned->completed;
        sum->failed += cleaned->failed;
        sum->cancelled += cleaned->cancelled;
        free(token);
        token = heap_copy(cleaned->next_page_token);
        more = token && *token;
        joblog_cleaned_free(cleaned);
    }
    free(token);
    return code;
}

static void print_sum(const struct cli *cli, const struct joblog_cleaned *sum, bool dry_run)
{
    char completed[UNITS_TEXT], failed[UNITS_TEXT], cancelled[UNITS_TEXT];
    if (cli->json)
        json_print_line(json_of_cleaned(sum, dry_run));
    else
        printf("%s: %s completed, %s failed, %s cancelled\n", dry_run ? "would be deleted" : "deleted",
               units_count(completed, sum->completed), units_count(failed, sum->failed),
               units_count(cancelled, sum->cancelled));
}

static int run_cleanup(struct cli *cli, const void *values, const struct operands *operands)
{
    (void)operands;
    const struct cleanup_options *options = values;
    struct joblog_cleaned sum = {0};
    int64_t older_us = 0;
    if (!options->older)
        return cli_usage(cli, "--older-than is needed");
    if (units_parse_duration(options->older, &older_us) < 0)
        return cli_usage(cli, "--older-than must be a time such as 90d, is \"%s\"", options->older);
    enum joblog_status *statuses = heap_new(options->statuses.n + 1, sizeof *statuses);
    struct joblog_cleanup cleanup = {.job_names = (const char *const *)options->names.values,
                                     .n_job_names = options->names.n,
                                     .queues = (const char *const *)options->queues.values,
                                     .n_queues = options->queues.n,
                                     .statuses = statuses,
                                     .n_statuses = options->statuses.n,
                                     .older_than_ms = older_us / 1000,
                                     .dry_run = options->dry_run};
    int code = add_statuses(cli, &options->statuses, statuses);
    if (!code) {
        code = clean(cli, &cleanup, options->limit, &sum);
        if (!code || sum.completed + sum.failed + sum.cancelled > 0)
            print_sum(cli, &sum, options->dry_run);
    }
    free(statuses);
    return code;
}

const struct command command_cleanup = {
    .name = "cleanup",
    .arguments = "",
    .summary = "delete the records of jobs that ended long ago",
    .text =
        "Deletes jobs with all that belongs to them, oldest first; jobs that have not ended are never touched. The\n"
        "table joblog.retention has the server do this by itself. For administrators.",
    .examples =
        "joblog cleanup --older-than 90d --dry-run\njoblog cleanup --older-than 7d --status completed --name ping",
    .options = rows,
    .options_size = sizeof(struct cleanup_options),
    .run = run_cleanup,
};
