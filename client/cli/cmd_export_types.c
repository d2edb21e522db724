/* joblog export types: what can be exported. Main thread. */
#include "commands.h"
#include "json.h"
#include "text.h"

#include <inttypes.h>

static void print_texts(const char *title, const char *const *texts, size_t n)
{
    printf("  %-14s", title);
    for (size_t i = 0; i < n; i++) {
        fputs(i ? ", " : "", stdout);
        text_print(stdout, texts[i], 0);
    }
    putchar('\n');
}

/* "id integer, note text (not sortable)": a name as it is used, and what is to be known of it. */
static void print_columns(const struct joblog_export_type *type)
{
    printf("  %-14s", "columns");
    for (size_t i = 0; i < type->n_columns; i++) {
        const struct joblog_export_column *column = &type->column_types[i];
        fputs(i ? ", " : "", stdout);
        text_print(stdout, column->name, 0);
        if (*column->value_type)
            printf(" %s", column->value_type);
        if (!column->sortable)
            fputs(" (not sortable)", stdout);
    }
    putchar('\n');
}

/* "created date (at_least, at_most)": the first operator is the default. */
static void print_filters(const struct joblog_export_type *type)
{
    if (type->n_filters == 0)
        return;
    printf("  %-14s", "filters");
    for (size_t i = 0; i < type->n_filters; i++) {
        const struct joblog_export_filter_type *filter = &type->filter_types[i];
        fputs(i ? ", " : "", stdout);
        text_print(stdout, filter->field, 0);
        printf("%s%s (", *filter->value_type ? " " : "", filter->value_type);
        for (size_t op = 0; op < filter->n_operators; op++)
            printf("%s%s", op ? ", " : "", filter->operators[op]);
        putchar(')');
    }
    putchar('\n');
}

static void print_type(const struct joblog_export_type *type)
{
    print_columns(type);
    print_filters(type);
    if (type->n_order > 0)
        printf("  %-14s", "order");
    for (size_t i = 0; i < type->n_order; i++) {
        fputs(i ? "," : "", stdout);
        fputs(type->order[i].descending ? "-" : "", stdout);
        text_print(stdout, type->order[i].column, 0);
    }
    if (type->n_order > 0)
        putchar('\n');
    print_texts("formats", type->formats, type->n_formats);
    print_texts("compressions", type->compressions, type->n_compressions);
    if (type->row_limit > 0)
        printf("  %-14sat most %" PRId64 "%s\n", "rows", type->row_limit, type->own_rows_only ? ", your own only" : "");
    else if (type->own_rows_only)
        printf("  %-14syour own only\n", "rows");
}

static int run_types(struct cli *cli, const void *options, const struct operands *operands)
{
    (void)options;
    (void)operands;
    struct joblog_error error = {0};
    struct joblog_export_type *types;
    size_t n;
    if (joblog_export_types(cli->client, &types, &n, &error) < 0)
        return cli_error(&error);
    for (size_t i = 0; i < n; i++) {
        if (cli->json) {
            json_print_line(json_of_export_type(&types[i]));
            continue;
        }
        printf("%s%s%s  ", term_color(&cli->term, "bold"), types[i].name, term_reset(&cli->term));
        text_print(stdout, types[i].title, 0);
        putchar('\n');
        print_type(&types[i]);
    }
    if (!n && !cli->json)
        fputs("no export types: joblogd --export-types FILE declares them\n", stderr);
    joblog_export_types_free(types);
    return EXIT_OK;
}

const struct command command_export_types = {
    .name = "export types",
    .arguments = "",
    .summary = "what can be exported: columns, filters, order, formats",
    .examples = "joblog export types",
    .run = run_types,
};
