/* joblog dispatch-many: jobs from lines of JSON, over one stream. Main thread. */
#include "commands.h"
#include "heap.h"
#include "job_line.h"
#include "json.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 2000 }; /* in memory and under way at once */

struct many_options {
    struct job_line_defaults defaults;
};

static const struct option_row rows[] = {
    {"name", 'n', OPTION_TEXT, "NAME", offsetof(struct many_options, defaults.job_name),
     "job name of lines without \"job_name\"", 0, 0},
    {"queue", 'q', OPTION_TEXT, "NAME", offsetof(struct many_options, defaults.queue),
     "queue of lines without \"queue\"", 0, 0},
    {"owner", 0, OPTION_TEXT, "NAME", offsetof(struct many_options, defaults.owner), "owner of lines without \"owner\"",
     0, 0},
    {"batch", 'b', OPTION_TEXT, "NAME", offsetof(struct many_options, defaults.batch),
     "batch of lines without \"batch\"", 0, 0},
    {"traceparent", 0, OPTION_TEXT, "TEXT", offsetof(struct many_options, defaults.traceparent),
     "traceparent of lines without \"traceparent\"", 1, 0},
    OPTION_END,
};

/* A line that is no job, until its turn to be told of comes. */
struct wrong_line {
    long long number;
    struct wrong_line *next;
    char problem[200];
};

struct many {
    struct cli *cli;
    const struct job_line_defaults *defaults;
    struct job_line lines[LINES_MAX];
    struct joblog_spec specs[LINES_MAX];
    long long numbers[LINES_MAX]; /* of the lines that are sent */
    size_t n;
    struct wrong_line *wrong; /* those between them, in order */
    struct wrong_line **wrong_end;
    size_t n_wrong;
    int code; /* of the first that went wrong */
};

static void note(struct many *m, int code)
{
    m->code = m->code ? m->code : code;
}

static void report(struct many *m, long long number, const struct joblog_outcome *o)
{
    if (m->cli->json) {
        json_print_line(o->code
                            ? json_pack("{s:I, s:i, s:s, s:s, s:s, s:o*}", "line", (json_int_t)number, "code", o->code,
                                        "reason", o->reason, "field", o->field, "message", o->message, "retry_after_ms",
                                        o->retry_after_ms ? json_integer(o->retry_after_ms) : NULL)
                            : json_pack("{s:I, s:I, s:b, s:b}", "line", (json_int_t)number, "id", (json_int_t)o->id,
                                        "replayed", o->replayed, "existing", o->existing));
    } else if (!o->code) {
        printf("%lld\n", (long long)o->id);
    }
    if (o->code)
        note(m, cli_trouble("line %lld: %s", number, o->message));
}

/* Tells of lines that are wrong and stand before this one. */
static void report_wrong(struct many *m, long long before)
{
    while (m->wrong && m->wrong->number < before) {
        struct wrong_line *wrong = m->wrong;
        report(
            m, wrong->number,
            &(struct joblog_outcome){
                .code = JOBLOG_INVALID_ARGUMENT, .reason = "INVALID_ARGUMENT", .field = "", .message = wrong->problem});
        m->wrong = wrong->next;
        m->n_wrong--;
        free(wrong);
    }
    if (!m->wrong)
        m->wrong_end = &m->wrong;
}

static void keep_wrong(struct many *m, long long number, const char *problem)
{
    struct wrong_line *wrong = heap_new(1, sizeof *wrong);
    wrong->number = number;
    wrong->next = NULL;
    snprintf(wrong->problem, sizeof wrong->problem, "%s", problem);
    *m->wrong_end = wrong;
    m->wrong_end = &wrong->next;
    m->n_wrong++;
}

/* Sends what is gathered. False: the server did not answer for all. */
static bool flush_lines(struct many *m)
{
    struct joblog_error error = {0};
    struct joblog_outcome *outcomes = NULL;
    size_t n_done = 0;
    int rc = m->n ? joblog_dispatch_many(m->cli->client, m->specs, m->n, &outcomes, &n_done, &error) : 0;
    for (size_t i = 0; i < n_done; i++) {
        report_wrong(m, m->numbers[i]);
        report(m, m->numbers[i], &outcomes[i]);
    }
    report_wrong(m, rc < 0 ? m->numbers[n_done] : LLONG_MAX);
    if (rc < 0) {
        note(m, cli_error(&error));
        cli_trouble("not dispatched: what begins with line %lld", m->numbers[n_done]);
    }
    fflush(stdout);
    joblog_outcomes_free(outcomes);
    for (size_t i = 0; i < m->n; i++)
        job_line_done(&m->lines[i]);
    m->n = 0;
    return rc >= 0;
}

static void read_lines(struct many *m, FILE *in)
{
    char *line = NULL, problem[200];
    size_t size = 0;
    ssize_t len;
    bool good = true;
    for (long long number = 1; good && (len = getline(&line, &size, in)) >= 0; number++) {
        bool has_nul = memchr(line, '\0', (size_t)len) != NULL;
        if (!has_nul && line[strspn(line, " \t\r\n")] == '\0')
            continue;
        if (has_nul) {
            keep_wrong(m, number, "must be text, holds a NUL byte");
        } else if (!job_line_read(line, (size_t)len, m->defaults, &m->lines[m->n], &m->specs[m->n], problem,
                                  sizeof problem)) {
            keep_wrong(m, number, problem);
        } else {
            m->numbers[m->n++] = number;
        }
        if (m->n == LINES_MAX || m->n_wrong == LINES_MAX)
            good = flush_lines(m);
    }
    if (good && ferror(in))
        note(m, cli_trouble("cannot read: %s", strerror(errno)));
    if (good)
        flush_lines(m);
    free(line);
}

static int run_many(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct many_options *options = values;
    const char *name = operands->n ? operands->values[0] : "-";
    FILE *in = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
    if (!in)
        return cli_trouble("cannot open %s: %s", name, strerror(errno));
    struct many *m = heap_new(1, sizeof *m);
    m->cli = cli;
    m->defaults = &options->defaults;
    m->n = m->n_wrong = 0;
    m->wrong = NULL;
    m->wrong_end = &m->wrong;
    m->code = EXIT_OK;
    read_lines(m, in);
    report_wrong(m, LLONG_MAX); /* after a server that did not answer */
    int code = m->code;
    free(m);
    if (in != stdin)
        fclose(in);
    return code;
}

const struct command command_dispatch_many = {
    .name = "dispatch-many",
    .arguments = "[FILE]",
    .summary = "make a job of each line of JSON",
    .text =
        "From standard input, or FILE. A line is an object with the members job_name, queue, priority, payload, "
        "owner,\n"
        "batch, labels, source {type, id}, request_id, traceparent, unique_key, unique_for, on_conflict, run_time,\n"
        "max_attempts, backoff, initial_backoff_ms, max_backoff_ms, multiplier, jitter, delays_ms, start_timeout_ms,\n"
        "run_timeout_ms, heartbeat_timeout_ms. Prints the ids in the order of the lines. A line that is wrong or\n"
        "refused hurts no other; then the exit code is 5.",
    .examples = "joblog dispatch-many jobs.jsonl --batch import-2026-01-31\n"
                "jq -c '.users[] | {payload: {id: .id}}' users.json | joblog dispatch-many --name greet --queue mail",
    .options = rows,
    .options_size = sizeof(struct many_options),
    .operands_max = 1,
    .run = run_many,
};
