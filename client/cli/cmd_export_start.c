/* joblog export start and joblog export download. Main thread. */
#include "commands.h"
#include "download.h"
#include "export_filter.h"
#include "export_form.h"
#include "follow.h"
#include "heap.h"
#include "json.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct start_options {
    struct option_texts filters;
    struct option_texts columns, order;
    const char *json, *name, *output, *request_id, *format, *compression, *delimiter, *null_text;
    bool watch, follow, mark, no_header, keep_formulas, download;
};

static const struct option_row start_rows[] = {
    {"where", 'w', OPTION_TEXTS, "FIELD=VALUE", offsetof(struct start_options, filters),
     "only these rows; also >=, <=, >, <, ~ (contains), FIELD:OPERATOR=VALUE (again for more)", 0, 0},
    {"filter", 'f', OPTION_TEXTS, "FIELD=VALUE", offsetof(struct start_options, filters), "the same as --where", 0, 0},
    {"filters", 0, OPTION_TEXT, "JSON", offsetof(struct start_options, json), "the same as one JSON object", 0, 0},
    {"format", 'F', OPTION_TEXT, "NAME", offsetof(struct start_options, format),
     "csv, jsonl or xlsx (as the name of the file says, or csv)", 0, 0},
    {"compression", 'z', OPTION_TEXT, "NAME", offsetof(struct start_options, compression),
     "none, gzip or zstd (as the name of the file says, or none)", 0, 0},
    {"columns", 'c', OPTION_LIST, "NAME,...", offsetof(struct start_options, columns),
     "only these columns, in this order", 0, 0},
    {"order", 0, OPTION_LIST, "NAME,...", offsetof(struct start_options, order),
     "order of the rows; a - before a name: largest first", 0, 0},
    {"delimiter", 0, OPTION_TEXT, "CHAR", offsetof(struct start_options, delimiter), "of csv: , ; | or tab", 0, 0},
    {"bom", 0, OPTION_FLAG, NULL, offsetof(struct start_options, mark), "csv with a byte order mark, for Excel", 0, 0},
    {"no-header", 0, OPTION_FLAG, NULL, offsetof(struct start_options, no_header), "csv without the titles", 0, 0},
    {"null", 0, OPTION_TEXT, "TEXT", offsetof(struct start_options, null_text), "what stands for NULL in csv", 0, 0},
    {"keep-formulas", 0, OPTION_FLAG, NULL, offsetof(struct start_options, keep_formulas),
     "csv with texts that begin like formulas as they are", 0, 0},
    {"name", 'n', OPTION_TEXT, "FILE", offsetof(struct start_options, name), "name of the file on the server", 0, 0},
    {"watch", 'W', OPTION_FLAG, NULL, offsetof(struct start_options, watch), "watch it to its end", 0, 0},
    {"output", 'o', OPTION_TEXT, "FILE", offsetof(struct start_options, output),
     "download it to FILE while it is written; - for standard output, after its end", 0, 0},
    {"download", 'd', OPTION_FLAG, NULL, offsetof(struct start_options, download),
     "download it while it is written, under the name that the export has", 0, 0},
    {"follow", 0, OPTION_FLAG, NULL, offsetof(struct start_options, follow), "with --output -: do not wait for the end",
     0, 0},
    {"request-id", 0, OPTION_TEXT, "TEXT", offsetof(struct start_options, request_id),
     "the same text gets the same export, however often it is sent", 0, 0},
    OPTION_END,
};

/* Downloads to output ("-": standard output). */
static int download(struct cli *cli, int64_t id, const char *output, bool follow)
{
    struct joblog_error error = {0};
    struct joblog_export *export_;
    bool to_stdout = !strcmp(output, "-");
    int rc = to_stdout ? download_to_stream(cli->client, id, stdout, follow, &cli->error_term, &export_, &error)
                       : download_to_file(cli->client, id, output, follow, &cli->error_term, &export_, &error);
    /* Nothing to follow any more: the export failed or was cancelled. Its record says why. */
    if (follow && rc == -JOBLOG_FAILED_PRECONDITION && !strcmp(error.reason, "EXPORT_NOT_READY"))
        return follow_export_report(cli, id);
    if (rc < 0)
        return cli_error(&error);
    if (cli->json && !to_stdout)
        json_print_line(json_of_export(export_));
    joblog_export_free(export_);
    return EXIT_OK;
}

static void print_started(const struct cli *cli, const struct joblog_export *export_, const char *message, FILE *out)
{
    if (cli->json)
        return;
    fprintf(out, "%lld\n", (long long)export_->job.id);
    if (message && *message) {
        text_print(stderr, message, 0);
        fputc('\n', stderr);
    }
    fflush(out);
}

static bool is_plain(const char *name)
{
    return *name && *name != '.' && strcmp(name, "-") != 0 && !strchr(name, '/');
}

/* A name that somebody else may have chosen: it goes into the present directory, and over nothing that is there. */
static int check_name(const struct cli *cli, const char *name)
{
    if (!is_plain(name))
        return cli_usage(cli, "the export's own name is no plain file name: say --output FILE");
    if (access(name, F_OK) == 0)
        return cli_usage(cli, "%s is there: --output FILE writes over it", name);
    return EXIT_OK;
}

/* The same once the export is started, which is no usage any more, and does not end it. */
static int check_name_of(const struct joblog_export *export_)
{
    const char *name = export_->file_name;
    bool plain = is_plain(name);
    if (plain && access(name, F_OK) != 0)
        return EXIT_OK;
    char *text = heap_format("%s %s; export %lld goes on: joblog export download %lld --follow --output FILE", name,
                             plain ? "is there" : "is no plain file name", (long long)export_->job.id,
                             (long long)export_->job.id);
    fputs("joblog: ", stderr);
    text_print(stderr, text, 0);
    fputc('\n', stderr);
    free(text);
    return EXIT_REFUSED;
}

/* The export has been made: shows it, follows it, fetches its file, as asked. */
static int go_on(struct cli *cli, const struct start_options *options, const struct joblog_export *export_,
                 const char *message)
{
    bool to_stdout = options->output && !strcmp(options->output, "-");
    int64_t id = export_->job.id;
    int code = EXIT_OK;
    /* Standard output belongs to the file then; and JSON is one object, the last. */
    print_started(cli, export_, message, to_stdout ? stderr : stdout);
    if (options->download && (code = check_name_of(export_)) != EXIT_OK) {
        if (cli->json)
            json_print_line(json_of_export(export_));
        return code;
    }
    const char *output = options->download ? export_->file_name : options->output;
    const struct term *term = to_stdout ? &cli->error_term : &cli->term;
    bool follow = output && !options->watch && (options->follow || !to_stdout);
    if (follow) /* a pipe cannot take back what a failed attempt wrote, a file can */
        return download(cli, id, output, true);
    if (options->watch || (to_stdout && term->terminal)) /* who looks at a terminal is told what is waited for */
        code = follow_export(cli, id, cli->json && !to_stdout ? FOLLOW_JSON : FOLLOW_BARS, term);
    else if (output)
        code = follow_export(cli, id, FOLLOW_SILENT, term);
    else if (cli->json)
        json_print_line(json_of_export(export_));
    return !code && output ? download(cli, id, output, false) : code;
}

/* "name" and "-name". */
static struct joblog_export_order *order_make(const struct option_texts *texts)
{
    struct joblog_export_order *order = heap_new(texts->n + 1, sizeof(*order));
    for (size_t i = 0; i < texts->n; i++) {
        order[i].descending = *texts->values[i] == '-';
        order[i].column = texts->values[i] + order[i].descending;
    }
    return order;
}

/* Options that say two things. */
static int check_options(const struct cli *cli, const struct start_options *options)
{
    bool to_stdout = options->output && !strcmp(options->output, "-");
    if (options->download && options->output)
        return cli_usage(cli, "--download and --output are one or the other");
    if (options->follow && !to_stdout)
        return cli_usage(cli, "--follow goes with --output - only");
    if (options->follow && options->watch)
        return cli_usage(cli, "--follow and --watch are one or the other");
    return EXIT_OK;
}

/* Before anything is started: whether the file has a place. A name that is the server's to make is reckoned: where that
 * fails, as about midnight or with a request id of yesterday's, go_on finds out. */
static int check_output(struct cli *cli, const struct start_options *options, const struct joblog_export_spec *spec)
{
    struct joblog_error error = {0};
    char *made = options->download && !options->name ? export_form_name(spec) : NULL;
    const char *output = made ? made : options->download ? options->name : options->output;
    /* No type has a slash: the server says so. */
    bool is_file = output && (options->download || strcmp(output, "-") != 0) && !(made && strchr(made, '/'));
    int code = options->download && is_file ? check_name(cli, output) : EXIT_OK;
    if (code == EXIT_OK && is_file && joblog_export_check_place(output, &error) < 0)
        code = cli_error(&error);
    free(made);
    return code;
}

/* Borrows all. */
static struct joblog_export_spec spec_make(const struct cli *cli, const char *type, const struct start_options *options,
                                           const struct export_filters *filters,
                                           const struct joblog_export_order *order)
{
    struct joblog_export_spec spec = {
        .export_type = type,
        .filters = filters->rows,
        .n_filters = filters->n,
        .file_name = options->name,
        .request_id = options->request_id,
        .columns = options->columns.values,
        .n_columns = options->columns.n,
        .order = order,
        .n_order = options->order.n,
        .format = options->format,
        .compression = options->compression,
        .csv = {.delimiter = options->delimiter && !strcmp(options->delimiter, "tab") ? "\t" : options->delimiter,
                .null_text = options->null_text,
                .byte_order_mark = options->mark,
                .no_header = options->no_header,
                .keep_formulas = options->keep_formulas},
        .language = cli->language,
    };
    return spec;
}

static int run_start(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct start_options *options = values;
    struct joblog_error error = {0};
    struct export_filters filters;
    struct joblog_export *export_;
    char *message = NULL;
    int code = check_options(cli, options);
    if (code != EXIT_OK || (code = export_filters_make(cli, &options->filters, options->json, &filters)) != EXIT_OK)
        return code;
    struct joblog_export_order *order = order_make(&options->order);
    struct joblog_export_spec spec = spec_make(cli, operands->values[0], options, &filters, order);
    code = export_form_by_names(cli, options->output, options->name, &spec);
    if (code == EXIT_OK)
        code = check_output(cli, options, &spec);
    if (code != EXIT_OK) {
        /* what is wrong has been said */
    } else if (joblog_export_start(cli->client, &spec, &export_, &message, &error) < 0) {
        code = cli_error(&error);
    } else {
        code = go_on(cli, options, export_, message);
        joblog_export_free(export_);
        free(message);
    }
    export_filters_done(&filters);
    free(order);
    return code;
}

const struct command command_export_start = {
    .name = "export start",
    .arguments = "TYPE",
    .summary = "export a table to a file; prints the id",
    .text = "Operators: equals, in and between (values with commas between; one that has commas itself in double\n"
            "quotes), contains, prefix, search, at_least, at_most, greater, less. = alone is the first that the type\n"
            "grants for the field; joblog export types lists them. In --filters an array means in. With --output FILE\n"
            "the file is downloaded while it is written; with --watch it is shown how far the export is, and the file\n"
            "is downloaded after its end. A name such as users.xlsx, users.tsv or users.csv.gz says what the file is "
            "to be;\n"
            "where --output, --name and options do not agree nothing is started, and where --download finds its file "
            "there.",
    .examples = "joblog export start users --where department=Sales --where 'created>=2026-01-01' --output sales.xlsx\n"
                "joblog export start users -w search=john --columns id,email --order -created_at --watch --download\n"
                "joblog export start users -w 'company:in=\"Miller, Sons\",Smith'\n"
                "joblog export start users --filters '{\"search\": \"john\", \"department\": [\"Sales\", \"Legal\"]}'\n"
                "joblog export start users --output - | wc -l",
    .options = start_rows,
    .options_size = sizeof(struct start_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_start,
};

struct download_options {
    const char *output;
    bool follow;
};

static const struct option_row download_rows[] = {
    {"output", 'o', OPTION_TEXT, "FILE", offsetof(struct download_options, output),
     "where to; - for standard output (the name that the export has)", 0, 0},
    {"follow", 'f', OPTION_FLAG, NULL, offsetof(struct download_options, follow),
     "the export may still run: download what there is, then the rest as it is written", 0, 0},
    OPTION_END,
};

static int run_download(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct download_options *options = values;
    struct joblog_error error = {0};
    struct joblog_export *export_;
    int64_t id;
    int code = cli_parse_id(cli, operands->values[0], &id);
    if (code)
        return code;
    if (options->output)
        return download(cli, id, options->output, options->follow);
    if (joblog_export_get(cli->client, id, &export_, &error) < 0)
        return cli_error(&error);
    code = check_name(cli, export_->file_name);
    if (code == EXIT_OK)
        code = download(cli, id, export_->file_name, options->follow);
    joblog_export_free(export_);
    return code;
}

const struct command command_export_download = {
    .name = "export download",
    .arguments = "ID",
    .summary = "download the file of a finished export",
    .text = "Every piece and the whole are checked against the server's sums. What is there of a download that was cut "
            "off\n"
            "(FILE.part) is kept, and the next one goes on from it.",
    .examples = "joblog export download 7402893457234\n"
                "joblog export download 7402893457234 --output - | head",
    .options = download_rows,
    .options_size = sizeof(struct download_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_download,
};
