/* A worker with two handlers. Handlers run on the threads of the worker's pool; main runs the worker until SIGTERM or
 * SIGINT, which drain it. Prints "worker ready" when the server has welcomed it.
 *
 *     process_file       {"file": "/etc/services", "lines": 361}       counts and parses the lines of a file
 *     send_notification  {"recipients": 500, "fail_on_attempt": 1}     a mailing whose first attempt fails half-way
 *
 * The work of the mailing, and the time that a step takes (--pace-ms), are made up; everything else is as it would be.
 */
#include <getopt.h>
#include <jansson.h>
#include <joblog/joblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not static, so that stack traces name them. */
joblog_handler process_file, send_notification;

struct settings {
    const char *server, *queue;
    int concurrency;
    int64_t pace_ms; /* a pause a step, so that people see the bars move */
};

/* True when the job should stop. */
static bool take_a_step(struct joblog_context *context, const struct settings *settings)
{
    return joblog_job_wait_cancelled(context, settings->pace_ms);
}

/* ---- process_file ---- */

struct counts {
    json_int_t lines, words, bytes;
};

/* One line: the words in it. */
static void parse_line(const char *line, struct counts *counts)
{
    bool in_word = false;
    for (const char *c = line; *c; c++) {
        bool blank = *c == ' ' || *c == '\t' || *c == '\n';
        counts->words += !blank && !in_word;
        in_word = !blank;
        counts->bytes++;
    }
    counts->lines++;
}

static json_int_t count_lines(FILE *file)
{
    json_int_t lines = 0;
    int c, last = '\n';
    while ((c = getc(file)) != EOF) {
        lines += c == '\n';
        last = c;
    }
    rewind(file);
    return lines + (last != '\n');
}

static int read_lines(struct joblog_context *context, const struct settings *settings, FILE *file, json_int_t total,
                      struct counts *counts)
{
    json_int_t a_step = total / 50 > 0 ? total / 50 : 1;
    char *line = NULL;
    size_t size = 0;
    int rc = 0;
    while (rc == 0 && getline(&line, &size, file) >= 0) {
        parse_line(line, counts);
        if (counts->lines % a_step == 0) {
            joblog_job_set_progress(context, counts->lines, total, "lines");
            rc = take_a_step(context, settings) ? -1 : 0;
        }
    }
    free(line);
    if (rc == 0)
        joblog_job_set_progress(context, counts->lines, total > counts->lines ? total : counts->lines, "lines");
    return rc;
}

static int set_counts(struct joblog_context *context, const struct counts *counts)
{
    char result[120];
    snprintf(result, sizeof result, "{\"lines\": %lld, \"words\": %lld, \"bytes\": %lld}", (long long)counts->lines,
             (long long)counts->words, (long long)counts->bytes);
    return joblog_job_set_result(context, result, NULL);
}

static int process_open_file(struct joblog_context *context, const struct settings *settings, FILE *file,
                             json_int_t total)
{
    struct counts counts = {0};
    if (total == 0) {
        joblog_job_set_step(context, "counting lines");
        total = count_lines(file);
        if (take_a_step(context, settings))
            return -1;
    }
    joblog_job_set_step(context, "parsing lines");
    if (read_lines(context, settings, file, total, &counts) < 0)
        return -1;
    joblog_job_set_step(context, "writing the summary");
    if (take_a_step(context, settings))
        return -1;
    return set_counts(context, &counts);
}

int process_file(struct joblog_context *context, void *user)
{
    const struct settings *settings = user;
    json_t *payload = json_loads(joblog_job_info(context)->payload, 0, NULL);
    const char *path = json_string_value(json_object_get(payload, "file"));
    int rc = -1;
    if (!path) {
        rc = joblog_job_fail_for_good(context, "BadPayload", "the payload names no \"file\"");
    } else {
        joblog_job_set_step(context, "opening the file");
        FILE *file = fopen(path, "r");
        if (!file) {
            rc = joblog_job_fail(context, "FileNotReadable", "%s: %m", path);
        } else {
            rc = process_open_file(context, settings, file, json_integer_value(json_object_get(payload, "lines")));
            fclose(file);
        }
    }
    json_decref(payload);
    return rc;
}

/* ---- send_notification ---- */

static int send_all(struct joblog_context *context, const struct settings *settings, json_int_t recipients,
                    bool mail_server_is_down)
{
    json_int_t a_step = recipients / 40 > 0 ? recipients / 40 : 1;
    joblog_job_set_step(context, "sending");
    for (json_int_t sent = 0; sent < recipients; sent += a_step) {
        if (mail_server_is_down && sent >= recipients / 2)
            return joblog_job_fail(context, "SmtpTimeout", "no answer from the mail server after %lld of %lld messages",
                                   (long long)sent, (long long)recipients);
        if (take_a_step(context, settings))
            return -1;
        json_int_t done = sent + a_step < recipients ? sent + a_step : recipients;
        joblog_job_set_progress(context, done, recipients, "messages");
    }
    return 0;
}

int send_notification(struct joblog_context *context, void *user)
{
    const struct settings *settings = user;
    const struct joblog_job *job = joblog_job_info(context);
    json_t *payload = json_loads(job->payload, 0, NULL);
    json_int_t recipients = json_integer_value(json_object_get(payload, "recipients"));
    json_int_t fail_on_attempt = json_integer_value(json_object_get(payload, "fail_on_attempt"));
    json_decref(payload);
    joblog_job_set_step(context, "loading recipients");
    if (take_a_step(context, settings))
        return -1;
    if (send_all(context, settings, recipients, job->attempt == fail_on_attempt) < 0)
        return -1;
    char result[60];
    snprintf(result, sizeof result, "{\"sent\": %lld}", (long long)recipients);
    return joblog_job_set_result(context, result, NULL);
}

/* ---- main ---- */

static void on_ready(void *user)
{
    (void)user;
    puts("worker ready");
    fflush(stdout);
}

static void on_lost(void *user, const struct joblog_error *error)
{
    (void)user;
    fprintf(stderr, "connection lost, trying again: %s\n", error->message);
}

static void on_finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    (void)user;
    const char *what = status == JOBLOG_PENDING ? "will be tried again" : joblog_status_name(status);
    printf("job %lld (%s, attempt %d) %s\n", (long long)job->id, job->job_name, job->attempt, what);
    fflush(stdout);
}

static int run(struct joblog_client *client, struct settings *settings, struct joblog_error *error)
{
    struct joblog_worker_options options = {.queues = &settings->queue,
                                            .n_queues = 1,
                                            .concurrency = settings->concurrency,
                                            .prefetch = -1,
                                            .on_ready = on_ready,
                                            .on_lost = on_lost,
                                            .on_finished = on_finished};
    struct joblog_worker *worker = joblog_worker_new(client, &options, error);
    int rc = -1;
    if (worker && joblog_worker_handle(worker, "process_file", process_file, settings, error) == 0 &&
        joblog_worker_handle(worker, "send_notification", send_notification, settings, error) == 0 &&
        joblog_worker_stop_on_signals(worker, error) == 0)
        rc = joblog_worker_run(worker, error);
    joblog_worker_free(worker);
    return rc;
}

static bool parse(int argc, char **argv, struct settings *settings)
{
    static const struct option options[] = {{"server", required_argument, NULL, 's'},
                                            {"queue", required_argument, NULL, 'q'},
                                            {"concurrency", required_argument, NULL, 'c'},
                                            {"pace-ms", required_argument, NULL, 'p'},
                                            {0}};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            settings->server = optarg;
        else if (c == 'q')
            settings->queue = optarg;
        else if (c == 'c')
            settings->concurrency = atoi(optarg);
        else if (c == 'p')
            settings->pace_ms = atoll(optarg);
        else
            return false;
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct settings settings = {.queue = "default", .concurrency = 1};
    if (!parse(argc, argv, &settings)) {
        fprintf(stderr, "usage: example-worker [--server ADDR] [--queue NAME] [--concurrency N] [--pace-ms N]\n");
        return 2;
    }
    struct joblog_error error;
    struct joblog_client *client = joblog_connect(settings.server, NULL, &error);
    int rc = client ? run(client, &settings, &error) : -1;
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", joblog_code_name(error.code), error.message);
    joblog_close(client);
    return rc < 0 ? 1 : 0;
}
