/* Holds the operator's export types against the database; see check.h. */
#include "export/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "export/query.h"
#include "export/sql_text.h"
#include "pg/pg.h"

/* How long a check waits for the lock of a relation, and for those after the first that took so long. */
#define WAIT_SQL  "SET lock_timeout = '1s'; SET statement_timeout = '10s'"
#define HURRY_SQL "SET lock_timeout = '100ms'"
enum { CONNECT_MS = 5000 };

struct checker {
    const struct export_check *how;
    bool hurries;     /* a lock has been waited for */
    int64_t until_ms; /* connecting is tried */
    struct pg_conn *pg;
    struct pg_params params;
    struct err *err;
    const char *uri;     /* of pg */
    const char *away[8]; /* databases that could not be reached: each costs seconds, so they are not tried again */
    size_t n_away;
};

enum {
    OID_BOOL = 16,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_DATE = 1082,
    OID_TIMESTAMP = 1114,
    OID_TIMESTAMPTZ = 1184,
    OID_NUMERIC = 1700,
    OID_JSONB = 3802
};

enum export_value export_value_of_oid(uint32_t oid)
{
    switch (oid) {
    case OID_BOOL:
        return EXPORT_VALUE_BOOLEAN;
    case OID_INT8:
    case OID_INT2:
    case OID_INT4:
    case OID_OID:
        return EXPORT_VALUE_INTEGER;
    case OID_FLOAT4:
    case OID_FLOAT8:
    case OID_NUMERIC:
        return EXPORT_VALUE_NUMBER;
    case OID_DATE:
        return EXPORT_VALUE_DATE;
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ:
        return EXPORT_VALUE_TIMESTAMP;
    case OID_JSON:
    case OID_JSONB:
        return EXPORT_VALUE_JSON;
    default:
        return EXPORT_VALUE_TEXT;
    }
}

bool export_oid_is_float(uint32_t oid)
{
    return oid == OID_FLOAT4 || oid == OID_FLOAT8;
}

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

/* What is known of a column. */
struct column_facts {
    bool is_text, is_real;
    enum export_value value;
};

static int check_column(struct checker *c, const struct export_type *type, const char *column,
                        struct column_facts *ret_facts)
{
    struct pg_result *r = ask(c, EXPORT_SQL_COLUMN_CHECK, type, column);
    if (!r)
        return -(int)c->err->code;
    bool there = pg_rows(r) == 1;
    bool is_text = there && pg_int(r, 0, 0) != 0;
    bool is_real = there && pg_int(r, 0, 2) == OID_FLOAT4;
    bool readable = there && pg_int(r, 0, 1) != 0;
    enum export_value value = there ? export_value_of_oid((uint32_t)pg_int(r, 0, 2)) : EXPORT_VALUE_UNKNOWN;
    if (there && (pg_int(r, 0, 3) == 'A' || pg_int(r, 0, 4) == 'c'))
        value = EXPORT_VALUE_JSON; /* arrays and rows, where the format has them */
    pg_free(r);
    if (!there)
        return refuse(c, type, "relation %s.%s has no column \"%s\"", type->schema, type->table, column);
    if (!readable)
        return refuse(c, type, "no right to read column \"%s\" of %s.%s", column, type->schema, type->table);
    *ret_facts = (struct column_facts){is_text, is_real, value};
    return 0;
}

static int check_filter(struct checker *c, const struct export_type *type, struct export_filter_type *filter)
{
    struct column_facts facts = {0};
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < filter->n_columns; k++) {
        rc = check_column(c, type, filter->columns[k].name, &facts);
        if (rc == 0) {
            filter->columns[k].is_text = facts.is_text;
            filter->columns[k].is_real = facts.is_real;
        }
    }
    if (rc != 0 || !filter->full_text)
        return rc;
    pg_params_clear(&c->params);
    pg_add_text(&c->params, span_str(filter->full_text));
    struct pg_result *r = pg_run(c->pg, export_sql_texts[EXPORT_SQL_SEARCH_CHECK].name, &c->params, c->err);
    if (!r)
        return -(int)c->err->code;
    bool there = pg_int(r, 0, 0) == 1;
    pg_free(r);
    return there ? 0
                 : refuse(c, type, "filter \"%s\": there is no text search configuration \"%s\"", filter->field,
                          filter->full_text);
}

/* ---- what the database makes of the queries ---- */

/* Lets the database look at a query, which it does not run. 0 or -code. */
static int try_query(struct checker *c, const struct export_type *type, const struct export_request *request)
{
    struct arena arena;
    struct export_query query;
    struct buf sql = BUF_INIT;
    arena_init(&arena, NULL, 0, 0);
    int rc = export_query_plan(type, request, &arena, &query, c->err);
    if (rc == 0)
        export_query_sql(&query, EXPORT_QUERY_ROWS, &sql);
    if (rc == 0)
        rc = sql.failed ? err_set(c->err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory")
                        : pg_prepare(c->pg, "", sql.data, c->err);
    buf_done(&sql);
    arena_done(&arena);
    return rc;
}

/* Such as a day compared with a number. */
static int try_filter(struct checker *c, const struct export_type *type, const struct export_filter_type *filter)
{
    static const char *const samples[] = {
        [EXPORT_VALUE_TEXT] = "x",          [EXPORT_VALUE_INTEGER] = "1",
        [EXPORT_VALUE_NUMBER] = "1",        [EXPORT_VALUE_BOOLEAN] = "true",
        [EXPORT_VALUE_DATE] = "2026-01-31", [EXPORT_VALUE_TIMESTAMP] = "2026-01-31T12:00:00Z"};
    struct span values[] = {span_str(samples[filter->value]), span_str(samples[filter->value])};
    for (size_t i = 0; i < filter->n_ops; i++) {
        struct export_filter asked = {.field = span_str(filter->field),
                                      .op = filter->ops[i],
                                      .values = values,
                                      .n_values = filter->ops[i] == EXPORT_OP_BETWEEN ? 2 : 1};
        struct export_request request = {.filters = &asked, .n_filters = 1, .all_rows = true};
        int rc = try_query(c, type, &request);
        if (export_check_is_temporary(rc))
            return rc;
        if (rc != 0)
            return refuse(c, type, "filter \"%.60s\": column \"%.60s\" cannot be compared as %s by %s", filter->field,
                          filter->columns[0].name, export_value_name(filter->value), export_op_name(filter->ops[i]));
    }
    return 0;
}

/* Some types, such as json, have no order: callers are not offered one. */
static int try_order(struct checker *c, const struct export_type *type, struct export_column *column)
{
    struct export_order order = {.column = span_str(column->name)};
    struct export_request request = {.order = &order, .n_order = 1, .all_rows = true};
    if (!column->sortable || (column->actual != EXPORT_VALUE_JSON && column->actual != EXPORT_VALUE_TEXT))
        return 0;
    pg_expect(c->pg, "42883"); /* no operator to order by */
    int rc = try_query(c, type, &request);
    pg_expect(c->pg, NULL);
    if (export_check_is_temporary(rc))
        return rc;
    column->sortable = rc == 0;
    *c->err = ERR_NONE;
    return 0;
}

static int try_queries(struct checker *c, struct export_type *type)
{
    int rc = try_query(c, type, &(struct export_request){.rows_of = SPAN_LIT("x")});
    if (rc != 0 && !export_check_is_temporary(rc))
        return refuse(c, type, "the database refuses to read %.60s.%.60s%s: its words are in the log", type->schema,
                      type->table, type->n_order > 0 ? " in the order of \"order\"" : "");
    for (size_t i = 0; rc == 0 && i < type->n_filters; i++)
        rc = try_filter(c, type, &type->filters[i]);
    for (size_t i = 0; rc == 0 && i < type->n_columns; i++)
        rc = try_order(c, type, &type->columns[i]);
    return rc;
}

static int check_type(struct checker *c, struct export_type *type)
{
    struct pg_result *r = ask(c, EXPORT_SQL_RELATION_CHECK, type, NULL);
    if (!r)
        return -(int)c->err->code;
    bool there = pg_int(r, 0, 0) == 1;
    pg_free(r);
    if (!there)
        return refuse(c, type, "there is no relation %s.%s", type->schema, type->table);
    int rc = 0;
    struct column_facts facts = {0};
    for (size_t i = 0; rc == 0 && i < type->n_columns; i++) {
        struct export_column *column = &type->columns[i];
        rc = check_column(c, type, column->name, &facts);
        column->actual = column->value != EXPORT_VALUE_UNKNOWN ? column->value : facts.value;
    }
    for (size_t i = 0; rc == 0 && i < type->n_filters; i++)
        rc = check_filter(c, type, &type->filters[i]);
    for (size_t i = 0; rc == 0 && i < type->n_order; i++) {
        char column[64];
        snprintf(column, sizeof column, "%.*s", (int)type->order[i].column.len, type->order[i].column.data);
        rc = check_column(c, type, column, &facts);
    }
    if (rc == 0 && type->owner_column.name) {
        rc = check_column(c, type, type->owner_column.name, &facts);
        type->owner_column.is_text = facts.is_text;
    }
    return rc == 0 ? try_queries(c, type) : rc;
}

/* ---- the whole ---- */

/* Of who connects. A URI may say that connecting takes long. */
static bool goes_on(void *user)
{
    struct checker *c = user;
    return export_halt_use(c->how->halt, -1) && clock_mono_ms() < c->until_ms;
}

static void disconnect(struct checker *c)
{
    export_halt_use(c->how->halt, -1);
    pg_close(c->pg);
    c->pg = NULL;
}

/* The connection to the database of a type. */
static int connect_for(struct checker *c, const struct export_type *type)
{
    static const enum export_sql_id ids[] = {EXPORT_SQL_RELATION_CHECK, EXPORT_SQL_COLUMN_CHECK,
                                             EXPORT_SQL_SEARCH_CHECK};
    const char *wanted = type->database ? type->database : c->how->uri;
    if (c->pg && strcmp(c->uri, wanted) == 0)
        return 0;
    for (size_t i = 0; i < c->n_away; i++)
        if (strcmp(c->away[i], wanted) == 0)
            return err_set(c->err, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database cannot be reached");
    disconnect(c);
    c->uri = wanted;
    c->until_ms = clock_mono_ms() + CONNECT_MS;
    int rc = pg_open_while(wanted, "joblogd export types", goes_on, c, &c->pg, c->err);
    if (rc == -ERR_CANCELLED)
        rc = err_set(c->err, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE", "the database does not answer");
    if (rc == 0 && !export_halt_use(c->how->halt, pg_socket(c->pg))) /* the caller looks whether it was stopped */
        return -ERR_CANCELLED;
    if (rc == 0)
        rc = pg_exec(c->pg, c->hurries ? WAIT_SQL ";" HURRY_SQL : WAIT_SQL, c->err);
    for (size_t i = 0; rc == 0 && i < sizeof ids / sizeof ids[0]; i++)
        rc = pg_prepare(c->pg, export_sql_texts[ids[i]].name, export_sql_texts[ids[i]].text, c->err);
    return rc;
}

bool export_check_is_temporary(int rc)
{
    return rc == -ERR_UNAVAILABLE || rc == -ERR_RESOURCE_EXHAUSTED || rc == -ERR_ABORTED ||
           rc == -ERR_DEADLINE_EXCEEDED;
}

/* A database of another's that is away, or somebody's lock on a table, must not keep this server from its work: an
 * export of the type fails until that is over, and PostgreSQL itself then says whether the columns are there. True: the
 * type stays unchecked. */
static bool let_pass(struct checker *c, const struct export_type *type, int rc)
{
    bool waited = rc == -ERR_ABORTED || rc == -ERR_DEADLINE_EXCEEDED;
    if (!export_check_is_temporary(rc) || (!waited && !type->database))
        return false;
    log_write(c->how->again ? LOG_DEBUG : LOG_WARNING, "export type not checked yet type=%s why=\"%s\"", type->name,
              c->err->msg);
    if (waited) {
        c->hurries = true;
        waited = pg_exec(c->pg, HURRY_SQL, c->err) == 0;
    }
    if (!waited) {
        disconnect(c);
        if (type->database && c->n_away < sizeof c->away / sizeof c->away[0])
            c->away[c->n_away++] = type->database;
    }
    *c->err = ERR_NONE;
    return true;
}

int export_types_check(struct export_types *types, const struct export_check *check, size_t *ret_unchecked,
                       struct err *ret_err)
{
    struct err err = ERR_NONE;
    struct checker c = {.how = check, .err = ret_err ? ret_err : &err};
    size_t n_unchecked = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < export_types_count(types); i++) {
        struct export_type *type = export_types_unshared(types, i);
        rc = connect_for(&c, type);
        if (rc == 0)
            rc = check_type(&c, type);
        if (!export_halt_use(check->halt, c.pg ? pg_socket(c.pg) : -1))
            rc = err_set(c.err, ERR_CANCELLED, NULL, "the check was given up");
        if (let_pass(&c, type, rc)) {
            n_unchecked++;
            rc = 0;
        }
    }
    pg_params_done(&c.params);
    disconnect(&c);
    if (rc == 0 && ret_unchecked)
        *ret_unchecked = n_unchecked;
    return rc;
}
