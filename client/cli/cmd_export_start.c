/* joblog export start and joblog export download. Main thread. */
#include "commands.h"
#include "download.h"
#include "export_filter.h"
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

/* The export has been made: shows it, follows it, fetches its file, as asked. */
static int go_on(struct cli *cli, const struct start_options *options, const struct joblog_export *export_,
                 const char *message)
{
    const char *output = options->download ? export_->file_name : options->output;
    bool to_stdout = output && !strcmp(output, "-");
    int64_t id = export_->job.id;
    int code = EXIT_OK;
    /* Standard output belongs to the file then; and JSON is one object, the last. */
    print_started(cli, export_, message, to_stdout ? stderr : stdout);
    if (options->download && output && (code = check_name(cli, output)) != EXIT_OK)
        return code;
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

static bool ends_with(const char *text, size_t len, const char *end)
{
    return len > strlen(end) && !strncmp(text + len - strlen(end), end, strlen(end));
}

/* What the name of the file says of its form: "users.xlsx", "users.csv.gz". NULL: nothing. */
static void form_of_name(const char *name, const char **ret_format, const char **ret_compression)
{
    static const char *const packed[][2] = {{".gz", "gzip"}, {".zst", "zstd"}};
    static const char *const forms[][2] = {
        {".csv", "csv"}, {".jsonl", "jsonl"}, {".ndjson", "jsonl"}, {".xlsx", "xlsx"}};
    size_t len = name ? strlen(name) : 0;
    for (size_t i = 0; i < sizeof packed / sizeof packed[0]; i++)
        if (ends_with(name, len, packed[i][0])) {
            *ret_compression = packed[i][1];
            len -= strlen(packed[i][0]);
            break;
        }
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (ends_with(name, len, forms[i][0]))
            *ret_format = forms[i][1];
}

static bool contradicts(const char *of_name, const char *of_option)
{
    return of_name && of_option && strcmp(of_name, of_option) != 0;
}

/* Takes from the name what no option says. Where an option says something else nothing is started: nobody wants
 * users.xlsx to be no workbook. */
static int form_by_name(const struct cli *cli, const char *name, struct joblog_export_spec *spec)
{
    const char *format = NULL, *compression = NULL;
    form_of_name(name, &format, &compression);
    if (contradicts(format, spec->format))
        return cli_usage(cli, "%s is the name of a file of %s, and --format says %s", name, format, spec->format);
    if (contradicts(compression, spec->compression))
        return cli_usage(cli, "%s is the name of a file of %s, and --compression says %s", name, compression,
                         spec->compression);
    if (format && !strcmp(format, "xlsx") && contradicts("none", spec->compression))
        return cli_usage(cli, "%s is the name of a workbook, which is compressed by itself, and --compression says %s",
                         name, spec->compression);
    if (!spec->format)
        spec->format = format;
    if (!spec->compression)
        spec->compression = compression;
    return EXIT_OK;
}

/* Before anything is started: whether the file has a place. */
static int check_output(struct cli *cli, const struct start_options *options)
{
    struct joblog_error error = {0};
    const char *output = options->download ? options->name : options->output;
    if (options->download && options->output)
        return cli_usage(cli, "--download and --output are one or the other");
    if (!output || !strcmp(output, "-"))
        return EXIT_OK;
    int code = options->download ? check_name(cli, output) : EXIT_OK;
    return code != EXIT_OK || joblog_export_check_place(output, &error) == 0 ? code : cli_error(&error);
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
    int code = check_output(cli, options);
    if (code != EXIT_OK || (code = export_filters_make(cli, &options->filters, options->json, &filters)) != EXIT_OK)
        return code;
    struct joblog_export_order *order = order_make(&options->order);
    struct joblog_export_spec spec = spec_make(cli, operands->values[0], options, &filters, order);
    code = form_by_name(cli, options->output ? options->output : options->name, &spec);
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
            "is downloaded after its end. A name such as users.xlsx or users.csv.gz says what the file is to be.",
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
