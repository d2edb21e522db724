/* Export types: from JSON to structs in an arena. Main thread or the one that reloads; no database. Every key is known
 * or refused: a mistyped key must not silently widen what an export shows. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/rights.h"
#include "export/types_priv.h"

enum {
    TYPES_MAX = 1000,
    COLUMNS_MAX = 1000, /* PostgreSQL's own limit is 1600 columns */
    FILTERS_MAX = 100,
    IDENTIFIER_MAX = 63, /* PostgreSQL cuts longer ones */
    TITLE_MAX = 200,
    FORMAT_MAX = 100,
    URI_MAX = 2000
};

/* ---- reading with a path for errors ---- */

struct reader {
    struct arena *arena;
    const char *file;
    char path[160]; /* of the value being read */
    struct err *err;
};

__attribute__((format(printf, 2, 3))) static void put_refusal(struct reader *r, const char *fmt, ...)
{
    char text[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(r->err, ERR_FAILED_PRECONDITION, "EXPORT_TYPES_INVALID", "%s: %s%s%s", r->file, r->path,
            r->path[0] ? ": " : "", text);
}

/* A macro, so that whoever reads the code, man or analyzer, sees that it is never 0. */
#define refuse(...) (put_refusal(__VA_ARGS__), -ERR_FAILED_PRECONDITION)

/* Appends to the path; gives its former length for path_back. */
__attribute__((format(printf, 2, 3))) static size_t path_to(struct reader *r, const char *fmt, ...)
{
    size_t len = strlen(r->path);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->path + len, sizeof r->path - len, fmt, ap);
    va_end(ap);
    return len;
}

static void path_back(struct reader *r, size_t len)
{
    r->path[len] = '\0';
}

static int check_object(struct reader *r, json_t *value, const char *const *keys)
{
    if (!json_is_object(value))
        return refuse(r, "must be an object");
    const char *key;
    json_t *member;
    json_object_foreach(value, key, member)
    {
        const char *const *known = keys;
        while (*known && strcmp(*known, key) != 0)
            known++;
        if (!*known)
            return refuse(r, "unknown key \"%.60s\"", key);
    }
    return 0;
}

/* A text of 1 to max bytes. fallback NULL: required. */
static int read_text(struct reader *r, json_t *object, const char *key, size_t max, const char *fallback,
                     const char **ret)
{
    json_t *value = json_object_get(object, key);
    size_t back = path_to(r, r->path[0] ? ".%s" : "%s", key);
    if (!value && fallback) {
        *ret = fallback;
    } else if (!value) {
        return refuse(r, "is missing");
    } else {
        size_t len = json_string_length(value);
        if (!json_is_string(value) || len == 0 || len > max)
            return refuse(r, "must be a text of 1 to %zu bytes", max);
        *ret = arena_str(r->arena, span_of(json_string_value(value), len));
        if (!*ret)
            return refuse(r, "out of memory");
    }
    path_back(r, back);
    return 0;
}

static int read_array(struct reader *r, json_t *value, size_t min, size_t max, size_t element_size, void **ret,
                      size_t *ret_n)
{
    if (!json_is_array(value) || json_array_size(value) < min || json_array_size(value) > max)
        return refuse(r, "must be an array of %zu to %zu", min, max);
    *ret_n = json_array_size(value);
    *ret = arena_zalloc(r->arena, *ret_n * element_size);
    return *ret ? 0 : refuse(r, "out of memory");
}

/* ---- the parts of a type ---- */

static int read_relation(struct reader *r, json_t *object, struct export_type *type)
{
    const char *relation;
    int rc = read_text(r, object, "relation", 2 * IDENTIFIER_MAX + 1, NULL, &relation);
    if (rc != 0)
        return rc;
    const char *dot = strchr(relation, '.');
    size_t back = path_to(r, ".relation");
    if (!dot || dot == relation || !dot[1] || strchr(dot + 1, '.') || dot - relation > IDENTIFIER_MAX ||
        strlen(dot + 1) > IDENTIFIER_MAX)
        return refuse(r, "must be schema.table, not \"%.100s\"", relation);
    path_back(r, back);
    type->schema = arena_str(r->arena, span_of(relation, (size_t)(dot - relation)));
    type->table = dot + 1;
    return type->schema ? 0 : refuse(r, "out of memory");
}

/* One of the names of values that a filter (or, with `json`, a column) may have. */
static int read_value(struct reader *r, json_t *object, const char *fallback, bool json, enum export_value *ret)
{
    const char *name;
    int rc = read_text(r, object, "type", TITLE_MAX, fallback, &name);
    if (rc != 0)
        return rc;
    for (int i = 0; i < EXPORT_VALUE_COUNT; i++)
        if (strcmp(export_value_name((enum export_value)i), name) == 0 &&
            (i != EXPORT_VALUE_UNKNOWN || !json_object_get(object, "type")) && (i != EXPORT_VALUE_JSON || json)) {
            *ret = (enum export_value)i;
            return 0;
        }
    return refuse(r, "type must be text, integer, number, boolean, date%s timestamp%s", json ? "," : " or",
                  json ? " or json" : "");
}

static int read_column(struct reader *r, json_t *object, struct export_column *column)
{
    static const char *const keys[] = {"name", "title", "type", "format", "sortable", NULL};
    json_t *sortable = json_object_get(object, "sortable");
    int rc = check_object(r, object, keys);
    if (rc == 0)
        rc = read_text(r, object, "name", IDENTIFIER_MAX, NULL, &column->name);
    if (rc == 0)
        rc = read_text(r, object, "title", TITLE_MAX, column->name, &column->title);
    if (rc == 0)
        rc = read_text(r, object, "format", FORMAT_MAX, "", &column->format);
    if (rc == 0)
        rc = read_value(r, object, "unknown", true, &column->value);
    if (rc == 0 && sortable && !json_is_boolean(sortable))
        rc = refuse(r, "sortable must be true or false");
    column->actual = column->value;
    column->sortable = !json_is_false(sortable);
    return rc;
}

static int read_columns(struct reader *r, json_t *object, struct export_type *type)
{
    json_t *array = json_object_get(object, "columns");
    size_t back = path_to(r, ".columns");
    void *columns = NULL;
    int rc = read_array(r, array, 1, COLUMNS_MAX, sizeof *type->columns, &columns, &type->n_columns);
    type->columns = columns;
    for (size_t i = 0; rc == 0 && i < type->n_columns; i++) {
        struct export_column *column = &type->columns[i];
        size_t element = path_to(r, "[%zu]", i);
        rc = read_column(r, json_array_get(array, i), column);
        for (size_t k = 0; rc == 0 && k < i; k++)
            if (strcmp(type->columns[k].name, column->name) == 0)
                rc = refuse(r, "column \"%s\" occurs twice", column->name);
        if (rc == 0)
            path_back(r, element);
    }
    if (rc == 0)
        path_back(r, back);
    return rc;
}

/* May this operator be granted for these values? */
static bool op_fits(enum export_op op, enum export_value value)
{
    switch (op) {
    case EXPORT_OP_CONTAINS:
    case EXPORT_OP_SEARCH:
    case EXPORT_OP_PREFIX:
        return value == EXPORT_VALUE_TEXT;
    case EXPORT_OP_EQUALS:
    case EXPORT_OP_IN:
        return true;
    default: /* ranges */
        return value != EXPORT_VALUE_BOOLEAN;
    }
}

static int read_ops(struct reader *r, json_t *object, struct export_filter_type *filter)
{
    json_t *array = json_object_get(object, "operators");
    size_t back = path_to(r, ".operators");
    void *unused;
    int rc = read_array(r, array, 1, EXPORT_OP_COUNT - 1, sizeof(enum export_op), &unused, &filter->n_ops);
    for (size_t i = 0; rc == 0 && i < filter->n_ops; i++) {
        size_t element = path_to(r, "[%zu]", i);
        const char *name = json_string_value(json_array_get(array, i));
        enum export_op op = export_op_parse(span_str(name));
        if (op == EXPORT_OP_DEFAULT)
            return refuse(r,
                          "must be equals, in, contains, prefix, search, at_least, at_most, between, greater or less");
        if (!op_fits(op, filter->value))
            return refuse(r, "%s does not fit type %s", name, export_value_name(filter->value));
        for (size_t k = 0; k < i; k++)
            if (filter->ops[k] == op)
                return refuse(r, "%s occurs twice", name);
        filter->ops[i] = op;
        path_back(r, element);
    }
    if (rc == 0)
        path_back(r, back);
    return rc;
}

static bool grants(const struct export_filter_type *filter, enum export_op op)
{
    for (size_t i = 0; i < filter->n_ops; i++)
        if (filter->ops[i] == op)
            return true;
    return false;
}

static int read_filter_columns(struct reader *r, json_t *object, struct export_filter_type *filter)
{
    json_t *array = json_object_get(object, "columns");
    if (array && json_object_get(object, "column"))
        return refuse(r, "has both \"column\" and \"columns\"");
    if (!array) {
        filter->n_columns = 1;
        filter->columns = arena_zalloc(r->arena, sizeof *filter->columns);
        return filter->columns ? read_text(r, object, "column", IDENTIFIER_MAX, filter->field, &filter->columns->name)
                               : refuse(r, "out of memory");
    }
    size_t back = path_to(r, ".columns");
    if (filter->n_ops != 1 || !grants(filter, EXPORT_OP_SEARCH))
        return refuse(r, "needs operators [\"search\"]; for others give one \"column\"");
    void *columns = NULL;
    int rc = read_array(r, array, 1, FILTERS_MAX, sizeof *filter->columns, &columns, &filter->n_columns);
    filter->columns = columns;
    for (size_t i = 0; rc == 0 && i < filter->n_columns; i++) {
        json_t *name = json_array_get(array, i);
        size_t element = path_to(r, "[%zu]", i);
        size_t len = json_string_length(name);
        if (len == 0 || len > IDENTIFIER_MAX)
            return refuse(r, "must be the name of a column");
        filter->columns[i].name = arena_str(r->arena, span_of(json_string_value(name), len));
        if (!filter->columns[i].name)
            return refuse(r, "out of memory");
        path_back(r, element);
    }
    if (rc == 0)
        path_back(r, back);
    return rc;
}

static int read_filter(struct reader *r, json_t *object, struct export_filter_type *filter)
{
    static const char *const keys[] = {"field", "title", "operators", "column", "columns", "type", "full_text", NULL};
    int rc = check_object(r, object, keys);
    if (rc == 0)
        rc = read_text(r, object, "field", IDENTIFIER_MAX, NULL, &filter->field);
    if (rc == 0)
        rc = read_text(r, object, "title", TITLE_MAX, filter->field, &filter->title);
    if (rc == 0)
        rc = read_value(r, object, "text", false, &filter->value);
    if (rc == 0)
        rc = read_ops(r, object, filter);
    if (rc == 0)
        rc = read_filter_columns(r, object, filter);
    if (rc != 0 || !json_object_get(object, "full_text"))
        return rc;
    if (!grants(filter, EXPORT_OP_SEARCH))
        return refuse(r, "\"full_text\" needs the operator search");
    return read_text(r, object, "full_text", IDENTIFIER_MAX, NULL, &filter->full_text);
}

static int read_filters(struct reader *r, json_t *object, struct export_type *type)
{
    json_t *array = json_object_get(object, "filters");
    if (!array)
        return 0;
    size_t back = path_to(r, ".filters");
    void *filters = NULL;
    int rc = read_array(r, array, 0, FILTERS_MAX, sizeof *type->filters, &filters, &type->n_filters);
    type->filters = filters;
    for (size_t i = 0; rc == 0 && i < type->n_filters; i++) {
        size_t element = path_to(r, "[%zu]", i);
        rc = read_filter(r, json_array_get(array, i), &type->filters[i]);
        for (size_t k = 0; rc == 0 && k < i; k++)
            if (strcmp(type->filters[k].field, type->filters[i].field) == 0)
                rc = refuse(r, "field \"%s\" occurs twice", type->filters[i].field);
        if (rc == 0)
            path_back(r, element);
    }
    if (rc == 0)
        path_back(r, back);
    return rc;
}

static int read_order_item(struct reader *r, json_t *object, struct export_order *order)
{
    static const char *const keys[] = {"column", "direction", NULL};
    const char *direction, *column;
    int rc = check_object(r, object, keys);
    if (rc == 0)
        rc = read_text(r, object, "column", IDENTIFIER_MAX, NULL, &column);
    if (rc == 0)
        rc = read_text(r, object, "direction", TITLE_MAX, "ascending", &direction);
    if (rc != 0)
        return rc;
    order->column = span_str(column);
    order->descending = strcmp(direction, "descending") == 0;
    if (!order->descending && strcmp(direction, "ascending") != 0)
        return refuse(r, "direction must be ascending or descending");
    return 0;
}

/* One object, or an array of them. */
static int read_order(struct reader *r, json_t *object, struct export_type *type)
{
    json_t *order = json_object_get(object, "order");
    size_t back = path_to(r, ".order");
    int rc = 0;
    if (order && !json_is_array(order)) {
        type->n_order = 1;
        rc = read_order_item(r, order, &type->order[0]);
    } else if (order && json_array_size(order) > EXPORT_ORDERS_MAX) {
        rc = refuse(r, "must be an array of at most %d", EXPORT_ORDERS_MAX);
    } else {
        for (; rc == 0 && type->n_order < json_array_size(order); type->n_order++) {
            size_t element = path_to(r, "[%zu]", type->n_order);
            rc = read_order_item(r, json_array_get(order, type->n_order), &type->order[type->n_order]);
            if (rc == 0)
                path_back(r, element);
        }
    }
    if (rc == 0)
        path_back(r, back);
    return rc;
}

static int read_roles(struct reader *r, json_t *object, struct export_type *type)
{
    json_t *array = json_object_get(object, "roles");
    size_t back = path_to(r, ".roles");
    if (array && (!json_is_array(array) || json_array_size(array) == 0))
        return refuse(r, "must be an array of at least one role");
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *name = json_string_value(json_array_get(array, i));
        unsigned role = name ? role_parse(span_str(name)) : 0;
        if (!role)
            return refuse(r, "[%zu] must be admin, dispatcher, worker, viewer or exporter", i);
        type->roles |= role;
    }
    path_back(r, back);
    return 0;
}

/* Whose rows, how many, from where. */
static int read_bounds(struct reader *r, json_t *object, struct export_type *type)
{
    json_t *limit = json_object_get(object, "row_limit");
    int rc = 0;
    if (limit && (!json_is_integer(limit) || json_integer_value(limit) < 1))
        return refuse(r, "row_limit must be a whole number from 1");
    type->max_rows = json_integer_value(limit);
    json_t *count = json_object_get(object, "count");
    if (count && !json_is_boolean(count))
        return refuse(r, "count must be true or false");
    type->uncounted = json_is_false(count);
    if (type->uncounted && limit)
        return refuse(r, "row_limit needs the rows to be counted, and count says false");
    if (json_object_get(object, "owner_column"))
        rc = read_text(r, object, "owner_column", IDENTIFIER_MAX, NULL, &type->owner_column.name);
    if (rc == 0 && json_object_get(object, "database"))
        rc = read_text(r, object, "database", URI_MAX, NULL, &type->database);
    return rc;
}

/* A name stands in file names and messages: letters, digits, "_", "-" and ".". */
static bool is_plain_name(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")] == '\0' &&
           name[0] != '.';
}

static int read_type(struct reader *r, json_t *object, struct export_type *type)
{
    static const char *const keys[] = {"name",  "title",        "relation", "columns",   "filters", "order",
                                       "roles", "owner_column", "database", "row_limit", "count",   NULL};
    int rc = check_object(r, object, keys);
    if (rc == 0)
        rc = read_text(r, object, "name", 100, NULL, &type->name);
    if (rc == 0 && !is_plain_name(type->name))
        rc = refuse(r, "name may hold letters, digits, \"_\", \"-\" and \".\" only");
    if (rc == 0)
        rc = read_text(r, object, "title", TITLE_MAX, type->name, &type->title);
    if (rc == 0)
        rc = read_relation(r, object, type);
    if (rc == 0)
        rc = read_columns(r, object, type);
    if (rc == 0)
        rc = read_filters(r, object, type);
    if (rc == 0)
        rc = read_roles(r, object, type);
    if (rc == 0)
        rc = read_bounds(r, object, type);
    return rc != 0 ? rc : read_order(r, object, type);
}

/* ---- the whole ---- */

static int compare_types(const void *a, const void *b)
{
    return strcmp(((const struct export_type *)a)->name, ((const struct export_type *)b)->name);
}

/* The built-in types that the file does not have. */
static int add_builtin(struct reader *r, json_t *builtin, struct export_types *types)
{
    json_t *array = json_object_get(builtin, "export_types"), *value;
    size_t i;
    json_array_foreach(array, i, value)
    {
        const char *name = json_string_value(json_object_get(value, "name"));
        size_t k = 0;
        while (k < types->n_types && strcmp(types->types[k].name, name) != 0)
            k++;
        if (k < types->n_types)
            continue;
        int rc = read_type(r, value, &types->types[types->n_types]);
        if (rc != 0)
            return rc;
        types->n_types++;
    }
    return 0;
}

static int read_types(struct reader *r, json_t *root, json_t *builtin, struct export_types *types)
{
    static const char *const keys[] = {"export_types", NULL};
    int rc = check_object(r, root, keys);
    if (rc != 0)
        return rc;
    json_t *array = json_object_get(root, "export_types");
    size_t back = path_to(r, "export_types");
    if (!json_is_array(array) || json_array_size(array) > TYPES_MAX)
        return refuse(r, "must be an array of 0 to %d", TYPES_MAX);
    size_t n = json_array_size(array), n_builtin = json_array_size(json_object_get(builtin, "export_types"));
    types->types = arena_zalloc(r->arena, (n + n_builtin) * sizeof *types->types);
    if (!types->types)
        return refuse(r, "out of memory");
    for (; rc == 0 && types->n_types < n; types->n_types++) {
        size_t element = path_to(r, "[%zu]", types->n_types);
        rc = read_type(r, json_array_get(array, types->n_types), &types->types[types->n_types]);
        if (rc == 0)
            path_back(r, element);
    }
    if (rc == 0)
        rc = add_builtin(r, builtin, types);
    if (rc != 0)
        return rc;
    qsort(types->types, types->n_types, sizeof *types->types, compare_types);
    for (size_t i = 1; i < types->n_types; i++)
        if (strcmp(types->types[i - 1].name, types->types[i].name) == 0)
            return refuse(r, "there are two export types \"%s\"", types->types[i].name);
    path_back(r, back);
    return 0;
}

int export_types_read(struct export_types *types, json_t *root, json_t *builtin, const char *name, struct err *ret_err)
{
    struct reader r = {.arena = &types->arena, .file = name, .err = ret_err};
    return read_types(&r, root, builtin, types);
}
