/* Filters of exports, from the command line. Main thread. Which fields and operators there are is the server's
 * business: only the form is judged here. */
#include "export_filter.h"

#include "heap.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Adds a filter without values. Takes field and op. */
static struct joblog_export_filter *add_filter(struct export_filters *filters, char *field, char *op)
{
    filters->rows = heap_resize(filters->rows, filters->n + 1, sizeof(*filters->rows));
    struct joblog_export_filter *row = &filters->rows[filters->n++];
    *row = (struct joblog_export_filter){.field = field, .op = op};
    return row;
}

/* Takes value. */
static void add_value(struct joblog_export_filter *row, char *value)
{
    const char **values = heap_resize((void *)row->values, row->n_values + 1, sizeof(*values));
    values[row->n_values++] = value;
    row->values = values;
}

/* A value in double quotes, of which text begins with the first; "" in it is one. Adds it. What comes after the last
 * quote, or NULL: there is none. */
static const char *add_quoted(struct joblog_export_filter *row, const char *text)
{
    char *value = heap_new(strlen(text), 1);
    size_t len = 0;
    for (text++; *text && (*text != '"' || text[1] == '"'); text++) {
        text += *text == '"';
        value[len++] = *text;
    }
    add_value(row, value);
    return *text ? text + 1 : NULL;
}

/* Splits at commas, but for those of values in quotes, as in a line of CSV. */
static int add_values(const struct cli *cli, struct joblog_export_filter *row, const char *text)
{
    for (const char *at = text;; at++) {
        size_t n = 0;
        if (*at == '"')
            at = add_quoted(row, at);
        else
            add_value(row, heap_format("%.*s", (int)(n = strcspn(at, ",")), at));
        if (!at || (at[n] && at[n] != ','))
            return cli_usage(cli, "a value that begins with \" ends with it, and \"\" in it stands for one; not %s",
                             text);
        at += n;
        if (!*at)
            return 0;
    }
}

/* The sign between field and value, as people write it; "=" alone is whatever the type takes first. */
static const struct {
    const char *sign, *op;
} signs[] = {{">=", "at_least"}, {"<=", "at_most"}, {">", "greater"}, {"<", "less"}, {"~", "contains"}, {"=", ""}};

/* "field=value", "field>=value" and the like are one value as it is; "field:op=a,b" names the operator and is split
 * where that is one that takes several, 'field:op="a, b",c' between a, b and c. */
static int add_text(const struct cli *cli, struct export_filters *filters, const char *text)
{
    size_t n = strcspn(text, "=<>~"), i = 0;
    while (i < sizeof signs / sizeof signs[0] && strncmp(text + n, signs[i].sign, strlen(signs[i].sign)) != 0)
        i++;
    const char *colon = memchr(text, ':', n);
    if (i == sizeof signs / sizeof signs[0] || n == 0 || colon == text || (colon && *signs[i].op))
        return cli_usage(cli,
                         "a filter is FIELD=VALUE, with >=, <=, >, < or ~ (contains) in place of =, or "
                         "FIELD:OPERATOR=VALUE; not \"%s\"",
                         text);
    const char *value = text + n + strlen(signs[i].sign);
    char *op = colon ? heap_format("%.*s", (int)(text + n - colon - 1), colon + 1) : heap_copy(signs[i].op);
    char *field = heap_format("%.*s", (int)(colon ? colon - text : (ptrdiff_t)n), text);
    struct joblog_export_filter *row = add_filter(filters, field, op);
    if (!strcmp(op, "in") || !strcmp(op, "between"))
        return add_values(cli, row, value);
    add_value(row, heap_copy(value));
    return 0;
}

/* Puts numbers of a JSON text into quotes: the server takes texts, and these stay as they were written, however long.
 * Gives it (free). */
static char *quote_numbers(const char *text)
{
    char *quoted = heap_new(3 * strlen(text) + 1, 1), *end = quoted;
    for (size_t n; *text; text += n) {
        bool number = *text == '-' || isdigit((unsigned char)*text);
        n = number ? strspn(text, "+-.0123456789Ee") : 1;
        if (*text == '"')
            for (bool last = false; !last; n++)
                last = text[n] == '"' || (text[n] == '\\' && !text[++n]);
        end += sprintf(end, number ? "\"%.*s\"" : "%.*s", (int)n, text);
    }
    return quoted;
}

/* A JSON scalar as the text that the server takes; NULL for anything else. */
static char *scalar_text(const json_t *value)
{
    if (json_is_string(value))
        return heap_copy(json_string_value(value));
    if (json_is_boolean(value))
        return heap_copy(json_is_true(value) ? "true" : "false");
    return NULL;
}

static int add_member(const struct cli *cli, struct export_filters *filters, const char *key, const json_t *value)
{
    bool list = json_is_array(value);
    size_t n = list ? json_array_size(value) : 1;
    struct joblog_export_filter *row = add_filter(filters, heap_copy(key), heap_copy(list ? "in" : ""));
    for (size_t i = 0; i < n; i++) {
        char *text = scalar_text(list ? json_array_get(value, i) : value);
        if (!text)
            return cli_usage(cli, "--filters: \"%s\" must be a text, a number, true, false or an array of these", key);
        add_value(row, text);
    }
    return 0;
}

static int add_json(const struct cli *cli, struct export_filters *filters, const char *text)
{
    struct joblog_error error;
    if (joblog_json_check(text, strlen(text), true, "--filters", &error) < 0)
        return cli_usage(cli, "%s, such as {\"search\": \"john\"}", error.message);
    char *quoted = quote_numbers(text);
    json_t *object = json_loads(quoted, 0, NULL), *value;
    const char *key;
    int code = object ? 0 : cli_usage(cli, "--filters: cannot be read");
    free(quoted);
    json_object_foreach(object, key, value)
    {
        if (!code)
            code = add_member(cli, filters, key, value);
    }
    json_decref(object);
    return code;
}

int export_filters_make(const struct cli *cli, const struct option_texts *texts, const char *json,
                        struct export_filters *ret_filters)
{
    struct export_filters filters = {0};
    int code = json ? add_json(cli, &filters, json) : 0;
    for (size_t i = 0; i < texts->n && !code; i++)
        code = add_text(cli, &filters, texts->values[i]);
    if (code)
        export_filters_done(&filters);
    else
        *ret_filters = filters;
    return code;
}

void export_filters_done(struct export_filters *filters)
{
    for (size_t i = 0; i < filters->n; i++) {
        struct joblog_export_filter *row = &filters->rows[i];
        for (size_t k = 0; k < row->n_values; k++)
            free((char *)row->values[k]);
        free((void *)row->values);
        free((char *)row->field);
        free((char *)row->op);
    }
    free(filters->rows);
    *filters = (struct export_filters){0};
}
