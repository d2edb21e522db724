/* joblog list: jobs, newest first, page by page. Main thread. */
#include "commands.h"
#include "filter.h"
#include "heap.h"
#include "json.h"
#include "table.h"
#include "units.h"

#include <stdlib.h>

struct list_options {
    struct filter_options filter;
    int64_t limit;
    bool all, oldest_first;
};

enum { LIST_DEFAULT = 50, LIST_PAGE = 500 };

static const struct option_row rows[] = {
    FILTER_ROWS(struct list_options, filter),
    {"oldest-first", 0, OPTION_FLAG, NULL, offsetof(struct list_options, oldest_first), "the oldest first", 0, 0},
    {"limit", 0, OPTION_NUMBER, "N", offsetof(struct list_options, limit), "at most this many (50)", 1, 1000000000},
    {"all", 'a', OPTION_FLAG, NULL, offsetof(struct list_options, all), "all that there are", 0, 0},
    OPTION_END,
};

static const struct table_column columns[] = {
    {"ID", true, false},     {"STATUS", false, false}, {"NAME", false, true}, {"QUEUE", false, true},
    {"SOURCE", false, true}, {"DONE", true, false},    {"ATT", true, false},  {"DISPATCHED", false, false},
    {"TOOK", true, false},   {"NOTE", false, true},
};
enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static void add_row(struct cli *cli, struct table *table, const struct joblog_job *job, int64_t now_us)
{
    char text[UNITS_TEXT];
    table_cell_format(table, "%lld", (long long)job->id);
    table_cell(table, statuses_label(&cli->statuses, job->status), statuses_color(&cli->statuses, job->status));
    table_cell(table, job->job_name, NULL);
    table_cell(table, job->queue, NULL);
    table_cell_format(table, "%s%s%s", job->source_type, *job->source_id ? ":" : "", job->source_id);
    table_cell_format(table, "%.0f %%", job->status == JOBLOG_COMPLETED ? 100 : job->percent);
    table_cell_format(table, "%d/%d", job->attempt - job->uncounted_attempts, job->max_attempts);
    table_cell(table, units_relative(text, job->create_us, now_us), NULL);
    table_cell(table, job->has_execution ? units_duration(text, job->execution_us) : "", NULL);
    const char *note = joblog_status_is_final(job->status) ? job->error_message : job->step;
    if (job->status == JOBLOG_COMPLETED)
        note = job->step;
    if (job->status == JOBLOG_STATUS_CANCELLED && *job->cancel_reason)
        note = job->cancel_reason;
    table_cell(table, note, NULL);
}

/* Reads pages until the limit or the end; each page is printed at once as JSON, or gathered in table. */
static int read_pages(struct cli *cli, const struct joblog_filter *filter, enum joblog_order order, int64_t limit,
                      struct table *table, int64_t *ret_n)
{
    struct joblog_error error = {0};
    char *token = NULL;
    int64_t n = 0, now = units_now_us();
    int code = EXIT_OK;
    do {
        struct joblog_list *list;
        int64_t page = limit - n < LIST_PAGE ? limit - n : LIST_PAGE;
        if (joblog_list_jobs_in_order(cli->client, filter, order, (int)page, token, &list, &error) < 0) {
            code = cli_error(&error);
            break;
        }
        for (size_t i = 0; i < list->n_jobs; i++, n++) {
            if (table)
                add_row(cli, table, &list->jobs[i], now);
            else
                json_print_line(json_of_job(&list->jobs[i]));
        }
        free(token);
        token = heap_copy(list->next_page_token);
        joblog_list_free(list);
    } while (n < limit && *token);
    free(token);
    *ret_n = n;
    return code;
}

static int run_list(struct cli *cli, const void *values, const struct operands *operands)
{
    (void)operands;
    const struct list_options *options = values;
    struct filter filter;
    int64_t n, limit = options->all ? INT64_MAX : options->limit ? options->limit : LIST_DEFAULT;
    int code = filter_make(cli, &options->filter, &filter);
    if (code)
        return code;
    struct table *table = NULL;
    if (!cli->json) {
        cli_load_statuses(cli);
        table = table_new(columns, N_COLUMNS);
    }
    code = read_pages(cli, &filter.filter, options->oldest_first ? JOBLOG_OLDEST_FIRST : JOBLOG_NEWEST_FIRST, limit,
                      table, &n);
    if (!code && table && n)
        table_print(table, &cli->term);
    else if (!code && table)
        fputs("no jobs\n", stderr);
    table_free(table);
    filter_done(&filter);
    return code;
}

const struct command command_list = {
    .name = "list",
    .arguments = "",
    .summary = "list jobs, newest first",
    .examples = "joblog list --failed --since 24h\n"
                "joblog list --status pending,running --queue mail\n"
                "joblog list --error SmtpTimeout --error-text mx1 --ended-since 1h\n"
                "joblog list --queue mail --payload user.id=42 --oldest-first\n"
                "joblog list --source User:42 --all --json",
    .options = rows,
    .options_size = sizeof(struct list_options),
    .run = run_list,
};
