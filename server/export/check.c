/* Holds the operator's export types against the database; see check.h. */
#include "export/check.h"

#include <stdarg.h>
#include <stdio.h>

#include "export/sql_text.h"
#include "pg/pg.h"

struct checker {
    struct pg_conn *pg;
    struct pg_params params;
    struct err *err;
};

static struct pg_result *ask(struct checker *c, enum export_sql_id id, const struct export_type *type,
                             const char *column)
{
    pg_params_clear(&c->params);
    pg_add_text(&c->params, span_str(type->schema));
    pg_add_text(&c->params, span_str(type->table));
    if (column)
        pg_add_text(&c->params, span_str(column));
    return pg_run(c->pg, export_sql_texts[id].name, &c->params, c->err);
}

__attribute__((format(printf, 3, 4))) static int refuse(struct checker *c, const struct export_type *type,
                                                        const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(c->err, ERR_FAILED_PRECONDITION, "EXPORT_TYPES_INVALID", "export type \"%s\": %s", type->name, text);
}

static int check_column(struct checker *c, const struct export_type *type, const char *column, bool *ret_is_text)
{
    struct pg_result *r = ask(c, EXPORT_SQL_COLUMN_CHECK, type, column);
    if (!r)
        return -(int)c->err->code;
    bool there = pg_rows(r) == 1;
    bool is_text = there && pg_int(r, 0, 0) != 0;
    bool readable = there && pg_int(r, 0, 1) != 0;
    pg_free(r);
    if (!there)
        return refuse(c, type, "relation %s.%s has no column \"%s\"", type->schema, type->table, column);
    if (!readable)
        return refuse(c, type, "no right to read column \"%s\" of %s.%s", column, type->schema, type->table);
    if (ret_is_text)
        *ret_is_text = is_text;
    return 0;
}

static int check_type(struct checker *c, const struct export_type *type)
{
    struct pg_result *r = ask(c, EXPORT_SQL_RELATION_CHECK, type, NULL);
    if (!r)
        return -(int)c->err->code;
    bool there = pg_int(r, 0, 0) == 1;
    pg_free(r);
    if (!there)
        return refuse(c, type, "there is no relation %s.%s", type->schema, type->table);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < type->n_columns; i++)
        rc = check_column(c, type, type->columns[i].name, NULL);
    for (size_t i = 0; rc == 0 && i < type->n_filters; i++)
        for (size_t k = 0; rc == 0 && k < type->filters[i].n_columns; k++)
            rc = check_column(c, type, type->filters[i].columns[k].name, &type->filters[i].columns[k].is_text);
    if (rc == 0 && type->order_column)
        rc = check_column(c, type, type->order_column, NULL);
    return rc;
}

int export_types_check(struct export_types *types, const char *uri, struct err *ret_err)
{
    static const enum export_sql_id ids[] = {EXPORT_SQL_RELATION_CHECK, EXPORT_SQL_COLUMN_CHECK};
    struct err err = ERR_NONE;
    struct checker c = {.err = ret_err ? ret_err : &err};
    if (export_types_count(types) == 0)
        return 0;
    int rc = pg_open(uri, "joblogd export types", &c.pg, c.err);
    for (size_t i = 0; rc == 0 && i < sizeof ids / sizeof ids[0]; i++)
        rc = pg_prepare(c.pg, export_sql_texts[ids[i]].name, export_sql_texts[ids[i]].text, c.err);
    for (size_t i = 0; rc == 0 && i < export_types_count(types); i++)
        rc = check_type(&c, export_types_at(types, i));
    pg_params_done(&c.params);
    pg_close(c.pg);
    return rc;
}
