/* See export_form.h. */
#include "export_form.h"

#include "heap.h"

#include <string.h>
#include <strings.h>
#include <time.h>

/* NULL: nothing is said of it. */
struct form {
    const char *format, *compression, *delimiter;
    bool value; /* the name is that of one JSON value */
};

/* Who has said what *spec says. */
struct said {
    const char *format, *compression;
};

static bool ends_with(const char *text, size_t len, const char *end)
{
    return len > strlen(end) && !strncasecmp(text + len - strlen(end), end, strlen(end));
}

/* "users.xlsx", "users.csv.gz", "USERS.CSV.GZ". */
static struct form form_of_name(const char *name)
{
    static const char *const packed[][2] = {{".gz", "gzip"}, {".zst", "zstd"}};
    static const struct {
        const char *end;
        struct form form;
    } forms[] = {{".csv", {.format = "csv"}},     {".tsv", {.format = "csv", .delimiter = "\t"}},
                 {".jsonl", {.format = "jsonl"}}, {".ndjson", {.format = "jsonl"}},
                 {".xlsx", {.format = "xlsx"}},   {".json", {.format = "jsonl", .value = true}}};
    struct form form = {0};
    const char *compression = NULL;
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof packed / sizeof packed[0] && !compression; i++)
        if (ends_with(name, len, packed[i][0])) {
            compression = packed[i][1];
            len -= strlen(packed[i][0]);
        }
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (ends_with(name, len, forms[i].end))
            form = forms[i].form;
    form.compression = compression;
    return form;
}

static bool contradicts(const char *of_name, const char *of_other)
{
    return of_name && of_other && strcmp(of_name, of_other) != 0;
}

static int check(const struct cli *cli, const char *name, const struct form *form, const struct said *said,
                 const struct joblog_export_spec *spec)
{
    if (contradicts(form->format, spec->format))
        return cli_usage(cli, "%s is the name of a file of %s, and %s says %s", name, form->format, said->format,
                         spec->format);
    if (contradicts(form->compression, spec->compression))
        return cli_usage(cli, "%s is the name of a file of %s, and %s says %s", name, form->compression,
                         said->compression, spec->compression);
    if (form->format && !strcmp(form->format, "xlsx") && contradicts("none", spec->compression))
        return cli_usage(cli, "%s is the name of a workbook, which is compressed by itself, and %s says %s", name,
                         said->compression, spec->compression);
    if (contradicts(form->delimiter, spec->csv.delimiter))
        return cli_usage(cli, "%s is the name of a file with tabs, and --delimiter says %s", name, spec->csv.delimiter);
    if (form->value && !spec->format)
        return cli_usage(cli,
                         "%s is the name of one JSON value, and an export is one a row: name it .jsonl, or say "
                         "--format jsonl",
                         name);
    return EXIT_OK;
}

static int take_name(const struct cli *cli, const char *name, struct said *said, struct joblog_export_spec *spec)
{
    struct form form = form_of_name(name);
    int code = check(cli, name, &form, said, spec);
    if (code != EXIT_OK)
        return code;
    if (form.format && !spec->format) {
        spec->format = form.format;
        said->format = name;
    }
    if (form.compression && !spec->compression) {
        spec->compression = form.compression;
        said->compression = name;
    }
    if (form.delimiter)
        spec->csv.delimiter = form.delimiter;
    return EXIT_OK;
}

int export_form_by_names(const struct cli *cli, const char *output, const char *name, struct joblog_export_spec *spec)
{
    struct said said = {"--format", "--compression"};
    int code = output ? take_name(cli, output, &said, spec) : EXIT_OK;
    return code == EXIT_OK && name ? take_name(cli, name, &said, spec) : code;
}

char *export_form_name(const struct joblog_export_spec *spec)
{
    const char *compression = spec->compression ? spec->compression : "none";
    const char *end = !strcmp(compression, "gzip") ? ".gz" : !strcmp(compression, "zstd") ? ".zst" : "";
    char day[16];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(day, sizeof(day), "%Y-%m-%d", &tm);
    return heap_format("%s-%s.%s%s", spec->export_type, day, spec->format ? spec->format : "csv", end);
}
