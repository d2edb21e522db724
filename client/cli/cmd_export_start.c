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

struct start_options {
    struct option_texts filters;
    const char *json, *name, *output, *request_id;
    bool watch;
};

static const struct option_row start_rows[] = {
    {"filter", 'f', OPTION_TEXTS, "FIELD=VALUE", offsetof(struct start_options, filters),
     "only these rows; FIELD:OPERATOR=VALUE names an operator (again for more)", 0, 0},
    {"filters", 0, OPTION_TEXT, "JSON", offsetof(struct start_options, json), "the same as one JSON object", 0, 0},
    {"name", 'n', OPTION_TEXT, "FILE", offsetof(struct start_options, name), "name of the file on the server", 0, 0},
    {"watch", 'W', OPTION_FLAG, NULL, offsetof(struct start_options, watch), "watch it to its end", 0, 0},
    {"output", 'o', OPTION_TEXT, "FILE", offsetof(struct start_options, output),
     "wait for its end and download it; - for standard output", 0, 0},
    {"request-id", 0, OPTION_TEXT, "TEXT", offsetof(struct start_options, request_id),
     "the same text gets the same export, however often it is sent", 0, 0},
    OPTION_END,
};

/* Downloads to output ("-": standard output). */
static int download(struct cli *cli, int64_t id, const char *output)
{
    struct joblog_error error = {0};
    struct joblog_export *export_;
    bool to_stdout = !strcmp(output, "-");
    int rc = to_stdout ? download_to_stream(cli->client, id, stdout, &cli->error_term, &export_, &error)
                       : download_to_file(cli->client, id, output, &cli->error_term, &export_, &error);
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

/* The export has been made: shows it, follows it, fetches its file, as asked. */
static int go_on(struct cli *cli, const struct start_options *options, const struct joblog_export *export_,
                 const char *message)
{
    bool to_stdout = options->output && !strcmp(options->output, "-");
    int64_t id = export_->job.id;
    int code = EXIT_OK;
    /* Standard output belongs to the file then; and JSON is one object, the last. */
    print_started(cli, export_, message, to_stdout ? stderr : stdout);
    const struct term *term = to_stdout ? &cli->error_term : &cli->term;
    if (options->watch)
        code = follow_job(cli, id, cli->json && !to_stdout ? FOLLOW_JSON : FOLLOW_BARS, term);
    else if (options->output)
        code = follow_job(cli, id, FOLLOW_SILENT, term);
    else if (cli->json)
        json_print_line(json_of_export(export_));
    return !code && options->output ? download(cli, id, options->output) : code;
}

static int run_start(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct start_options *options = values;
    struct joblog_error error = {0};
    struct export_filters filters;
    struct joblog_export *export_;
    char *message = NULL;
    int code = export_filters_make(cli, &options->filters, options->json, &filters);
    if (code)
        return code;
    struct joblog_export_spec spec = {
        .export_type = operands->values[0],
        .filters = filters.rows,
        .n_filters = filters.n,
        .file_name = options->name,
        .request_id = options->request_id,
    };
    if (joblog_export_start(cli->client, &spec, &export_, &message, &error) < 0) {
        code = cli_error(&error);
    } else {
        code = go_on(cli, options, export_, message);
        joblog_export_free(export_);
        free(message);
    }
    export_filters_done(&filters);
    return code;
}

const struct command command_export_start = {
    .name = "export start",
    .arguments = "TYPE",
    .summary = "export a table to a file; prints the id",
    .text = "Operators: equals, in (values with commas between), contains, at_least, at_most, search. Without one the "
            "first\n"
            "that the type grants for the field; joblog export types lists them. In --filters an array means in.",
    .examples = "joblog export start users --filters '{\"search\": \"john\"}' --watch --output users.csv\n"
                "joblog export start users -f department:in=Sales,Legal -f created_at:at_least=2026-01-01\n"
                "joblog export start users --output - | wc -l",
    .options = start_rows,
    .options_size = sizeof(struct start_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_start,
};

struct download_options {
    const char *output;
};

static const struct option_row download_rows[] = {
    {"output", 'o', OPTION_TEXT, "FILE", offsetof(struct download_options, output),
     "where to; - for standard output (the name that the export has)", 0, 0},
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
        return download(cli, id, options->output);
    if (joblog_export_get(cli->client, id, &export_, &error) < 0)
        return cli_error(&error);
    /* The name comes from whoever started the export: a plain name in the present directory, or not at all. */
    const char *name = export_->has_file ? export_->file_name : "export";
    if (!*name || *name == '.' || strchr(name, '/'))
        code = cli_usage(cli, "the export's own name is no plain file name: say --output FILE");
    else
        code = download(cli, id, name);
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
