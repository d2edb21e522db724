/* joblog cancel and joblog retry: steer jobs by their ids. Main thread. */
#include "commands.h"
#include "json.h"

struct steer_options {
    const char *reason;
};

static const struct option_row rows[] = {
    {"reason", 'r', OPTION_TEXT, "TEXT", offsetof(struct steer_options, reason), "why, for the record", 0, 0},
    OPTION_END,
};

typedef int steer_call(struct joblog_client *client, int64_t id, const char *reason, struct joblog_job **ret_job,
                       struct joblog_error *error);

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
        if (!one && call(cli->client, id, options->reason, &job, &error) < 0) {
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

static int run_cancel(struct cli *cli, const void *options, const struct operands *operands)
{
    return steer(cli, options, operands, joblog_cancel);
}

static int run_retry(struct cli *cli, const void *options, const struct operands *operands)
{
    return steer(cli, options, operands, joblog_retry);
}

const struct command command_cancel = {
    .name = "cancel",
    .arguments = "ID...",
    .summary = "cancel jobs",
    .text =
        "A pending job is cancelled at once; the worker of a running one is told, and the job is cancelled when the\n"
        "worker has stopped it. A job that has ended is refused (exit code 5).",
    .examples = "joblog cancel 7402893457234 --reason 'wrong list'",
    .options = rows,
    .options_size = sizeof(struct steer_options),
    .operands_min = 1,
    .operands_max = 100000,
    .run = run_cancel,
};

const struct command command_retry = {
    .name = "retry",
    .arguments = "ID...",
    .summary = "put failed or cancelled jobs back to pending",
    .text =
        "The job gets a fresh set of attempts. A job that has not failed or been cancelled is refused (exit code 5).",
    .examples = "joblog retry 7402893457234\n"
                "joblog list --failed --queue mail --json | jq .id | xargs joblog retry --reason 'server is back'",
    .options = rows,
    .options_size = sizeof(struct steer_options),
    .operands_min = 1,
    .operands_max = 100000,
    .run = run_retry,
};
