/* Export types: from JSON to constant structs in one arena. Main thread, at start; no database. Every key is known or
 * refused: a mistyped key must not silently widen what an export shows. */
#include "export/types.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"

enum {
    TYPES_MAX = 1000,
    COLUMNS_MAX = 1000, /* PostgreSQL's own limit is 1600 columns */
    FILTERS_MAX = 100,
    IDENTIFIER_MAX = 63, /* PostgreSQL cuts longer ones */
    TITLE_MAX = 200
};

struct export_types {
    struct arena arena;
    struct export_type *types; /* sorted by name */
    size_t n_types;
};

static const char *const op_names[EXPORT_OP_COUNT] = {
    [EXPORT_OP_EQUALS] = "equals",     [EXPORT_OP_IN] = "in",           [EXPORT_OP_CONTAINS] = "contains",
    [EXPORT_OP_AT_LEAST] = "at_least", [EXPORT_OP_AT_MOST] = "at_most", [EXPORT_OP_SEARCH] = "search"};

static const char *const value_names[] = {
    [EXPORT_VALUE_TEXT] = "text",       [EXPORT_VALUE_INTEGER] = "integer", [EXPORT_VALUE_NUMBER] = "number",
    [EXPORT_VALUE_BOOLEAN] = "boolean", [EXPORT_VALUE_DATE] = "date",       [EXPORT_VALUE_TIMESTAMP] = "timestamp"};
enum { VALUE_COUNT = sizeof value_names / sizeof value_names[0] };

const char *export_op_name(enum export_op op)
{
    return (int)op > 0 && (int)op < EXPORT_OP_COUNT ? op_names[op] : "default";
}

enum export_op export_op_parse(struct span name)
{
    for (int op = 1; op < EXPORT_OP_COUNT; op++)
        if (span_eq(name, span_str(op_names[op])))
            return (enum export_op)op;
    return EXPORT_OP_DEFAULT;
}

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

static int read_columns(struct reader *r, json_t *object, struct export_type *type)
{
    static const char *const keys[] = {"name", "title", NULL};
    json_t *array = json_object_get(object, "columns");
    size_t back = path_to(r, ".columns");
    void *columns = NULL;
    int rc = read_array(r, array, 1, COLUMNS_MAX, sizeof *type->columns, &columns, &type->n_columns);
    type->columns = columns;
    for (size_t i = 0; rc == 0 && i < type->n_columns; i++) {
        struct export_column *column = &type->columns[i];
        size_t element = path_to(r, "[%zu]", i);
        rc = check_object(r, json_array_get(array, i), keys);
        if (rc == 0)
            rc = read_text(r, json_array_get(array, i), "name", IDENTIFIER_MAX, NULL, &column->name);
        if (rc == 0)
            rc = read_text(r, json_array_get(array, i), "title", TITLE_MAX, column->name, &column->title);
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
    if (op == EXPORT_OP_CONTAINS || op == EXPORT_OP_SEARCH)
        return value == EXPORT_VALUE_TEXT;
    if (op == EXPORT_OP_AT_LEAST || op == EXPORT_OP_AT_MOST)
        return value != EXPORT_VALUE_BOOLEAN;
    return true;
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
            return refuse(r, "must be equals, in, contains, at_least, at_most or search");
        if (!op_fits(op, filter->value))
            return refuse(r, "%s does not fit type %s", name, value_names[filter->value]);
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
    static const char *const keys[] = {"field", "title", "operators", "column", "columns", "type", NULL};
    const char *value;
    int rc = check_object(r, object, keys);
    if (rc == 0)
        rc = read_text(r, object, "field", IDENTIFIER_MAX, NULL, &filter->field);
    if (rc == 0)
        rc = read_text(r, object, "title", TITLE_MAX, filter->field, &filter->title);
    if (rc == 0)
        rc = read_text(r, object, "type", TITLE_MAX, "text", &value);
    if (rc != 0)
        return rc;
    int i = 0;
    while (i < VALUE_COUNT && strcmp(value_names[i], value) != 0)
        i++;
    if (i == VALUE_COUNT)
        return refuse(r, "type must be text, integer, number, boolean, date or timestamp");
    filter->value = (enum export_value)i;
    rc = read_ops(r, object, filter);
    return rc != 0 ? rc : read_filter_columns(r, object, filter);
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

static int read_order(struct reader *r, json_t *object, struct export_type *type)
{
    static const char *const keys[] = {"column", "direction", NULL};
    json_t *order = json_object_get(object, "order");
    if (!order)
        return 0;
    size_t back = path_to(r, ".order");
    const char *direction;
    int rc = check_object(r, order, keys);
    if (rc == 0)
        rc = read_text(r, order, "column", IDENTIFIER_MAX, NULL, &type->order_column);
    if (rc == 0)
        rc = read_text(r, order, "direction", TITLE_MAX, "ascending", &direction);
    if (rc != 0)
        return rc;
    type->descending = strcmp(direction, "descending") == 0;
    if (!type->descending && strcmp(direction, "ascending") != 0)
        return refuse(r, "direction must be ascending or descending");
    path_back(r, back);
    return 0;
}

/* A name stands in file names and messages: letters, digits, "_", "-" and ".". */
static bool is_plain_name(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")] == '\0' &&
           name[0] != '.';
}

static int read_type(struct reader *r, json_t *object, struct export_type *type)
{
    static const char *const keys[] = {"name", "title", "relation", "columns", "filters", "order", NULL};
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
    return rc != 0 ? rc : read_order(r, object, type);
}

/* ---- the whole ---- */

static int compare_types(const void *a, const void *b)
{
    return strcmp(((const struct export_type *)a)->name, ((const struct export_type *)b)->name);
}

static int read_types(struct reader *r, json_t *root, struct export_types *types)
{
    static const char *const keys[] = {"export_types", NULL};
    int rc = check_object(r, root, keys);
    if (rc != 0)
        return rc;
    json_t *array = json_object_get(root, "export_types");
    size_t back = path_to(r, "export_types");
    void *all = NULL;
    rc = read_array(r, array, 0, TYPES_MAX, sizeof *types->types, &all, &types->n_types);
    types->types = all;
    for (size_t i = 0; rc == 0 && i < types->n_types; i++) {
        size_t element = path_to(r, "[%zu]", i);
        rc = read_type(r, json_array_get(array, i), &types->types[i]);
        if (rc == 0)
            path_back(r, element);
    }
    if (rc != 0)
        return rc;
    if (types->n_types)
        qsort(types->types, types->n_types, sizeof *types->types, compare_types);
    for (size_t i = 1; i < types->n_types; i++)
        if (strcmp(types->types[i - 1].name, types->types[i].name) == 0)
            return refuse(r, "there are two export types \"%s\"", types->types[i].name);
    path_back(r, back);
    return 0;
}

static struct export_types *types_new(struct err *err)
{
    struct export_types *types = mem_zalloc(sizeof *types);
    if (types)
        arena_init(&types->arena, NULL, 0, 0);
    else
        err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    return types;
}

static int types_from_json(json_t *root, const json_error_t *fault, const char *name, struct export_types **ret,
                           struct err *ret_err)
{
    if (!root)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "EXPORT_TYPES_INVALID", "%s:%d:%d: %s", name, fault->line,
                       fault->column, fault->text);
    struct export_types *types = types_new(ret_err);
    int rc = -ERR_RESOURCE_EXHAUSTED;
    if (types) {
        struct reader r = {.arena = &types->arena, .file = name, .err = ret_err};
        rc = read_types(&r, root, types);
    }
    json_decref(root);
    if (rc != 0)
        export_types_free(types);
    else
        *ret = types;
    return rc;
}

int export_types_parse(struct span text, const char *name, struct export_types **ret, struct err *ret_err)
{
    json_error_t fault = {0};
    json_t *root = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &fault);
    return types_from_json(root, &fault, name, ret, ret_err);
}

int export_types_load(const char *path, struct export_types **ret, struct err *ret_err)
{
    if (!path || !path[0]) {
        struct export_types *none = types_new(ret_err);
        if (!none)
            return -ERR_RESOURCE_EXHAUSTED;
        *ret = none;
        return 0;
    }
    json_error_t fault = {0};
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &fault);
    if (!root && fault.line < 0) /* not a fault of the text: the file cannot be read */
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "EXPORT_TYPES_INVALID", "cannot read the export types: %s",
                       fault.text);
    return types_from_json(root, &fault, path, ret, ret_err);
}

void export_types_free(struct export_types *types)
{
    if (!types)
        return;
    arena_done(&types->arena);
    mem_free(types);
}

size_t export_types_count(const struct export_types *types)
{
    return types->n_types;
}

const struct export_type *export_types_at(const struct export_types *types, size_t i)
{
    return &types->types[i];
}

const struct export_type *export_types_find(const struct export_types *types, struct span name)
{
    for (size_t i = 0; i < types->n_types; i++)
        if (span_eq(name, span_str(types->types[i].name)))
            return &types->types[i];
    return NULL;
}
