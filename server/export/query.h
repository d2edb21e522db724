/* From a type and a request to SQL text. Pure; any thread; may be driven by a fuzzer as it is. Never SQL from a caller:
 * identifiers come from the type, values are validated against their declared type and quoted. */
#ifndef EXPORT_QUERY_H
#define EXPORT_QUERY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "export/request.h"
#include "export/types.h"

enum { EXPORT_ESTIMATE_MIN = 100000, EXPORT_NAMES_ROOM = 130 };

enum export_query_kind {
    EXPORT_QUERY_ROWS,   /* SELECT columns ... ORDER BY */
    EXPORT_QUERY_COUNT,  /* SELECT count(*) ... */
    EXPORT_QUERY_NO_ROWS /* the columns, of no row: to learn their types */
};

/* A request that has been held against its type. Borrows both. */
struct export_query {
    const struct export_type *type;
    const struct export_request *request;
    const struct export_column *const *columns; /* of the file */
    size_t n_columns;
    const struct export_order *order; /* of the request, or of the type */
    size_t n_order;
    const bool *as_json; /* by column: let the database make JSON of it; NULL: of none */
};

/* Checks filters, columns and order against the type. The array of columns goes into arena. 0; -INVALID_ARGUMENT with
 * the path of the field at fault ("filters[0].values[2]"), in the words of StartExportRequest; -RESOURCE_EXHAUSTED:
 * out of memory. */
int export_query_plan(const struct export_type *type, const struct export_request *request, struct arena *arena,
                      struct export_query *ret, struct err *ret_err);
/* Appends the SQL of a planned query; look at out->failed. */
void export_query_sql(const struct export_query *query, enum export_query_kind kind, struct buf *out);
/* Is the query of a whole relation, so that the database's own statistics tell about how many rows there will be? */
bool export_query_is_whole(const struct export_query *query);
/* Appends SQL that gives about how many rows the relation has, of one row and one bigint; -1 when that is not known, or
 * when they are few enough to be counted: a table below EXPORT_ESTIMATE_MIN rows, never analyzed, with heirs or
 * row-level security, or no table at all. */
void export_query_estimate_sql(const struct export_query *query, struct buf *out);
/* Adds a name to those that there are, for a refusal: "a, b, c"; what does not fit is "…". names is "" at first. */
void export_names_add(char names[EXPORT_NAMES_ROOM], const char *name);

#endif
