/* joblog export list, show, watch, cancel, delete. Main thread. */
#include "bars_line.h"
#include "commands.h"
#include "follow.h"
#include "heap.h"
#include "json.h"
#include "table.h"
#include "text.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

struct list_options {
    int64_t limit;
    bool all;
};

enum { LIST_DEFAULT = 50, LIST_PAGE = 500 };

static const struct option_row list_rows[] = {
    {"limit", 0, OPTION_NUMBER, "N", offsetof(struct list_options, limit), "at most this many (50)", 1, 1000000000},
    {"all", 'a', OPTION_FLAG, NULL, offsetof(struct list_options, all), "all that there are", 0, 0},
    OPTION_END,
};

static const struct table_column list_columns[] = {
    {"ID", true, false},    {"STATUS", false, false}, {"TYPE", false, true},        {"DONE", true, false},
    {"ROWS", true, false},  {"SIZE", true, false},    {"DISPATCHED", false, false}, {"FILE", false, true},
    {"OWNER", false, true}, /* the last: shown to who sees those of others */
};
enum { LIST_COLUMNS = sizeof(list_columns) / sizeof(list_columns[0]) };

/* An administrator's list has the exports of everybody, unless it acts for somebody. */
static bool sees_others(struct cli *cli)
{
    struct joblog_caller *caller = NULL;
    bool sees = !cli->actor && joblog_who_am_i(cli->client, &caller, NULL) >= 0 &&
                (caller->grant.roles & JOBLOG_ROLE_ADMIN) != 0;
    joblog_caller_free(caller);
    return sees;
}

/* The file, or why there is none. */
static void add_file(struct table *table, const struct joblog_export *export_)
{
    bool gone = !strcmp(export_->file_state, "expired") || !strcmp(export_->file_state, "deleted");
    if (gone)
        table_cell(table, export_->file_state, "dim");
    else
        table_cell(table, export_->has_file ? export_->file_name : export_->job.error_message, NULL);
}

static void add_row(struct cli *cli, struct table *table, const struct joblog_export *export_, bool owner,
                    int64_t now_us)
{
    char text[UNITS_TEXT];
    const struct joblog_job *job = &export_->job;
    table_cell_format(table, "%lld", (long long)job->id);
    table_cell(table, statuses_label(&cli->statuses, job->status), statuses_color(&cli->statuses, job->status));
    table_cell(table, export_->export_type, NULL);
    table_cell_format(table, "%.0f %%", job->percent);
    table_cell(table, export_->has_file ? units_count(text, export_->rows) : "", NULL);
    table_cell(table, export_->has_file ? units_size(text, (double)export_->size) : "", NULL);
    table_cell(table, units_relative(text, job->create_us, now_us), NULL);
    add_file(table, export_);
    if (owner)
        table_cell(table, job->owner, NULL);
}

static int read_pages(struct cli *cli, int64_t limit, struct table *table, bool owner, int64_t *ret_n)
{
    struct joblog_error error = {0};
    char *token = NULL;
    int64_t n = 0, now = units_now_us();
    int code = EXIT_OK;
    do {
        struct joblog_export_list *list;
        int64_t page = limit - n < LIST_PAGE ? limit - n : LIST_PAGE;
        if (joblog_export_list_own(cli->client, (int)page, token, &list, &error) < 0) {
            code = cli_error(&error);
            break;
        }
        for (size_t i = 0; i < list->n_exports; i++, n++) {
            if (table)
                add_row(cli, table, &list->exports[i], owner, now);
            else
                json_print_line(json_of_export(&list->exports[i]));
        }
        free(token);
        token = heap_copy(list->next_page_token);
        joblog_export_list_free(list);
    } while (n < limit && *token);
    free(token);
    *ret_n = n;
    return code;
}

static int run_list(struct cli *cli, const void *values, const struct operands *operands)
{
    (void)operands;
    const struct list_options *options = values;
    int64_t n, limit = options->all ? INT64_MAX : options->limit ? options->limit : LIST_DEFAULT;
    struct table *table = NULL;
    bool owner = !cli->json && sees_others(cli);
    if (!cli->json) {
        cli_load_statuses(cli);
        table = table_new(list_columns, owner ? LIST_COLUMNS : LIST_COLUMNS - 1);
    }
    int code = read_pages(cli, limit, table, owner, &n);
    if (!code && table && n)
        table_print(table, &cli->term);
    else if (!code && table)
        fputs("no exports\n", stderr);
    table_free(table);
    return code;
}

const struct command command_export_list = {
    .name = "export list",
    .arguments = "",
    .summary = "list your exports, newest first",
    .text = "An export belongs to who started it: see --actor. An administrator's list has those of everybody, with "
            "their\n"
            "owners. Where a file has expired or was deleted, that stands in its place.",
    .examples = "joblog export list\njoblog export list --all --json",
    .options = list_rows,
    .options_size = sizeof(struct list_options),
    .run = run_list,
};

/* A line of show. */
static void print_text(const char *title, const char *text)
{
    printf("%-14s ", title);
    text_print(stdout, text, 0);
    putchar('\n');
}

/* One of several, as --where takes it. */
static void print_value(const char *value)
{
    size_t len = strlen(value);
    if (len && !strchr(value, ',') && !strchr("\" \t", *value) && !strchr(" \t", value[len - 1])) {
        text_print(stdout, value, 0);
        return;
    }
    putchar('"');
    for (size_t n; *value; value += n) {
        n = *value == '"' ? 1 : strcspn(value, "\"");
        text_printf(stdout, "%.*s%s", (int)n, value, *value == '"' ? "\"" : "");
    }
    putchar('"');
}

/* "name:in=\"Miller, Sons\",Smith": as --where takes it. */
static void print_filter(const struct joblog_export_filter *filter)
{
    bool several = !strcmp(filter->op, "in") || !strcmp(filter->op, "between");
    printf("%-14s ", "where");
    text_print(stdout, filter->field, 0);
    printf("%s%s=", *filter->op ? ":" : "", filter->op);
    for (size_t i = 0; i < filter->n_values; i++) {
        fputs(i ? "," : "", stdout);
        if (several)
            print_value(filter->values[i]);
        else
            text_print(stdout, filter->values[i], 0);
    }
    putchar('\n');
}

/* How the CSV is written, also where that is as always. */
static void print_csv(const struct joblog_csv_options *csv)
{
    const char *delimiter = csv->delimiter ? csv->delimiter : ",";
    printf("%-14s delimiter %s%s%s, %s, UTF-8 %s a byte order mark, ", "csv", *delimiter == '\t' ? "" : "\"",
           *delimiter == '\t' ? "tab" : delimiter, *delimiter == '\t' ? "" : "\"",
           csv->no_header ? "no titles" : "titles", csv->byte_order_mark ? "with" : "without");
    text_printf(stdout, "NULL as \"%s\"", csv->null_text ? csv->null_text : "");
    printf(", %s\n", csv->keep_formulas ? "formulas kept" : "formulas made harmless");
}

static void print_asked(const struct joblog_export *export_)
{
    for (size_t i = 0; i < export_->n_filters; i++)
        print_filter(&export_->filters[i]);
    for (size_t i = 0; i < export_->n_columns; i++) { /* none: the type is gone before there was a file */
        if (i)
            fputs(", ", stdout);
        else
            printf("%-14s ", "columns");
        text_print(stdout, export_->columns[i], 0);
    }
    if (export_->n_columns > 0)
        putchar('\n');
    if (export_->n_order > 0)
        printf("%-14s ", "order");
    for (size_t i = 0; i < export_->n_order; i++) {
        fputs(i ? "," : "", stdout);
        fputs(export_->order[i].descending ? "-" : "", stdout);
        text_print(stdout, export_->order[i].column, 0);
    }
    if (export_->n_order > 0)
        putchar('\n');
    bool packed = strcmp(export_->compression, "none") != 0;
    printf("%-14s %s%s%s\n", "format", export_->format, packed ? ", " : "", packed ? export_->compression : "");
    if (!strcmp(export_->format, "csv"))
        print_csv(&export_->csv);
}

static void print_time(const char *title, int64_t time_us)
{
    char text[UNITS_TEXT];
    if (time_us)
        printf("%-14s %s\n", title, units_local(text, time_us));
}

/* "40 %, 1 234 of 3 000 rows, writing file, 5s left", or what it waits for. */
static void print_progress(const struct joblog_job *job)
{
    char detail[1024] = "";
    struct bar bar = {0};
    bar_set(&bar, job);
    bar.cancel_requested = false; /* a cancel and an error have lines of their own */
    if (job->status == JOBLOG_STATUS_CANCELLED)
        *bar.error = '\0';
    if (job->status != JOBLOG_FAILED)
        bar_describe(detail, sizeof(detail), &bar, units_now_us());
    printf("%-14s %.0f %%%s", "progress", bar.percent, *detail ? ", " : "");
    text_print(stdout, detail, 0);
    putchar('\n');
    bar_done(&bar);
}

static void print_by(const char *title, const char *actor, const char *reason)
{
    char *text = heap_format("by %s%s%s", actor, *reason ? ": " : "", reason);
    print_text(title, text);
    free(text);
}

/* Who asked for its cancel, and why. Who it was stands in the history once it is cancelled, which not everybody may
 * see.
 */
static void print_cancel(const struct cli *cli, const struct joblog_job *job)
{
    struct joblog_job *full = NULL;
    if (job->cancel_requested)
        print_by("cancel asked", job->cancel_actor, job->cancel_reason);
    else if (job->status != JOBLOG_STATUS_CANCELLED)
        return;
    else if (joblog_get(cli->client, job->id, &full, NULL) == 0 && full->n_transitions > 0)
        print_by("cancelled", full->transitions[full->n_transitions - 1].actor, job->cancel_reason);
    else if (*job->cancel_reason)
        print_text("cancelled", job->cancel_reason);
    joblog_job_free(full);
}

static void print_job(const struct cli *cli, const struct joblog_job *job)
{
    printf("%-14s %s", "status", term_color(&cli->term, statuses_color(&cli->statuses, job->status)));
    text_print(stdout, statuses_label(&cli->statuses, job->status), 0);
    printf("%s\n", term_reset(&cli->term));
    print_text("owner", job->owner);
    print_time("dispatched", job->create_us);
    print_time("started", job->start_us);
    print_time("ended", job->end_us);
    print_progress(job);
    print_cancel(cli, job);
    if (*job->error_message) /* of an attempt before the one that completed it */
        print_text(job->status == JOBLOG_COMPLETED ? "last error" : "error", job->error_message);
}

static void print_export(const struct cli *cli, const struct joblog_export *export_)
{
    char text[UNITS_TEXT];
    const struct joblog_job *job = &export_->job;
    printf("%-14s %lld\n", "id", (long long)job->id);
    print_text("type", export_->export_type);
    print_job(cli, job);
    print_asked(export_);
    print_text("file", export_->has_file ? export_->file_name : export_->file_state);
    if (!export_->has_file)
        return;
    printf("%-14s %s\n", "size", units_size(text, (double)export_->size));
    printf("%-14s %s\n", "rows", units_count(text, export_->rows));
    if (export_->cut_cells > 0)
        printf("%-14s %s texts were too long for a cell and are cut\n", "cut", units_count(text, export_->cut_cells));
    printf("%-14s %s\n", "sha256", export_->sha256);
    printf("%-14s %s\n", "expires", units_local(text, export_->expire_us));
}

static int run_show(struct cli *cli, const void *options, const struct operands *operands)
{
    (void)options;
    struct joblog_error error = {0};
    struct joblog_export *export_;
    int64_t id;
    int code = cli_parse_id(cli, operands->values[0], &id);
    if (code)
        return code;
    if (joblog_export_get(cli->client, id, &export_, &error) < 0)
        return cli_error(&error);
    if (cli->json) {
        json_print_line(json_of_export(export_));
    } else {
        cli_load_statuses(cli);
        print_export(cli, export_);
    }
    joblog_export_free(export_);
    return EXIT_OK;
}

const struct command command_export_show = {
    .name = "export show",
    .arguments = "ID",
    .summary = "show an export, how far it is, and its file",
    .examples = "joblog export show 7402893457234",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_show,
};

static int run_watch(struct cli *cli, const void *options, const struct operands *operands)
{
    (void)options;
    int64_t id;
    int code = cli_parse_id(cli, operands->values[0], &id);
    if (code)
        return code;
    return follow_export(cli, id, cli->json ? FOLLOW_JSON : FOLLOW_BARS, &cli->term);
}

const struct command command_export_watch = {
    .name = "export watch",
    .arguments = "ID",
    .summary = "watch an export live to its end",
    .examples = "joblog export watch 7402893457234",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_watch,
};

struct cancel_options {
    const char *reason;
};

static const struct option_row cancel_rows[] = {
    {"reason", 'r', OPTION_TEXT, "TEXT", offsetof(struct cancel_options, reason), "why, for the record", 0, 0},
    OPTION_END,
};

static int run_cancel(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct cancel_options *options = values;
    struct joblog_error error = {0};
    int64_t id;
    int code = cli_parse_id(cli, operands->values[0], &id);
    if (code)
        return code;
    if (joblog_export_cancel(cli->client, id, options->reason, &error) < 0)
        return cli_error(&error);
    struct joblog_export *export_;
    if (cli->json && joblog_export_get(cli->client, id, &export_, NULL) >= 0) {
        json_print_line(json_of_export(export_));
        joblog_export_free(export_);
    }
    return EXIT_OK;
}

const struct command command_export_cancel = {
    .name = "export cancel",
    .arguments = "ID",
    .summary = "cancel an export",
    .examples = "joblog export cancel 7402893457234 --reason 'wrong filter'",
    .options = cancel_rows,
    .options_size = sizeof(struct cancel_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_cancel,
};

static int run_delete(struct cli *cli, const void *options, const struct operands *operands)
{
    (void)options;
    struct joblog_error error = {0};
    int64_t id;
    int code = cli_parse_id(cli, operands->values[0], &id);
    if (code)
        return code;
    return joblog_export_delete(cli->client, id, &error) < 0 ? cli_error(&error) : EXIT_OK;
}

const struct command command_export_delete = {
    .name = "export delete",
    .arguments = "ID",
    .summary = "delete the file of an export that has ended",
    .text = "The record of the export stays.",
    .examples = "joblog export delete 7402893457234",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_delete,
};
