/* SQL of an export. Pure: what is asked of PostgreSQL is decided here and nowhere else. */
#include "export/query.h"

#include <stdio.h>

#include "export/value.h"

static const struct export_filter_type *find_filter(const struct export_type *type, struct span field)
{
    for (size_t i = 0; i < type->n_filters; i++)
        if (span_eq(field, span_str(type->filters[i].field)))
            return &type->filters[i];
    return NULL;
}

static bool grants(const struct export_filter_type *granted, enum export_op op)
{
    for (size_t i = 0; i < granted->n_ops; i++)
        if (granted->ops[i] == op)
            return true;
    return false;
}

/* ---- checks ---- */

static int check_values(const struct export_filter_type *granted, enum export_op op, const struct export_filter *filter,
                        size_t index, struct err *err)
{
    char field[64];
    size_t max = op == EXPORT_OP_IN ? EXPORT_VALUES_MAX : 1;
    if (filter->n_values == 0 || filter->n_values > max) {
        snprintf(field, sizeof field, "filters[%zu].values", index);
        return err_field(err, field, max == 1 ? "%s needs exactly one value" : "%s needs 1 to 100 values",
                         export_op_name(op));
    }
    for (size_t i = 0; i < filter->n_values; i++) {
        const char *fault = NULL;
        if (filter->values[i].len > EXPORT_VALUE_BYTES_MAX)
            fault = "must be at most 500 bytes";
        else if (filter->values[i].len == 0 && (op == EXPORT_OP_CONTAINS || op == EXPORT_OP_SEARCH))
            fault = "must not be empty: leave the filter out";
        else
            fault = export_value_fault(granted->value, filter->values[i]);
        if (fault) {
            snprintf(field, sizeof field, "filters[%zu].values[%zu]", index, i);
            return err_field(err, field, "%s", fault);
        }
    }
    return 0;
}

/* Finds what the type grants for a filter, and the operator meant. */
static int check_filter(const struct export_type *type, const struct export_filter *filter, size_t index,
                        const struct export_filter_type **ret_granted, enum export_op *ret_op, struct err *err)
{
    char field[64];
    const struct export_filter_type *granted = find_filter(type, filter->field);
    if (!granted) {
        snprintf(field, sizeof field, "filters[%zu].field", index);
        return err_field(err, field, "export type \"%s\" has no filter \"%.*s\"", type->name,
                         (int)(filter->field.len < 60 ? filter->field.len : 60),
                         filter->field.data ? filter->field.data : "");
    }
    enum export_op op = filter->op == EXPORT_OP_DEFAULT ? granted->ops[0] : filter->op;
    if (!grants(granted, op)) {
        snprintf(field, sizeof field, "filters[%zu].operator", index);
        if ((int)op < 0 || (int)op >= EXPORT_OP_COUNT)
            return err_field(err, field, "there is no operator %d", (int)op);
        return err_field(err, field, "filter \"%s\" does not take operator %s", granted->field, export_op_name(op));
    }
    *ret_granted = granted;
    *ret_op = op;
    return check_values(granted, op, filter, index, err);
}

/* ---- text ---- */

/* The column, as a text where the comparison is one of texts. */
static void add_column(struct buf *out, const struct export_filter_type *granted,
                       const struct export_filter_column *column)
{
    export_identifier(out, column->name);
    if (granted->value == EXPORT_VALUE_TEXT && !column->is_text)
        buf_add_str(out, "::text");
}

/* A date stands for its whole day, also where the column holds times. */
static void add_bound(struct buf *out, const struct export_filter_type *granted, bool upper, struct span value)
{
    bool day = granted->value == EXPORT_VALUE_DATE && upper;
    add_column(out, granted, &granted->columns[0]);
    buf_add_str(out, day ? " < (" : upper ? " <= " : " >= ");
    export_value_literal(out, granted->value, value);
    if (day)
        buf_add_str(out, " + 1)");
}

static void add_equals(struct buf *out, const struct export_filter_type *granted, struct span value)
{
    if (granted->value == EXPORT_VALUE_DATE) {
        buf_add_char(out, '(');
        add_bound(out, granted, false, value);
        buf_add_str(out, " AND ");
        add_bound(out, granted, true, value);
        buf_add_char(out, ')');
        return;
    }
    add_column(out, granted, &granted->columns[0]);
    buf_add_str(out, " = ");
    export_value_literal(out, granted->value, value);
}

static void add_condition(struct buf *out, const struct export_filter_type *granted, enum export_op op,
                          const struct export_filter *filter)
{
    switch (op) {
    case EXPORT_OP_AT_LEAST:
    case EXPORT_OP_AT_MOST:
        add_bound(out, granted, op == EXPORT_OP_AT_MOST, filter->values[0]);
        break;
    case EXPORT_OP_CONTAINS:
    case EXPORT_OP_SEARCH:
        for (size_t i = 0; i < granted->n_columns; i++) {
            if (i)
                buf_add_str(out, " OR ");
            add_column(out, granted, &granted->columns[i]);
            buf_add_str(out, " ILIKE ");
            export_like_literal(out, filter->values[0]);
        }
        break;
    default: /* EQUALS and IN */
        for (size_t i = 0; i < filter->n_values; i++) {
            if (i)
                buf_add_str(out, " OR ");
            add_equals(out, granted, filter->values[i]);
        }
    }
}

static void add_select(const struct export_type *type, enum export_query kind, struct buf *out)
{
    buf_add_str(out, "SELECT ");
    if (kind == EXPORT_QUERY_COUNT)
        buf_add_str(out, "count(*)");
    for (size_t i = 0; kind == EXPORT_QUERY_ROWS && i < type->n_columns; i++) {
        if (i)
            buf_add_str(out, ", ");
        export_identifier(out, type->columns[i].name);
    }
    buf_add_str(out, " FROM ");
    export_identifier(out, type->schema);
    buf_add_char(out, '.');
    export_identifier(out, type->table);
}

int export_query_build(const struct export_type *type, const struct export_filter *filters, size_t n_filters,
                       enum export_query kind, struct buf *out, struct err *ret_err)
{
    if (n_filters > EXPORT_FILTERS_MAX)
        return err_field(ret_err, "filters", "at most %d filters", EXPORT_FILTERS_MAX);
    add_select(type, kind, out);
    for (size_t i = 0; i < n_filters; i++) {
        const struct export_filter_type *granted = NULL;
        enum export_op op = EXPORT_OP_DEFAULT;
        int rc = check_filter(type, &filters[i], i, &granted, &op, ret_err);
        if (rc < 0)
            return rc;
        buf_add_str(out, i ? " AND (" : " WHERE (");
        add_condition(out, granted, op, &filters[i]);
        buf_add_char(out, ')');
    }
    if (kind == EXPORT_QUERY_ROWS && type->order_column) {
        buf_add_str(out, " ORDER BY ");
        export_identifier(out, type->order_column);
        buf_add_str(out, type->descending ? " DESC" : " ASC");
    }
    return out->failed ? err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory") : 0;
}

void export_query_titles(const struct export_type *type, struct buf *out)
{
    for (size_t i = 0; i < type->n_columns; i++) {
        const char *title = type->columns[i].title;
        if (i)
            buf_add_char(out, ',');
        if (!strpbrk(title, ",\"\r\n")) {
            buf_add_str(out, title);
            continue;
        }
        export_identifier(out, title); /* the same quotes */
    }
    buf_add_str(out, "\r\n");
}
