/* joblog worker: runs a shell command for each job. The main thread runs the worker; each job has a thread of the
 * library's pool, which serves the command's pipes; signals come on the thread of interrupt.c. */
#include "commands.h"
#include "exec.h"
#include "heap.h"
#include "interrupt.h"
#include "text.h"
#include "units.h"
#include "worker_line.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

struct worker_options {
    struct option_texts queues, names;
    const char *exec, *worker;
    int64_t concurrency;
    bool quiet;
};

static const struct option_row rows[] = {
    {"exec", 'e', OPTION_TEXT, "COMMAND", offsetof(struct worker_options, exec), "what sh -c runs for each job", 0, 0},
    {"queue", 'q', OPTION_TEXTS, "NAME", offsetof(struct worker_options, queues),
     "serve this queue (default; again for more); NAME=3 gives it a weight", 0, 0},
    {"name", 'n', OPTION_TEXTS, "JOBNAME", offsetof(struct worker_options, names),
     "take only this job name (all; again for more)", 0, 0},
    {"concurrency", 'c', OPTION_NUMBER, "N", offsetof(struct worker_options, concurrency), "jobs at once (1)", 1, 1000},
    {"worker", 0, OPTION_TEXT, "NAME", offsetof(struct worker_options, worker), "what this worker is called (host:pid)",
     0, 0},
    {"quiet", 0, OPTION_FLAG, NULL, offsetof(struct worker_options, quiet), "do not pass on what commands print", 0, 0},
    OPTION_END,
};

struct shell_worker {
    const struct worker_options *options;
    struct joblog_worker *worker;
    atomic_bool hurry; /* a second signal: stop what runs */
    /* Of the thread of joblog_worker_run. */
    int64_t lost_us; /* since when there is no connection; 0: there is one */
    int64_t say_us;  /* when to say so again */
};

/* One job that runs. */
struct shell_job {
    struct shell_worker *shell;
    struct joblog_context *context;
    const struct joblog_job *job;
    char *result; /* the last "::result" */
    bool snoozes; /* there was a "::snooze" */
};

/* Has the job that this thread ran last ended with a snooze? Its hook is called on the same thread, and knows the
 * status only. */
static _Thread_local bool snoozed;

static bool should_stop(void *user)
{
    struct shell_job *job = user;
    return joblog_job_cancelled(job->context) || atomic_load(&job->shell->hurry);
}

static void on_progress(struct joblog_context *context, const struct worker_line *line)
{
    if (line->total > 0)
        joblog_job_set_progress(context, line->done, line->total, line->unit);
    else
        joblog_job_set_percent(context, line->percent);
    if (*line->step)
        joblog_job_set_step(context, line->step);
}

static void on_line(void *user, char *text, size_t len, bool error)
{
    struct shell_job *job = user;
    struct worker_line line;
    len = text_make_valid(text, len, len, 0);
    text[len] = '\0';
    switch (error ? WORKER_LINE_TEXT : worker_line_parse(text, &line)) {
    case WORKER_LINE_PROGRESS:
        on_progress(job->context, &line);
        break;
    case WORKER_LINE_RESULT:
        free(job->result);
        job->result = heap_copy(line.result);
        break;
    case WORKER_LINE_SNOOZE:
        job->snoozes = true;
        joblog_job_snooze(job->context, line.snooze_ms, line.step);
        break;
    case WORKER_LINE_TEXT:
        joblog_job_log(job->context, error ? JOBLOG_LOG_WARNING : JOBLOG_LOG_INFO, "%s", text);
        if (job->shell->options->quiet)
            break;
        FILE *out = error ? stderr : stdout;
        flockfile(out);
        fprintf(out, "[%lld ", (long long)job->job->id);
        text_print(out, job->job->job_name, 0);
        fputs("] ", out);
        text_print(out, text, 0);
        fputc('\n', out);
        fflush(out);
        funlockfile(out);
        break;
    }
}

/* Is variable ("NAME=value") of the same name as one of those? */
static bool is_set(char *const *variables, size_t n, const char *variable)
{
    size_t len = strcspn(variable, "=");
    for (size_t i = 0; i < n; i++)
        if (strncmp(variables[i], variable, len + 1) == 0)
            return true;
    return false;
}

/* The worker's own environment with what the command should know of its job. Gives an array whose first *ret_n texts
 * are its own too. */
static char **make_environment(const struct joblog_job *job, size_t *ret_n)
{
    extern char **environ;
    size_t n = 0, have = 0;
    while (environ[have])
        have++;
    char **environment = heap_new(have + 11, sizeof(*environment));
    environment[n++] = heap_format("JOBLOG_JOB_ID=%lld", (long long)job->id);
    environment[n++] = heap_format("JOBLOG_JOB_NAME=%s", job->job_name);
    environment[n++] = heap_format("JOBLOG_QUEUE=%s", job->queue);
    environment[n++] = heap_format("JOBLOG_ATTEMPT=%d", job->attempt);
    environment[n++] = heap_format("JOBLOG_UNCOUNTED_ATTEMPTS=%d", job->uncounted_attempts);
    environment[n++] = heap_format("JOBLOG_MAX_ATTEMPTS=%d", job->max_attempts);
    environment[n++] = heap_format("JOBLOG_SOURCE=%s:%s", job->source_type, job->source_id);
    environment[n++] = heap_format("TRACEPARENT=%s", job->traceparent);
    /* Linux takes no longer text than 128 KiB in an environment; such a payload is on standard input alone. */
    if (strlen(job->payload) < 120000)
        environment[n++] = heap_format("JOBLOG_PAYLOAD=%s", job->payload);
    *ret_n = n;
    for (size_t i = 0; i < have; i++)
        if (!is_set(environment, *ret_n, environ[i]) && strncmp(environ[i], "JOBLOG_PAYLOAD=", 15) != 0)
            environment[n++] = environ[i];
    return environment;
}

/* As joblog_job_fail, but for the stack, which would be this program's and says nothing of the command. */
#define fail_command(context, ...) (joblog_job_fail_at((context), NULL, 0, NULL, false, __VA_ARGS__), -1)

/* What the end of the command means for the job. */
static int conclude(struct shell_job *job, struct exec_result *result)
{
    struct joblog_error error = {0};
    size_t len = text_make_valid(result->tail, result->tail_len, EXEC_TAIL - 1, 1);
    while (len && (result->tail[len - 1] == '\n' || result->tail[len - 1] == ' '))
        len--;
    result->tail[len] = '\0';
    const char *separator = len ? ": " : "";
    if (result->stopped && joblog_job_cancelled(job->context))
        return fail_command(job->context, "Cancelled", "the command was stopped");
    if (result->stopped)
        return fail_command(job->context, "WorkerStopped", "the worker was told to stop at once");
    if (WIFSIGNALED(result->status))
        return fail_command(job->context, "Signal", "signal %d (%s)%s%s", WTERMSIG(result->status),
                            strsignal(WTERMSIG(result->status)), separator, result->tail);
    if (WEXITSTATUS(result->status) != 0)
        return fail_command(job->context, "ExitCode", "exit code %d%s%s", WEXITSTATUS(result->status), separator,
                            result->tail);
    if (job->snoozes) {
        snoozed = true;
        return -1; /* it waits, as it said */
    }
    if (job->result && joblog_job_set_result(job->context, job->result, &error) < 0)
        return fail_command(job->context, "BadResult", "the command's result was refused: %s", error.message);
    return 0;
}

static int run_job(struct joblog_context *context, void *user)
{
    struct shell_worker *shell = user;
    struct shell_job job = {.shell = shell, .context = context, .job = joblog_job_info(context)};
    struct exec_result *result = heap_new(1, sizeof(*result));
    size_t n;
    snoozed = false;
    char **environment = make_environment(job.job, &n);
    struct exec exec = {
        .command = shell->options->exec,
        .input = job.job->payload,
        .environment = environment,
        .on_line = on_line,
        .should_stop = should_stop,
        .user = &job,
    };
    int rc = exec_run(&exec, result);
    rc =
        rc < 0 ? fail_command(context, "SpawnFailed", "cannot run /bin/sh: %s", strerror(-rc)) : conclude(&job, result);
    for (size_t i = 0; i < n; i++)
        free(environment[i]);
    free(environment);
    free(job.result);
    free(result);
    return rc;
}

static void stop_worker(void *user)
{
    struct shell_worker *shell = user;
    fputs("joblog: finishing what runs; again to stop it at once\n", stderr);
    joblog_worker_stop(shell->worker);
}

static void stop_at_once(void *user)
{
    struct shell_worker *shell = user;
    atomic_store(&shell->hurry, true);
}

static void say_end(const struct shell_worker *shell, const struct joblog_job *job, const char *how)
{
    if (shell->options->quiet)
        return;
    flockfile(stderr);
    fprintf(stderr, "[%lld ", (long long)job->id);
    text_print(stderr, job->job_name, 0);
    fprintf(stderr, "] attempt %d: %s\n", job->attempt, how);
    funlockfile(stderr);
}

static void finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    say_end(user, job,
            status != JOBLOG_PENDING ? joblog_status_name(status)
            : snoozed                ? "snoozed, will run again"
                                     : "failed, will be tried again");
}

static void say_taken(void *user, const struct joblog_job *job, enum joblog_status status)
{
    (void)status;
    say_end(user, job, "taken from this worker, by a time-out or after too long without a connection");
}

static void say_asked(void *user, enum joblog_asked what)
{
    (void)user;
    fputs(what == JOBLOG_ASKED_PAUSE    ? "joblog: paused by an operator; what runs goes on\n"
          : what == JOBLOG_ASKED_RESUME ? "joblog: no longer paused\n"
                                        : "joblog: asked to leave by an operator; finishing what runs\n",
          stderr);
}

static void say_ready(void *user)
{
    struct shell_worker *shell = user;
    shell->lost_us = 0;
    fputs("joblog: worker ready\n", stderr);
}

/* At once, and then ever more seldom. */
static void say_lost(void *user, const struct joblog_error *error)
{
    enum { SOONEST_S = 10, LATEST_S = 600 };
    struct shell_worker *shell = user;
    int64_t now_us = units_now_us();
    char text[UNITS_TEXT];
    if (shell->lost_us && now_us < shell->say_us)
        return;
    shell->lost_us = shell->lost_us ? shell->lost_us : now_us;
    int64_t away_us = now_us - shell->lost_us, pause_us = away_us;
    if (pause_us < SOONEST_S * INT64_C(1000000))
        pause_us = SOONEST_S * INT64_C(1000000);
    else if (pause_us > LATEST_S * INT64_C(1000000))
        pause_us = LATEST_S * INT64_C(1000000);
    shell->say_us = now_us + pause_us;
    flockfile(stderr);
    if (away_us)
        fprintf(stderr, "joblog: no connection for %s, still trying: ", units_duration(text, away_us));
    else
        fputs("joblog: no connection, trying again: ", stderr);
    text_print(stderr, error->message, 0);
    fputc('\n', stderr);
    funlockfile(stderr);
}

/* Queues that were given as NAME or NAME=WEIGHT. */
struct queue_list {
    char **names;
    int *weights; /* NULL: none was given */
    size_t n;
};

static void queues_done(struct queue_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->names[i]);
    free(list->names);
    free(list->weights);
}

/* 0, or EXIT_USAGE with a message. */
static int queues_parse(const struct cli *cli, const struct option_texts *texts, struct queue_list *ret)
{
    bool weighted = false;
    ret->names = heap_new(texts->n + 1, sizeof *ret->names);
    ret->weights = heap_new(texts->n + 1, sizeof *ret->weights);
    for (size_t i = 0; i < texts->n; i++) {
        int64_t weight = 1;
        char *equals;
        ret->names[ret->n++] = heap_copy(texts->values[i]);
        equals = strrchr(ret->names[i], '=');
        weighted |= equals != NULL;
        if (!equals)
            equals = ret->names[i] + strlen(ret->names[i]);
        else if (units_parse_int(equals + 1, &weight) < 0 || weight < 1 || weight > 1000)
            return cli_usage(cli, "--queue NAME=WEIGHT needs a weight from 1 to 1000, not \"%s\"", equals + 1);
        *equals = '\0';
        ret->weights[i] = (int)weight;
        if (!*ret->names[i])
            return cli_usage(cli, "--queue needs a name, not \"%s\"", texts->values[i]);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(ret->names[k], ret->names[i]))
                return cli_usage(cli, "--queue %s is there twice", ret->names[i]);
    }
    if (!weighted) {
        free(ret->weights);
        ret->weights = NULL;
    }
    return EXIT_OK;
}

/* Likewise: what the server or the library would say in their own words. */
static int check_options(const struct cli *cli, const struct worker_options *options)
{
    const struct option_texts *names = &options->names;
    if (!options->exec || !*options->exec)
        return cli_usage(cli, "worker needs --exec COMMAND");
    if (options->worker && !*options->worker)
        return cli_usage(cli, "--worker needs a name");
    for (size_t i = 0; i < names->n; i++) {
        if (!*names->values[i])
            return cli_usage(cli, "--name needs a job name");
        for (size_t k = 0; k < i; k++)
            if (!strcmp(names->values[k], names->values[i]))
                return cli_usage(cli, "--name %s is there twice", names->values[i]);
    }
    if (cli->json)
        return cli_usage(cli, "worker has no --json; watch --json follows its jobs");
    return EXIT_OK;
}

static int run_worker(struct cli *cli, const void *values, const struct operands *operands)
{
    (void)operands;
    struct shell_worker shell = {.options = values};
    struct joblog_error error = {0};
    struct queue_list queues = {NULL};
    int rc = check_options(cli, values);
    rc = rc ? rc : queues_parse(cli, &shell.options->queues, &queues);
    if (rc) {
        queues_done(&queues);
        return rc;
    }
    signal(SIGPIPE, SIG_IGN);
    struct joblog_worker_options settings = {
        .name = shell.options->worker,
        .version = "joblog " JOBLOG_VERSION,
        .queues = (const char *const *)queues.names,
        .n_queues = queues.n,
        .queue_weights = queues.weights,
        .concurrency = (int)shell.options->concurrency,
        .prefetch = -1, /* commands take long; a job taken ahead would wait here while another worker is free */
        .on_finished = finished,
        .on_lease_lost = say_taken,
        .on_ready = say_ready,
        .on_lost = say_lost,
        .on_asked = say_asked,
        .hook_user = &shell,
    };
    shell.worker = joblog_worker_new(cli->client, &settings, &error);
    queues_done(&queues);
    if (!shell.worker)
        return cli_error(&error);
    const struct option_texts *names = &shell.options->names;
    rc = names->n ? 0 : joblog_worker_handle(shell.worker, NULL, run_job, &shell, &error);
    for (size_t i = 0; i < names->n && rc >= 0; i++)
        rc = joblog_worker_handle(shell.worker, names->values[i], run_job, &shell, &error);
    if (rc >= 0) {
        interrupt_set(stop_worker, stop_at_once, &shell);
        rc = joblog_worker_run(shell.worker, &error);
        interrupt_clear();
    }
    joblog_worker_free(shell.worker);
    if (rc < 0)
        return cli_error(&error);
    return atomic_load(&shell.hurry) ? EXIT_INTERRUPTED : EXIT_OK;
}

const struct command command_worker = {
    .name = "worker",
    .arguments = "",
    .summary = "run a shell command for each job of a queue",
    .text =
        "The payload is on the command's standard input, and in $JOBLOG_PAYLOAD unless it is longer than 120000 "
        "bytes.\n"
        "$JOBLOG_JOB_ID, $JOBLOG_JOB_NAME, $JOBLOG_QUEUE, $JOBLOG_SOURCE (TYPE:ID) and $TRACEPARENT say which job it\n"
        "is; $JOBLOG_ATTEMPT is the number of the attempt, $JOBLOG_UNCOUNTED_ATTEMPTS how many of those do not count\n"
        "against $JOBLOG_MAX_ATTEMPTS. Lines of standard output:\n"
        "  ::progress 40 reading           40 percent, at the step \"reading\"\n"
        "  ::progress 300/1000 rows reading\n"
        "                                  done and total, their unit, the step\n"
        "  ::result {\"rows\": 1000}         the job's result, a JSON value; the last one counts\n"
        "  ::snooze 30 no paper            with exit code 0: again in 30 s, and this attempt does not count\n"
        "Other lines become the job's log (joblog logs), those of standard error with the level warning, and are\n"
        "passed on. Any line is a sign of life, for a job with a heartbeat time-out.\n"
        "Exit code 0 completes the job; another fails the attempt, with the last 4 KiB of standard error as the\n"
        "message. A cancel sends SIGTERM to the command's process group, SIGKILL after 10 s.\n"
        "SIGINT, SIGTERM or SIGHUP: the worker takes no more jobs and ends when what runs has ended; a second SIGINT\n"
        "or SIGTERM stops what runs.",
    .examples =
        "joblog worker --queue mail --exec ./send-mail\n"
        "joblog worker --name resize --concurrency 4 --exec 'jq -r .path | xargs -I{} convert {} -resize 50% {}'",
    .options = rows,
    .options_size = sizeof(struct worker_options),
    .run = run_worker,
};
