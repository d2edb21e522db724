/* joblog workers: who is connected; joblog workers drain, pause and resume: asks some to leave, to wait, to go on. Main
 * thread. */
#include "commands.h"
#include "heap.h"
#include "json.h"
#include "table.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

struct workers_options {
    const char *name, *host, *version, *queue;
    const char *reason;
};

static const struct option_row list_rows[] = {
    {"name", 'n', OPTION_TEXT, "NAME", offsetof(struct workers_options, name), "only workers of this name", 1, 0},
    {"host", 0, OPTION_TEXT, "HOST", offsetof(struct workers_options, host), "only those on this host", 1, 0},
    {"version", 0, OPTION_TEXT, "TEXT", offsetof(struct workers_options, version), "only those of this version", 1, 0},
    {"queue", 'q', OPTION_TEXT, "NAME", offsetof(struct workers_options, queue), "only those that serve this queue", 1,
     0},
    OPTION_END,
};

static const struct option_row drain_rows[] = {
    {"host", 0, OPTION_TEXT, "HOST", offsetof(struct workers_options, host), "those on this host", 1, 0},
    {"version", 0, OPTION_TEXT, "TEXT", offsetof(struct workers_options, version), "those of this version", 1, 0},
    {"reason", 'r', OPTION_TEXT, "TEXT", offsetof(struct workers_options, reason), "why, for the record", 0, 0},
    OPTION_END,
};

static const struct option_row resume_rows[] = {
    {"host", 0, OPTION_TEXT, "HOST", offsetof(struct workers_options, host), "those on this host", 1, 0},
    {"version", 0, OPTION_TEXT, "TEXT", offsetof(struct workers_options, version), "those of this version", 1, 0},
    OPTION_END,
};

static const struct table_column columns[] = {
    {"SESSION", true, false}, {"NAME", false, true},   {"VERSION", false, true}, {"HOST", false, true},
    {"PID", true, false},     {"QUEUES", false, true}, {"RUNS", true, false},    {"CREDIT", true, false},
    {"SINCE", false, false},  {"SEEN", false, false},  {"JOBS", false, true},    {"NOTE", false, true},
};
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static char *join(const char *const *texts, size_t n)
{
    size_t len = 1;
    for (size_t i = 0; i < n; i++)
        len += strlen(texts[i]) + 1;
    char *all = heap_new(len, 1);
    for (size_t i = 0; i < n; i++) {
        if (i)
            strcat(all, ",");
        strcat(all, texts[i]);
    }
    return all;
}

/* The first of what it runs. */
static void add_jobs(struct table *table, const struct joblog_worker_info *w)
{
    enum { SHOWN_MAX = 3 };
    char text[SHOWN_MAX * 24 + 8] = "";
    size_t len = 0, n = w->n_job_ids < SHOWN_MAX ? w->n_job_ids : SHOWN_MAX;
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%lld", i ? "," : "", (long long)w->job_ids[i]);
    if (n && w->n_running > (int64_t)n)
        snprintf(text + len, sizeof text - len, ",…");
    table_cell(table, text, NULL);
}

static void add_row(struct table *table, const struct joblog_worker_info *w, int64_t now_us)
{
    char text[UNITS_TEXT];
    char *queues = join(w->queues, w->n_queues);
    table_cell_format(table, "%lld", (long long)w->session_id);
    table_cell(table, w->name, NULL);
    table_cell(table, w->version, NULL);
    table_cell(table, w->host, NULL);
    table_cell_format(table, "%lld", (long long)w->pid);
    table_cell(table, queues, NULL);
    table_cell_format(table, "%lld", (long long)w->n_running);
    table_cell_format(table, "%d", w->credit);
    table_cell(table, units_relative(text, w->start_us, now_us), NULL);
    table_cell(table, units_relative(text, w->last_seen_us, now_us), NULL);
    add_jobs(table, w);
    if (w->drain_us)
        table_cell_format(table, "drains: %s %s", w->drain_actor, w->drain_reason);
    else if (w->pause_us)
        table_cell_format(table, "paused: %s %s", w->pause_actor, w->pause_reason);
    else
        table_cell(table, "", NULL);
    free(queues);
}

static json_t *json_of_texts(const char *const *texts, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(array, json_string(texts[i]));
    return array;
}

static void set_request(json_t *object, const char *key, int64_t us, const char *actor, const char *reason)
{
    char time[UNITS_TEXT];
    if (object && us)
        json_object_set_new(object, key,
                            json_pack("{ss ss ss}", "time", units_rfc3339(time, us), "actor", actor, "reason", reason));
}

static json_t *json_of_worker(const struct joblog_worker_info *w)
{
    char start[UNITS_TEXT], seen[UNITS_TEXT];
    json_t *ids = json_array();
    for (size_t i = 0; i < w->n_job_ids; i++)
        json_array_append_new(ids, json_integer(w->job_ids[i]));
    json_t *object = json_pack(
        "{sI ss ss ss sI so so si sI so ss ss si}", "session_id", (json_int_t)w->session_id, "name", w->name, "version",
        w->version, "host", w->host, "pid", (json_int_t)w->pid, "queues", json_of_texts(w->queues, w->n_queues),
        "job_names", json_of_texts(w->job_names, w->n_job_names), "credit", w->credit, "running_count",
        (json_int_t)w->n_running, "running_job_ids", ids, "start_time", units_rfc3339(start, w->start_us),
        "last_seen_time", units_rfc3339(seen, w->last_seen_us), "replica", w->replica);
    set_request(object, "drain_request", w->drain_us, w->drain_actor, w->drain_reason);
    set_request(object, "pause_request", w->pause_us, w->pause_actor, w->pause_reason);
    return object;
}

static int run_workers(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct workers_options *options = values;
    struct joblog_worker_filter filter = {
        .name = options->name, .host = options->host, .version = options->version, .queue = options->queue};
    struct table *table = cli->json ? NULL : table_new(columns, N_COLUMNS);
    struct joblog_error error = {0};
    char *token = heap_copy("");
    int code = EXIT_OK;
    size_t n = 0;
    (void)operands;
    do {
        struct joblog_worker_list *list;
        if (joblog_list_workers(cli->client, &filter, 0, token, &list, &error) < 0) {
            code = cli_error(&error);
            break;
        }
        for (size_t i = 0; i < list->n_workers; i++, n++) {
            if (table)
                add_row(table, &list->workers[i], units_now_us());
            else
                json_print_line(json_of_worker(&list->workers[i]));
        }
        free(token);
        token = heap_copy(list->next_page_token);
        joblog_worker_list_free(list);
    } while (*token);
    free(token);
    if (!code && table && n)
        table_print(table, &cli->term);
    else if (!code && table)
        fputs("no workers\n", stderr);
    table_free(table);
    return code;
}

enum steering { DRAIN, PAUSE, RESUME };

/* Asks, and prints who has been asked. *ret_n grows. */
static int steer(struct cli *cli, enum steering what, const struct joblog_worker_filter *filter, const char *reason,
                 int *ret_n)
{
    enum { SHOWN_MAX = 10000 };
    struct joblog_error error = {0};
    int64_t *sessions = heap_new(SHOWN_MAX, sizeof *sessions);
    int n = what == DRAIN   ? joblog_drain_workers(cli->client, filter, reason, sessions, SHOWN_MAX, &error)
            : what == PAUSE ? joblog_pause_workers(cli->client, filter, reason, sessions, SHOWN_MAX, &error)
                            : joblog_resume_workers(cli->client, filter, sessions, SHOWN_MAX, &error);
    for (int i = 0; i < n && i < SHOWN_MAX; i++) {
        if (cli->json)
            json_print_line(json_pack("{sI}", "session_id", (json_int_t)sessions[i]));
        else
            printf("%lld\n", (long long)sessions[i]);
    }
    free(sessions);
    if (n < 0)
        return cli_error(&error);
    *ret_n += n;
    return EXIT_OK;
}

static int run_steer(struct cli *cli, enum steering what, const void *values, const struct operands *operands)
{
    const struct workers_options *options = values;
    int code = EXIT_OK, n = 0;
    if (!operands->n && !options->host && !options->version)
        return cli_usage(cli, "it needs names or sessions of workers, --host or --version");
    for (size_t i = 0; i < operands->n; i++)
        if (!*operands->values[i])
            return cli_usage(cli, "the name of a worker must not be empty");
    for (size_t i = 0; !code && i < (operands->n ? operands->n : 1); i++) {
        struct joblog_worker_filter filter = {.host = options->host, .version = options->version};
        int64_t session = 0;
        if (operands->n && units_parse_int(operands->values[i], &session) == 0) {
            filter.session_ids = &session;
            filter.n_session_ids = 1;
        } else if (operands->n) {
            filter.name = operands->values[i];
        }
        code = steer(cli, what, &filter, options->reason, &n);
    }
    if (!code && n == 0) {
        fputs(what == RESUME ? "joblog: no such worker is paused\n" : "joblog: there is no such worker\n", stderr);
        return EXIT_NOT_FOUND;
    }
    return code;
}

static int run_drain(struct cli *cli, const void *values, const struct operands *operands)
{
    return run_steer(cli, DRAIN, values, operands);
}

static int run_pause(struct cli *cli, const void *values, const struct operands *operands)
{
    return run_steer(cli, PAUSE, values, operands);
}

static int run_resume(struct cli *cli, const void *values, const struct operands *operands)
{
    return run_steer(cli, RESUME, values, operands);
}

const struct command command_workers = {
    .name = "workers",
    .arguments = "",
    .summary = "list the workers that are connected",
    .examples = "joblog workers --queue mail\n"
                "joblog workers --json",
    .options = list_rows,
    .options_size = sizeof(struct workers_options),
    .run = run_workers,
};

const struct command command_workers_drain = {
    .name = "workers drain",
    .arguments = "[NAME|SESSION...]",
    .summary = "ask workers to finish what runs and leave",
    .text = "Prints the sessions that have been asked. Exit code 3 when there are none.",
    .examples = "joblog workers drain mailer-3 --reason 'new version'\n"
                "joblog workers drain --version 1.4.0",
    .options = drain_rows,
    .options_size = sizeof(struct workers_options),
    .operands_max = 100,
    .run = run_drain,
};

const struct command command_workers_pause = {
    .name = "workers pause",
    .arguments = "[NAME|SESSION...]",
    .summary = "give workers no more jobs until they are resumed",
    .text =
        "They finish what runs, stay connected, and stay paused when they connect again. Prints the sessions. Exit\n"
        "code 3 when there are none.",
    .examples = "joblog workers pause mailer-3 --reason 'looks ill'\n"
                "joblog workers pause --host web-7",
    .options = drain_rows,
    .options_size = sizeof(struct workers_options),
    .operands_max = 100,
    .run = run_pause,
};

const struct command command_workers_resume = {
    .name = "workers resume",
    .arguments = "[NAME|SESSION...]",
    .summary = "let paused workers go on",
    .text = "Prints the sessions that were paused. Exit code 3 when there are none.",
    .examples = "joblog workers resume mailer-3",
    .options = resume_rows,
    .options_size = sizeof(struct workers_options),
    .operands_max = 100,
    .run = run_resume,
};
