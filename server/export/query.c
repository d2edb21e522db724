/* SQL of an export. Pure: what is asked of PostgreSQL is decided here and nowhere else. A plan is checked before its
 * SQL is written. */
#include "export/query.h"

#include <stdio.h>
#include <string.h>

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

void export_names_add(char names[EXPORT_NAMES_ROOM], const char *name)
{
    size_t len = strlen(names), left = EXPORT_NAMES_ROOM - len;
    if (len >= 3 && strcmp(names + len - 3, "…") == 0)
        return;
    if (strlen(name) + sizeof ", , …" > left)
        snprintf(names + len, left, "%s…", len ? ", " : "");
    else
        snprintf(names + len, left, "%s%s", len ? ", " : "", name);
}

static int refuse_name(const char *field, const struct export_type *type, const char *kind, struct span name,
                       const char *names, struct err *err)
{
    return err_field(err, field, "export type \"%.40s\" has no %s \"%.*s\"; it has %s", type->name, kind,
                     (int)(name.len < 40 ? name.len : 40), name.data ? name.data : "", *names ? names : "none");
}

static int refuse_filter(const struct export_type *type, struct span name, size_t index, struct err *err)
{
    char field[64], names[EXPORT_NAMES_ROOM] = "";
    snprintf(field, sizeof field, "filters[%zu].field", index);
    for (size_t i = 0; i < type->n_filters; i++)
        export_names_add(names, type->filters[i].field);
    return refuse_name(field, type, "filter", name, names, err);
}

static int refuse_operator(const struct export_filter_type *granted, enum export_op op, size_t index, struct err *err)
{
    char field[64], names[EXPORT_NAMES_ROOM] = "";
    snprintf(field, sizeof field, "filters[%zu].operator", index);
    if ((int)op < 0 || (int)op >= EXPORT_OP_COUNT)
        return err_field(err, field, "there is no operator %d", (int)op);
    for (size_t i = 0; i < granted->n_ops; i++)
        export_names_add(names, export_op_name(granted->ops[i]));
    return err_field(err, field, "filter \"%.60s\" does not take operator %s; it takes %s", granted->field,
                     export_op_name(op), names);
}

static int refuse_column(const char *field, const struct export_type *type, struct span name, struct err *err)
{
    char names[EXPORT_NAMES_ROOM] = "";
    for (size_t i = 0; i < type->n_columns; i++)
        export_names_add(names, type->columns[i].name);
    return refuse_name(field, type, "column", name, names, err);
}

static int check_values(const struct export_filter_type *granted, enum export_op op, const struct export_filter *filter,
                        size_t index, struct err *err)
{
    char field[64];
    size_t max = op == EXPORT_OP_IN ? EXPORT_VALUES_MAX : op == EXPORT_OP_BETWEEN ? 2 : 1;
    if (filter->n_values < (op == EXPORT_OP_BETWEEN ? 2 : 1) || filter->n_values > max) {
        snprintf(field, sizeof field, "filters[%zu].values", index);
        return err_field(err, field,
                         max == 1   ? "%s needs exactly one value"
                         : max == 2 ? "%s needs exactly two values"
                                    : "%s needs 1 to 100 values",
                         export_op_name(op));
    }
    for (size_t i = 0; i < filter->n_values; i++) {
        const char *fault = NULL;
        if (filter->values[i].len > EXPORT_VALUE_BYTES_MAX)
            fault = "must be at most 500 bytes";
        else if (filter->values[i].len == 0 &&
                 (op == EXPORT_OP_CONTAINS || op == EXPORT_OP_SEARCH || op == EXPORT_OP_PREFIX))
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
    const struct export_filter_type *granted = find_filter(type, filter->field);
    if (!granted)
        return refuse_filter(type, filter->field, index, err);
    enum export_op op = filter->op == EXPORT_OP_DEFAULT ? granted->ops[0] : filter->op;
    if (!grants(granted, op))
        return refuse_operator(granted, op, index, err);
    *ret_granted = granted;
    *ret_op = op;
    return check_values(granted, op, filter, index, err);
}

/* An order that was asked for; that of the type is the operator's. */
static int check_order(const struct export_type *type, const struct export_order *order, size_t index, struct err *err)
{
    char field[64];
    const struct export_column *column = export_type_column(type, order->column);
    snprintf(field, sizeof field, "order[%zu].column", index);
    if (!column)
        return refuse_column(field, type, order->column, err);
    if (!column->sortable)
        return err_field(err, field, "rows cannot be ordered by \"%s\"", column->name);
    return 0;
}

static int plan_columns(const struct export_type *type, const struct export_request *request, struct arena *arena,
                        struct export_query *ret, struct err *err)
{
    size_t n = request->n_columns ? request->n_columns : type->n_columns;
    if (n > EXPORT_COLUMNS_MAX)
        return err_field(err, "columns", "at most %d columns", EXPORT_COLUMNS_MAX);
    const struct export_column **columns = arena_alloc(arena, n * sizeof *columns);
    if (!columns)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        char field[64];
        snprintf(field, sizeof field, "columns[%zu]", i);
        columns[i] = request->n_columns ? export_type_column(type, request->columns[i]) : &type->columns[i];
        if (request->n_columns && !columns[i])
            return refuse_column(field, type, request->columns[i], err);
        for (size_t k = 0; k < i; k++)
            if (columns[k] == columns[i])
                return err_field(err, field, "column \"%s\" occurs twice", columns[i]->name);
    }
    ret->columns = columns;
    ret->n_columns = n;
    return 0;
}

int export_query_plan(const struct export_type *type, const struct export_request *request, struct arena *arena,
                      struct export_query *ret, struct err *ret_err)
{
    struct export_query query = {.type = type,
                                 .request = request,
                                 .order = request->n_order ? request->order : type->order,
                                 .n_order = request->n_order ? request->n_order : type->n_order};
    if (request->n_filters > EXPORT_FILTERS_MAX)
        return err_field(ret_err, "filters", "at most %d filters", EXPORT_FILTERS_MAX);
    if (request->n_order > EXPORT_ORDERS_MAX)
        return err_field(ret_err, "order", "at most %d columns", EXPORT_ORDERS_MAX);
    int rc = plan_columns(type, request, arena, &query, ret_err);
    for (size_t i = 0; rc == 0 && i < request->n_filters; i++) {
        const struct export_filter_type *granted;
        enum export_op op;
        rc = check_filter(type, &request->filters[i], i, &granted, &op, ret_err);
    }
    for (size_t i = 0; rc == 0 && i < request->n_order; i++)
        rc = check_order(type, &request->order[i], i, ret_err);
    if (rc == 0)
        *ret = query;
    return rc;
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

enum bound { AT_LEAST, AT_MOST, GREATER, LESS };

static void add_value(struct buf *out, const struct export_filter_type *granted, struct span value)
{
    if (granted->value == EXPORT_VALUE_NUMBER && granted->columns[0].is_real)
        export_real_literal(out, value);
    else
        export_value_literal(out, granted->value, value);
}

/* A date stands for its whole day, also where the column holds times. */
static void add_bound(struct buf *out, const struct export_filter_type *granted, enum bound bound, struct span value)
{
    static const char *const signs[] = {" >= ", " <= ", " > ", " < "};
    bool next_day = granted->value == EXPORT_VALUE_DATE && (bound == AT_MOST || bound == GREATER);
    add_column(out, granted, &granted->columns[0]);
    buf_add_str(out, !next_day ? signs[bound] : bound == AT_MOST ? " < (" : " >= (");
    add_value(out, granted, value);
    buf_add_str(out, next_day ? " + 1)" : "");
}

static void add_between(struct buf *out, const struct export_filter_type *granted, struct span from, struct span to)
{
    buf_add_char(out, '(');
    add_bound(out, granted, AT_LEAST, from);
    buf_add_str(out, " AND ");
    add_bound(out, granted, AT_MOST, to);
    buf_add_char(out, ')');
}

static void add_equals(struct buf *out, const struct export_filter_type *granted, struct span value)
{
    if (granted->value == EXPORT_VALUE_DATE) {
        add_between(out, granted, value, value);
        return;
    }
    add_column(out, granted, &granted->columns[0]);
    buf_add_str(out, " = ");
    add_value(out, granted, value);
}

/* Part of the text of any of the columns, or its beginning. */
static void add_like(struct buf *out, const struct export_filter_type *granted, bool prefix, struct span value)
{
    for (size_t i = 0; i < granted->n_columns; i++) {
        if (i)
            buf_add_str(out, " OR ");
        add_column(out, granted, &granted->columns[i]);
        buf_add_str(out, prefix ? " LIKE " : " ILIKE ");
        export_like_literal(out, value, prefix);
    }
}

/* The expression that an index must have; docs/exports.md shows it. */
static void add_full_text(struct buf *out, const struct export_filter_type *granted, struct span value)
{
    buf_add_str(out, "to_tsvector(");
    export_text_literal(out, span_str(granted->full_text));
    buf_add_str(out, "::regconfig, ");
    for (size_t i = 0; i < granted->n_columns; i++) {
        buf_add_str(out, i ? " || ' ' || coalesce(" : "coalesce(");
        add_column(out, granted, &granted->columns[i]);
        buf_add_str(out, ", '')");
    }
    buf_add_str(out, ") @@ websearch_to_tsquery(");
    export_text_literal(out, span_str(granted->full_text));
    buf_add_str(out, "::regconfig, ");
    export_text_literal(out, value);
    buf_add_char(out, ')');
}

static void add_condition(struct buf *out, const struct export_filter_type *granted, enum export_op op,
                          const struct export_filter *filter)
{
    switch (op) {
    case EXPORT_OP_AT_LEAST:
    case EXPORT_OP_AT_MOST:
        add_bound(out, granted, op == EXPORT_OP_AT_MOST ? AT_MOST : AT_LEAST, filter->values[0]);
        break;
    case EXPORT_OP_GREATER:
    case EXPORT_OP_LESS:
        add_bound(out, granted, op == EXPORT_OP_LESS ? LESS : GREATER, filter->values[0]);
        break;
    case EXPORT_OP_BETWEEN:
        add_between(out, granted, filter->values[0], filter->values[1]);
        break;
    case EXPORT_OP_SEARCH:
        if (granted->full_text) {
            add_full_text(out, granted, filter->values[0]);
            break;
        }
        /* fall through */
    case EXPORT_OP_CONTAINS:
    case EXPORT_OP_PREFIX:
        add_like(out, granted, op == EXPORT_OP_PREFIX, filter->values[0]);
        break;
    default: /* EQUALS and IN */
        for (size_t i = 0; i < filter->n_values; i++) {
            if (i)
                buf_add_str(out, " OR ");
            add_equals(out, granted, filter->values[i]);
        }
    }
}

static void add_select(const struct export_query *query, enum export_query_kind kind, struct buf *out)
{
    buf_add_str(out, kind == EXPORT_QUERY_COUNT ? "SELECT count(*)" : "SELECT ");
    for (size_t i = 0; kind != EXPORT_QUERY_COUNT && i < query->n_columns; i++) {
        bool as_json = query->as_json && query->as_json[i];
        buf_add_str(out, i ? ", " : "");
        buf_add_str(out, as_json ? "to_json(" : "");
        export_identifier(out, query->columns[i]->name);
        buf_add_str(out, as_json ? ")" : "");
    }
    buf_add_str(out, " FROM ");
    export_identifier(out, query->type->schema);
    buf_add_char(out, '.');
    export_identifier(out, query->type->table);
}

/* Owners are equal byte for byte, whatever equality the column has (citext, char(n), a nondeterministic collation, and
 * the type may be altered after it was checked). The column's own comes first, for an index on it: it takes in all that
 * are equal. */
static void add_owner(const struct export_filter_column *owner, struct span name, struct buf *out)
{
    if (owner->is_text) {
        export_identifier(out, owner->name);
        buf_add_str(out, " = ");
        export_text_literal(out, name);
        buf_add_str(out, " AND ");
    }
    export_identifier(out, owner->name);
    buf_add_str(out, "::text COLLATE \"C\" = ");
    export_text_literal(out, name);
}

static void add_conditions(const struct export_query *query, struct buf *out)
{
    const struct export_filter_column *owner = &query->type->owner_column;
    const char *before = " WHERE (";
    if (owner->name && !query->request->all_rows) {
        buf_add_str(out, before);
        add_owner(owner, query->request->rows_of, out);
        buf_add_char(out, ')');
        before = " AND (";
    }
    for (size_t i = 0; i < query->request->n_filters; i++) {
        const struct export_filter_type *granted = NULL;
        enum export_op op = EXPORT_OP_DEFAULT;
        if (check_filter(query->type, &query->request->filters[i], i, &granted, &op, NULL) != 0) {
            buf_add_str(out, " WHERE (planned, and yet wrong"); /* no SQL: the database refuses it */
            return;
        }
        buf_add_str(out, before);
        add_condition(out, granted, op, &query->request->filters[i]);
        buf_add_char(out, ')');
        before = " AND (";
    }
}

void export_query_sql(const struct export_query *query, enum export_query_kind kind, struct buf *out)
{
    add_select(query, kind, out);
    if (kind == EXPORT_QUERY_NO_ROWS) {
        buf_add_str(out, " LIMIT 0");
        return;
    }
    add_conditions(query, out);
    for (size_t i = 0; kind == EXPORT_QUERY_ROWS && i < query->n_order; i++) {
        buf_add_str(out, i ? ", " : " ORDER BY ");
        export_identifier_span(out, query->order[i].column);
        buf_add_str(out, query->order[i].descending ? " DESC" : " ASC");
    }
}

bool export_query_is_whole(const struct export_query *query)
{
    return query->request->n_filters == 0 && (!query->type->owner_column.name || query->request->all_rows);
}

/* As the planner does it: rows a page when it was analyzed, times the pages that there are now. */
void export_query_estimate_sql(const struct export_query *query, struct buf *out)
{
    buf_add_str(out, "SELECT coalesce((SELECT rows FROM (SELECT (c.reltuples / c.relpages * (pg_relation_size(c.oid) / "
                     "current_setting('block_size')::int))::bigint AS rows FROM pg_catalog.pg_class c "
                     "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ");
    export_text_literal(out, span_str(query->type->schema));
    buf_add_str(out, " AND c.relname = ");
    export_text_literal(out, span_str(query->type->table));
    buf_add_str(out, " AND c.relkind IN ('r', 'm') AND NOT c.relhassubclass AND NOT c.relrowsecurity AND c.relpages > 0"
                     " AND c.reltuples > 0) about WHERE rows >= ");
    buf_printf(out, "%d), -1)", EXPORT_ESTIMATE_MIN);
}
