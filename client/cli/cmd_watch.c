/* joblog watch: jobs as they go on, by ids or by a filter. Main thread. */
#include "commands.h"
#include "filter.h"
#include "follow.h"
#include "heap.h"
#include "interrupt.h"
#include "live.h"
#include "live_check.h"

#include <stdlib.h>

struct watch_options {
    struct filter_options filter;
    bool until_final;
};

static const struct option_row rows[] = {
    FILTER_ROWS(struct watch_options, filter),
    {"until-final", 'u', OPTION_FLAG, NULL, offsetof(struct watch_options, until_final),
     "end when all that matched have ended (with --batch or --id; ids alone always do)", 0, 0},
    OPTION_END,
};

/* All ids exist, or the code of the first error, reported: a watch over ids would only pass an unknown one over. */
static int check_ids(struct cli *cli, const int64_t *ids, size_t n)
{
    struct joblog_error error;
    for (size_t i = 0; i < n; i++) {
        struct joblog_job *job;
        if (joblog_get(cli->client, ids[i], &job, &error) < 0)
            return cli_error(&error);
        joblog_job_free(job);
    }
    return EXIT_OK;
}

static int watch_ids(struct cli *cli, const struct operands *operands, struct joblog_filter *filter,
                     enum follow_mode mode)
{
    struct joblog_error error = {0};
    int64_t *ids = heap_new(operands->n, sizeof(*ids));
    int code = EXIT_OK;
    for (size_t i = 0; i < operands->n && !code; i++)
        code = cli_parse_id(cli, operands->values[i], &ids[i]);
    filter->ids = ids;
    filter->n_ids = operands->n;
    if (!code && operands->n == 1)
        code = follow_job(cli, ids[0], mode, &cli->term);
    else if (!code && !(code = check_ids(cli, ids, operands->n)))
        code = follow_watch(cli, joblog_watch_jobs(cli->client, filter, true, &error), mode, &cli->term, &error);
    free(ids);
    return code;
}

/* The newest that match, before what the watch brings. */
static int list_into(struct cli *cli, struct live *live, const struct joblog_filter *filter)
{
    enum { FIRST_ROWS = 200 }; /* more than a screen shows */
    struct joblog_error error = {0};
    struct joblog_list *list = NULL;
    if (joblog_list_jobs(cli->client, filter, FIRST_ROWS, NULL, &list, &error) < 0)
        return cli_error(&error);
    for (size_t i = 0; i < list->n_jobs; i++)
        live_update(live, &list->jobs[i]);
    joblog_list_free(list);
    return EXIT_OK;
}

static void cancel_watch(void *user)
{
    joblog_watch_cancel(user);
}

/* On a terminal, until an interrupt. The watch begins first, so that nothing falls between it and the list. */
static int watch_table(struct cli *cli, const struct joblog_filter *filter)
{
    struct joblog_error error = {0};
    const struct joblog_job *job;
    struct joblog_watch *watch = joblog_watch_jobs(cli->client, filter, false, &error);
    if (!watch)
        return cli_error(&error);
    cli_load_statuses(cli);
    struct live *live = live_new(&cli->term, &cli->statuses, filter);
    if (!live) /* then lines, one by one */
        return follow_watch(cli, watch, FOLLOW_BARS, &cli->term, &error);
    struct live_check *check = live_check_start(cli, live, filter);
    interrupt_set(cancel_watch, NULL, watch);
    int code = list_into(cli, live, filter), next = 0;
    while (!code && (next = joblog_watch_next(watch, &job, &error)) > 0)
        live_update(live, job);
    interrupt_clear();
    live_check_stop(check);
    live_finish(live);
    joblog_watch_free(watch);
    if (interrupt_seen())
        return EXIT_INTERRUPTED;
    return code ? code : next < 0 ? cli_error(&error) : EXIT_OK;
}

static int run_watch(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct watch_options *options = values;
    struct joblog_error error = {0};
    struct filter filter;
    if (operands->n && !filter_is_empty(&options->filter))
        return cli_usage(cli, "watch takes ids or a filter, not both");
    if (options->until_final && !operands->n && !options->filter.batch && !options->filter.ids.n)
        return cli_usage(cli, "--until-final needs --batch, --id or ids: without them there is no end");
    int code = filter_make(cli, &options->filter, &filter);
    if (code)
        return code;
    enum follow_mode mode = cli->json ? FOLLOW_JSON : FOLLOW_BARS;
    if (operands->n)
        code = watch_ids(cli, operands, &filter.filter, mode);
    else if (mode == FOLLOW_BARS && cli->term.terminal && !options->until_final)
        code = watch_table(cli, &filter.filter);
    else
        code = follow_watch(cli, joblog_watch_jobs(cli->client, &filter.filter, options->until_final, &error), mode,
                            &cli->term, &error);
    filter_done(&filter);
    return code;
}

const struct command command_watch = {
    .name = "watch",
    .arguments = "[ID...]",
    .summary = "watch jobs live",
    .text =
        "With ids: until all of them have ended; exit code 1 when one failed or was cancelled. With a filter: until\n"
        "Ctrl-C, or with --until-final until all that matched have ended. On a terminal a bar a job, and with a "
        "filter\n"
        "without an end a table of the newest that match, with errors and steps; elsewhere a line\n"
        "for every change of status, step or attempt and every ten points of progress; with --json every change.",
    .examples = "joblog watch 7402893457234\n"
                "joblog watch --batch import-2026-01-31 --until-final\n"
                "joblog watch --failed --queue mail\n"
                "joblog watch --queue mail --status running --json\n"
                "joblog watch --payload user.id=42 --ended-since 1h",
    .options = rows,
    .options_size = sizeof(struct watch_options),
    .operands_max = 100,
    .run = run_watch,
};
