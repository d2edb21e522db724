/* joblog show: everything about a job, for a person or as JSON. Main thread. */
#include "commands.h"
#include "heap.h"
#include "json.h"
#include "text.h"
#include "units.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void line(const char *key, const char *value)
{
    if (!value || !*value)
        return;
    printf("%-12s ", key);
    text_print(stdout, value, 0);
    putchar('\n');
}

__attribute__((format(printf, 2, 3))) static void line_of(const char *key, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = heap_vformat(fmt, args);
    va_end(args);
    line(key, text);
    free(text);
}

/* A label of the catalogue, in its colour. */
static void print_status(const struct cli *cli, enum joblog_status status)
{
    fputs(term_color(&cli->term, statuses_color(&cli->statuses, status)), stdout);
    text_print(stdout, statuses_label(&cli->statuses, status), 0);
    fputs(term_reset(&cli->term), stdout);
}

static void line_time(const char *key, int64_t time_us, int64_t now_us)
{
    char when[UNITS_TEXT], distance[UNITS_TEXT];
    if (time_us)
        printf("%-12s %s  (%s)\n", key, units_local(when, time_us), units_relative(distance, time_us, now_us));
}

static void title(const struct cli *cli, const char *text)
{
    printf("\n%s%s%s\n", term_color(&cli->term, "bold"), text, term_reset(&cli->term));
}

/* Back-off, where there is a second attempt to wait for, and time-outs. */
static void print_policy(const struct joblog_job *job)
{
    static const char *const kinds[] = {"", "exponential", "linear", "fixed", "list"};
    char text[UNITS_TEXT];
    if (job->max_attempts > 1 && job->backoff == JOBLOG_BACKOFF_LIST) {
        printf("%-12s", "back-off");
        for (size_t i = 0; i < job->n_delays; i++)
            printf("%s %s", i ? "," : "", units_duration(text, job->delays_ms[i] * 1000));
        putchar('\n');
    } else if (job->max_attempts > 1 && job->backoff >= 1 && job->backoff < JOBLOG_BACKOFF_LIST) {
        line_of("back-off", "%s from %s", kinds[job->backoff], units_duration(text, job->initial_backoff_ms * 1000));
    }
    const int64_t ms[] = {job->start_timeout_ms, job->run_timeout_ms, job->heartbeat_timeout_ms};
    static const char *const names[] = {"to start", "to run", "to be silent"};
    for (size_t i = 0; i < sizeof(ms) / sizeof(ms[0]); i++)
        if (ms[i])
            line_of(names[i], "at most %s", units_duration(text, ms[i] * 1000));
}

/* The attempts that count, and those that do not. */
static void print_attempt(const struct joblog_job *job)
{
    int put_off = 0;
    for (size_t i = 0; i < job->n_attempts; i++)
        put_off += strcmp(job->attempts[i].outcome, "released") == 0;
    printf("%-12s %d of %d", "attempt", job->attempt - job->uncounted_attempts, job->max_attempts);
    if (put_off)
        printf(", %d put off or given back", put_off);
    if (job->uncounted_attempts > put_off)
        printf(", %d before a retry", job->uncounted_attempts - put_off);
    putchar('\n');
}

static void print_head(const struct cli *cli, const struct joblog_job *job)
{
    printf("%-12s %lld\n", "id", (long long)job->id);
    line("name", job->job_name);
    line("queue", job->queue);
    printf("%-12s ", "status");
    print_status(cli, job->status);
    putchar('\n');
    if (job->cancel_requested)
        line_of("cancel", "requested by %s%s%s", job->cancel_actor, *job->cancel_reason ? ": " : "",
                job->cancel_reason);
    print_attempt(job);
    print_policy(job);
    if (job->priority)
        printf("%-12s %d\n", "priority", job->priority);
    if (*job->source_type)
        line_of("source", "%s:%s", job->source_type, job->source_id);
    line("owner", job->owner);
    line("creator", job->creator);
    line("worker", job->worker);
    line("batch", job->batch);
    line("request id", job->request_id);
    line("unique key", job->unique_key);
    line("traceparent", job->traceparent);
    for (size_t i = 0; i < job->n_labels; i++)
        line_of(i ? "" : "labels", "%s=%s", job->labels[i].key, job->labels[i].value);
}

static void print_progress(const struct joblog_job *job, int64_t now_us)
{
    char a[UNITS_TEXT], b[UNITS_TEXT];
    printf("%-12s %.0f %%", "progress", job->status == JOBLOG_COMPLETED ? 100 : job->percent);
    if (job->total > 0)
        text_printf(stdout, ", %s of %s %s", units_count(a, job->done), units_count(b, job->total), job->unit);
    putchar('\n');
    line("step", job->step);
    line_time("dispatched", job->create_us, now_us);
    if (job->run_us != job->create_us)
        line_time("not before", job->run_us, now_us);
    line_time("started", job->start_us, now_us);
    line_time("ended", job->end_us, now_us);
    if (job->has_wait)
        line("waited", units_duration(a, job->wait_us));
    if (job->has_execution)
        line("took", units_duration(a, job->execution_us));
    printf("%-12s %lld\n", "revision", (long long)job->revision);
}

static void print_error(const char *type, const char *message, const char *stack_trace)
{
    if (!*type && !*message)
        return;
    char head[256];
    text_clean(head, sizeof(head), *type ? type : "error", 100);
    printf("  %s:\n", head);
    text_print_block(stdout, message, "    ");
    if (*stack_trace) {
        fputs("  stack trace:\n", stdout);
        text_print_block(stdout, stack_trace, "    ");
    }
}

static void print_attempts(const struct cli *cli, const struct joblog_job *job)
{
    char start[UNITS_TEXT], took[UNITS_TEXT];
    for (size_t i = 0; i < job->n_attempts; i++) {
        const struct joblog_attempt *attempt = &job->attempts[i];
        int64_t end = attempt->end_us ? attempt->end_us : units_now_us();
        if (!i)
            title(cli, "attempts");
        text_printf(stdout, "  %d  %s  %s, %s, by %s", attempt->number, units_local(start, attempt->start_us),
                    attempt->outcome, units_duration(took, end - attempt->start_us), attempt->worker);
        putchar('\n');
        print_error(attempt->error_type, attempt->error_message, attempt->stack_trace);
    }
}

static void print_transitions(const struct cli *cli, const struct joblog_job *job)
{
    char when[UNITS_TEXT];
    for (size_t i = 0; i < job->n_transitions; i++) {
        const struct joblog_transition *change = &job->transitions[i];
        if (!i)
            title(cli, "transitions");
        printf("  %s  ", units_local(when, change->time_us));
        if (change->from)
            text_printf(stdout, "%s -> ", statuses_label(&cli->statuses, change->from));
        print_status(cli, change->to);
        text_printf(stdout, " by %s%s%s", change->actor, *change->reason ? ": " : "", change->reason);
        if (*change->request_id)
            text_printf(stdout, "  (request %s)", change->request_id);
        putchar('\n');
    }
}

static void print_job(const struct cli *cli, const struct joblog_job *job)
{
    print_head(cli, job);
    print_progress(job, units_now_us());
    title(cli, "payload");
    json_print_pretty(stdout, job->payload, "  ");
    if (*job->result) {
        title(cli, "result");
        json_print_pretty(stdout, job->result, "  ");
    }
    if ((*job->error_type || *job->error_message) && job->status != JOBLOG_COMPLETED) {
        title(cli, "error");
        print_error(job->error_type, job->error_message, job->n_attempts ? "" : job->stack_trace);
    }
    print_attempts(cli, job);
    print_transitions(cli, job);
}

static int run_show(struct cli *cli, const void *options, const struct operands *operands)
{
    (void)options;
    struct joblog_error error = {0};
    int code = EXIT_OK;
    if (!cli->json)
        cli_load_statuses(cli);
    for (size_t i = 0; i < operands->n && !code; i++) {
        struct joblog_job *job;
        int64_t id;
        if ((code = cli_parse_id(cli, operands->values[i], &id)))
            break;
        if (joblog_get(cli->client, id, &job, &error) < 0)
            return cli_error(&error);
        if (cli->json) {
            json_print_line(json_of_job(job));
        } else {
            if (i)
                putchar('\n');
            print_job(cli, job);
        }
        joblog_job_free(job);
    }
    return code;
}

const struct command command_show = {
    .name = "show",
    .arguments = "ID...",
    .summary = "show all about a job: attempts, errors, stack traces, transitions",
    .examples = "joblog show 7402893457234\njoblog show 7402893457234 --json | jq .attempts",
    .operands_min = 1,
    .operands_max = 1000,
    .run = run_show,
};
