/* joblog cancel and joblog retry: steer jobs by their ids, or by a filter. Main thread. */
#include "commands.h"
#include "filter.h"
#include "json.h"
#include "text.h"

struct steer_options {
    struct filter_options filter;
    const char *reason, *request_id;
    int64_t limit;
    bool dry_run;
};

static const struct option_row rows[] = {
    {"reason", 'r', OPTION_TEXT, "TEXT", offsetof(struct steer_options, reason), "why, for the record", 0, 0},
    {"request-id", 0, OPTION_TEXT, "TEXT", offsetof(struct steer_options, request_id),
     "the same text does it once, however often it is sent", 1, 0},
    {"dry-run", 'N', OPTION_FLAG, NULL, offsetof(struct steer_options, dry_run), "only count the jobs that match", 0,
     0},
    {"limit", 0, OPTION_NUMBER, "N", offsetof(struct steer_options, limit), "at most this many of them (all)", 1,
     1000000000},
    FILTER_ROWS(struct steer_options, filter),
    OPTION_END,
};

typedef int steer_call(struct joblog_client *client, int64_t id, const char *reason, const char *request_id,
                       struct joblog_job **ret_job, struct joblog_error *error);

/* Every id gets its call, whatever the others answered; the exit code is that of the first error. */
static int steer(struct cli *cli, const struct steer_options *options, const struct operands *operands,
                 steer_call *call)
{
    struct joblog_error error = {0};
    int code = EXIT_OK;
    for (size_t i = 0; i < operands->n; i++) {
        struct joblog_job *job;
        int64_t id;
        int one = cli_parse_id(cli, operands->values[i], &id);
        if (!one && call(cli->client, id, options->reason, options->request_id, &job, &error) < 0) {
            one = cli_error(&error);
        } else if (!one) {
            if (cli->json)
                json_print_line(json_of_job(job));
            else
                printf("%lld %s%s\n", (long long)id, joblog_status_name(job->status),
                       job->cancel_requested ? ", its worker has been told to stop" : "");
            joblog_job_free(job);
        }
        code = code ? code : one;
    }
    return code;
}

typedef int bulk_call(struct joblog_client *client, const struct joblog_filter *filter, const struct joblog_bulk *bulk,
                      struct joblog_bulk_outcome **ret_outcome, struct joblog_error *error);

/* done: "cancelled", "to be run again". */
static void print_outcome(const struct joblog_bulk_outcome *o, bool dry_run, const char *done)
{
    long long left = (long long)(o->matched - o->changed - o->refused);
    if (dry_run) {
        printf("%lld job%s would be %s\n", (long long)o->matched, o->matched == 1 ? "" : "s", done);
        return;
    }
    printf("%lld job%s %s", (long long)o->changed, o->changed == 1 ? "" : "s", done);
    if (o->refused)
        printf(", %lld refused", (long long)o->refused);
    if (left)
        printf(", %lld already", left);
    putchar('\n');
    for (size_t i = 0; i < o->n_refusals; i++)
        text_print_block(stderr, o->refusals[i].message, "joblog: ");
}

static int steer_many(struct cli *cli, const struct steer_options *options, bulk_call *call, const char *done)
{
    const struct joblog_bulk bulk = {.reason = options->reason,
                                     .request_id = options->request_id,
                                     .limit = options->limit,
                                     .dry_run = options->dry_run};
    struct joblog_error error = {0};
    struct joblog_bulk_outcome *outcome = NULL;
    struct filter filter;
    int code = filter_make(cli, &options->filter, &filter);
    if (code)
        return code;
    int rc = call(cli->client, &filter.filter, &bulk, &outcome, &error);
    /* What was done before something went wrong is done. */
    if (outcome && (rc == 0 || outcome->matched)) {
        if (cli->json)
            json_print_line(json_of_outcome(outcome, options->dry_run));
        else
            print_outcome(outcome, options->dry_run, done);
        code = outcome->refused ? EXIT_REFUSED : EXIT_OK;
    }
    if (rc < 0)
        code = cli_error(&error);
    joblog_bulk_outcome_free(outcome);
    filter_done(&filter);
    return code;
}

static int run(struct cli *cli, const struct steer_options *options, const struct operands *operands, steer_call *one,
               bulk_call *many, const char *done)
{
    bool filtered = !filter_is_empty(&options->filter);
    if (operands->n && filtered)
        return cli_usage(cli, "%s takes ids or a filter, not both", cli->command->name);
    if (operands->n && (options->dry_run || options->limit))
        return cli_usage(cli, "--dry-run and --limit need a filter such as --queue, or --id in place of ids");
    if (operands->n > 1 && options->request_id)
        return cli_usage(cli, "--request-id stands for one id, or for a filter such as --queue or --id");
    if (!operands->n && !filtered)
        return cli_usage(cli, "%s needs ids, or a filter such as --queue", cli->command->name);
    return operands->n ? steer(cli, options, operands, one) : steer_many(cli, options, many, done);
}

static int run_cancel(struct cli *cli, const void *options, const struct operands *operands)
{
    return run(cli, options, operands, joblog_cancel_with_request_id, joblog_cancel_jobs, "cancelled");
}

static int run_retry(struct cli *cli, const void *options, const struct operands *operands)
{
    return run(cli, options, operands, joblog_retry_with_request_id, joblog_retry_jobs, "put back");
}

const struct command command_cancel = {
    .name = "cancel",
    .arguments = "[ID...]",
    .summary = "cancel jobs",
    .text =
        "A pending job is cancelled at once; the worker of a running one is told, and the job is cancelled when the\n"
        "worker has stopped it. A job that has ended is refused (exit code 5). Without ids: all pending and running "
        "jobs\n"
        "that the filter means.",
    .examples = "joblog cancel 7402893457234 --reason 'wrong list'\n"
                "joblog cancel --queue mail --status pending --dry-run\n"
                "joblog cancel --batch import-2026-01-31 --reason 'wrong file'",
    .options = rows,
    .options_size = sizeof(struct steer_options),
    .operands_max = 100000,
    .run = run_cancel,
};

const struct command command_retry = {
    .name = "retry",
    .arguments = "[ID...]",
    .summary = "put failed or cancelled jobs back to pending",
    .text =
        "The job gets a fresh set of attempts. A job that has not failed or been cancelled is refused (exit code 5).\n"
        "Without ids: all failed jobs that the filter means; cancelled ones with --status cancelled.",
    .examples = "joblog retry 7402893457234\n"
                "joblog retry --queue mail --failed --dry-run\n"
                "joblog retry --queue mail --since 2h --reason 'server is back'\n"
                "joblog retry --failed --ended-after '2026-01-30 10:00' --ended-before '2026-01-30 11:00'",
    .options = rows,
    .options_size = sizeof(struct steer_options),
    .operands_max = 100000,
    .run = run_retry,
};
