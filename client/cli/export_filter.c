/* Filters of exports, from the command line. Main thread. Which fields and operators there are is the server's
 * business: only the form is judged here. */
#include "export_filter.h"

#include "heap.h"

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

/* "field=value" is one value as it is; "field:op=a,b" is split where the operator is one that takes several. */
static int add_text(const struct cli *cli, struct export_filters *filters, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return cli_usage(cli, "--filter takes FIELD=VALUE or FIELD:OPERATOR=VALUE, not \"%s\"", text);
    char *field = heap_format("%.*s", (int)(equals - text), text), *colon = strchr(field, ':');
    char *op = heap_copy(colon ? colon + 1 : "");
    if (colon)
        *colon = '\0';
    struct joblog_export_filter *row = add_filter(filters, field, op);
    if (strcmp(op, "in") != 0 && strcmp(op, "between") != 0) {
        add_value(row, heap_copy(equals + 1));
        return 0;
    }
    for (const char *at = equals + 1;;) {
        size_t n = strcspn(at, ",");
        add_value(row, heap_format("%.*s", (int)n, at));
        if (!at[n])
            return 0;
        at += n + 1;
    }
}

/* A JSON scalar as the text that the server takes; NULL for anything else. */
static char *scalar_text(const json_t *value)
{
    if (json_is_string(value))
        return heap_copy(json_string_value(value));
    if (json_is_integer(value) || json_is_real(value) || json_is_boolean(value))
        return json_dumps(value, JSON_ENCODE_ANY);
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
    json_error_t error;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error), *value;
    const char *key;
    int code = 0;
    if (!json_is_object(object)) {
        json_decref(object);
        return cli_usage(cli, "--filters takes a JSON object such as {\"search\": \"john\"}%s%s", object ? "" : ": ",
                         object ? "" : error.text);
    }
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
