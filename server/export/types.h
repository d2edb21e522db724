/* The exports that there are: types declared by the operator in a JSON file, not in code. Loaded once at start,
 * constant afterwards, any thread. No database here: export_types_check (check.h) holds them against one. See
 * docs/exports.md for the file. */
#ifndef EXPORT_TYPES_H
#define EXPORT_TYPES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/span.h"

struct export_types;

/* Numbers equal those of joblog.v1.FilterOperator. */
enum export_op {
    EXPORT_OP_DEFAULT = 0, /* the first that the type grants for the field */
    EXPORT_OP_EQUALS = 1,
    EXPORT_OP_IN = 2,
    EXPORT_OP_CONTAINS = 3,
    EXPORT_OP_AT_LEAST = 4,
    EXPORT_OP_AT_MOST = 5,
    EXPORT_OP_SEARCH = 6
};
enum { EXPORT_OP_COUNT = 7 };

/* What a filter's values must be, and how they are compared. */
enum export_value {
    EXPORT_VALUE_TEXT,
    EXPORT_VALUE_INTEGER,
    EXPORT_VALUE_NUMBER,
    EXPORT_VALUE_BOOLEAN,
    EXPORT_VALUE_DATE,     /* YYYY-MM-DD: the whole day */
    EXPORT_VALUE_TIMESTAMP /* RFC 3339 */
};

struct export_column {
    const char *name, *title;
};

/* A column that a filter looks at. */
struct export_filter_column {
    const char *name;
    bool is_text; /* of a text type; others are cast for text comparisons. Set by export_types_check. */
};

struct export_filter_type {
    const char *field, *title;
    enum export_value value;
    enum export_op ops[EXPORT_OP_COUNT - 1]; /* the first is the default */
    size_t n_ops;
    struct export_filter_column *columns; /* several for SEARCH only */
    size_t n_columns;
};

struct export_type {
    const char *name, *title, *schema, *table;
    struct export_column *columns;
    size_t n_columns;
    struct export_filter_type *filters;
    size_t n_filters;
    const char *order_column; /* NULL: as the rows come */
    bool descending;
};

/* Reads the file; path NULL or empty: no types. Gives *ret (export_types_free). 0, or -FAILED_PRECONDITION with a text
 * for the operator that names the file and the place in it ("export_types[0].columns[2].name"). */
int export_types_load(const char *path, struct export_types **ret, struct err *ret_err);
/* The same from text; name stands for the file in errors. */
int export_types_parse(struct span text, const char *name, struct export_types **ret, struct err *ret_err);
void export_types_free(struct export_types *types); /* takes NULL */

/* By name; NULL when there is none. */
const struct export_type *export_types_find(const struct export_types *types, struct span name);
/* All, in the order of their names. */
size_t export_types_count(const struct export_types *types);
const struct export_type *export_types_at(const struct export_types *types, size_t i);

/* "equals" and so on; 0 (EXPORT_OP_DEFAULT) when the name is none. */
const char *export_op_name(enum export_op op);
enum export_op export_op_parse(struct span name);

#endif
