/* What the command line reads from its user and from the programs that it runs: units, options, export filters, lines
 * of workers. No server.
 *
 * Input: which parser, then its text. */
#include <string.h>

#include "cli.h"
#include "export_filter.h"
#include "filter.h"
#include "fuzz.h"
#include "text.h"
#include "units.h"
#include "worker_line.h"

static const struct command command = {.name = "fuzz", .arguments = ""};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    setenv("TZ", "Europe/Berlin", 1);         /* with hours that there are not, and hours that there are twice */
    FILE *nowhere = fopen("/dev/null", "we"); /* for the messages; what a sanitizer says goes to the descriptor */
    HOLDS(nowhere);
    stderr = nowhere;
    return 0;
}

static void units(const char *text)
{
    char shown[UNITS_TEXT];
    int64_t v;
    if (units_parse_duration(text, &v) == 0) {
        HOLDS(v >= 0);
        HOLDS(strlen(units_duration(shown, v)) < UNITS_TEXT && strlen(units_seconds(shown, v)) < UNITS_TEXT);
    }
    if (units_parse_time(text, &v) == 0) {
        int64_t again;
        HOLDS(v >= 0);
        HOLDS(units_parse_time(units_rfc3339(shown, v), &again) == 0 && again == v);
        HOLDS(strlen(units_local(shown, v)) < UNITS_TEXT && strlen(units_relative(shown, v, 1)) < UNITS_TEXT);
    }
    if (units_parse_int(text, &v) == 0)
        HOLDS(strlen(units_count(shown, v)) < UNITS_TEXT && strlen(units_size(shown, (double)v)) < UNITS_TEXT);
}

static void filters(const char *text, bool json)
{
    struct cli cli = {.command = &command};
    struct export_filters filters;
    const char *values[] = {text};
    struct option_texts texts = {values, json ? 0 : 1};
    if (export_filters_make(&cli, &texts, json ? text : NULL, &filters) != 0)
        return;
    for (size_t i = 0; i < filters.n; i++) {
        HOLDS(filters.rows[i].field && filters.rows[i].op);
        for (size_t k = 0; k < filters.rows[i].n_values; k++)
            HOLDS(filters.rows[i].values[k]);
    }
    export_filters_done(&filters);
}

static void labels_and_source(const char *text)
{
    struct cli cli = {.command = &command};
    const char *values[] = {text}, *type, *id;
    struct option_texts texts = {values, 1};
    struct joblog_label *labels = NULL;
    if (cli_parse_labels(&cli, &texts, &labels) == 0) {
        HOLDS(labels[0].key && labels[0].value);
        cli_labels_free(labels, 1);
    }
    char *copy = filter_split_source(text, &type, &id);
    HOLDS(strlen(type) + (id ? strlen(id) + 1 : 0) == strlen(text));
    free(copy);
    int64_t number;
    if (cli_parse_id(&cli, text, &number) == 0)
        HOLDS(number > 0);
}

static void options(char *text)
{
    struct values {
        bool flag;
        const char *one;
        struct option_texts many, list;
        int64_t number, duration, time;
        double real;
    } values = {0};
    static const struct option_row rows[] = {
        {"flag", 'f', OPTION_FLAG, NULL, offsetof(struct values, flag), "", 0, 0},
        {"one", 'o', OPTION_TEXT, "TEXT", offsetof(struct values, one), "", 0, 0},
        {"many", 'm', OPTION_TEXTS, "TEXT", offsetof(struct values, many), "", 0, 0},
        {"list", 'l', OPTION_LIST, "A,B", offsetof(struct values, list), "", 0, 0},
        {"number", 'n', OPTION_NUMBER, "N", offsetof(struct values, number), "", 1, 100},
        {"real", 'r', OPTION_REAL, "N", offsetof(struct values, real), "", 0, 0},
        {"duration", 'd', OPTION_DURATION, "TIME", offsetof(struct values, duration), "", 0, 0},
        {"time", 't', OPTION_TIME, "TIME", offsetof(struct values, time), "", 0, 0},
        {0},
    };
    char *argv[32] = {(char[]){"fuzz"}}, *rest = text, error[200];
    int argc = 1;
    for (char *word; argc < 31 && (word = strsep(&rest, "\n"));)
        argv[argc++] = word;
    struct option_set set = {rows, &values};
    struct operands operands = {0};
    if (options_parse(argc, argv, &set, 1, &operands, error, sizeof error) == 0)
        HOLDS(operands.n < 32 && (!values.number || (values.number >= 1 && values.number <= 100)));
    else
        HOLDS(error[0] && memchr(error, '\0', sizeof error));
    options_done(&set);
}

static void worker_line(char *text)
{
    struct worker_line line;
    memset(&line, 0, sizeof line);
    if (worker_line_parse(text, &line) != WORKER_LINE_PROGRESS)
        return;
    HOLDS(memchr(line.unit, '\0', sizeof line.unit) && memchr(line.step, '\0', sizeof line.step));
    HOLDS(line.total > 0 ? line.done >= 0 : line.percent >= 0 && line.percent <= 100);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    uint8_t which = input_byte(&in);
    char *text = input_text(span_of((const char *)in.at, (size_t)(in.end - in.at)));
    switch (which % 6) {
    case 0:
        units(text);
        break;
    case 1:
        filters(text, false);
        break;
    case 2:
        filters(text, true);
        break;
    case 3:
        labels_and_source(text);
        break;
    case 4:
        options(text);
        break;
    default:
        worker_line(text);
    }
    free(text);
    return 0;
}
