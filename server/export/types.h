/* The exports that there are: types declared by the operator in a JSON file, not in code, and the built-in "jobs". A
 * set of types is constant once it has been checked, counted, and used by any thread. No database here:
 * export_types_check (check.h) holds them against one. See docs/exports.md for the file. */
#ifndef EXPORT_TYPES_H
#define EXPORT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "core/identity.h"

struct export_types;

enum { EXPORT_ORDERS_MAX = 5 };

/* Numbers equal those of joblog.v1.FilterOperator. */
enum export_op {
    EXPORT_OP_DEFAULT = 0, /* the first that the type grants for the field */
    EXPORT_OP_EQUALS = 1,
    EXPORT_OP_IN = 2,
    EXPORT_OP_CONTAINS = 3,
    EXPORT_OP_AT_LEAST = 4,
    EXPORT_OP_AT_MOST = 5,
    EXPORT_OP_SEARCH = 6,
    EXPORT_OP_BETWEEN = 7,
    EXPORT_OP_PREFIX = 8,
    EXPORT_OP_GREATER = 9,
    EXPORT_OP_LESS = 10
};
enum { EXPORT_OP_COUNT = 11 };

/* What a filter's values must be, and how they are compared; what a column holds. Numbers equal those of
 * joblog.v1.ExportValueType. */
enum export_value {
    EXPORT_VALUE_UNKNOWN = 0, /* of a column: as the database says */
    EXPORT_VALUE_TEXT = 1,
    EXPORT_VALUE_INTEGER = 2,
    EXPORT_VALUE_NUMBER = 3,
    EXPORT_VALUE_BOOLEAN = 4,
    EXPORT_VALUE_DATE = 5,      /* YYYY-MM-DD: the whole day */
    EXPORT_VALUE_TIMESTAMP = 6, /* RFC 3339 */
    EXPORT_VALUE_JSON = 7       /* of a column only */
};
enum { EXPORT_VALUE_COUNT = 8 };

struct export_column {
    const char *name, *title;
    const char *format;       /* of a spreadsheet's cells; "" for none */
    enum export_value value;  /* as declared; UNKNOWN: as the database says */
    enum export_value actual; /* the same, after export_types_check */
    bool sortable;
};

struct export_order {
    struct span column;
    bool descending;
};

/* A column that a filter looks at. */
struct export_filter_column {
    const char *name;
    /* Set by export_types_check. */
    bool is_text; /* of a text type; others are cast for text comparisons */
    bool is_real; /* a float of 32 bits: numbers are rounded as its values were */
};

struct export_filter_type {
    const char *field, *title;
    enum export_value value;
    enum export_op ops[EXPORT_OP_COUNT - 1]; /* the first is the default */
    size_t n_ops;
    struct export_filter_column *columns; /* several for SEARCH only */
    size_t n_columns;
    const char *full_text; /* text search configuration of SEARCH; NULL: SEARCH looks for a part of the text */
};

struct export_type {
    const char *name, *title, *schema, *table;
    const char *database;                     /* where its relation is; NULL: where joblogd's own tables are */
    struct export_filter_column owner_column; /* a caller gets only rows that hold its name here; name NULL: all */
    unsigned roles;                           /* mask of enum role that may run it; 0: every role */
    int64_t max_rows;                         /* 0: as many as there are */
    bool uncounted;                           /* nobody knows how many rows an export will have; no max_rows then */
    struct export_column *columns;
    size_t n_columns;
    struct export_filter_type *filters;
    size_t n_filters;
    struct export_order order[EXPORT_ORDERS_MAX]; /* none: as the rows come */
    size_t n_order;
};

/* May a caller with these roles (mask of enum role) run it, or know of it? An administrator always. */
bool export_type_allows(const struct export_type *type, unsigned roles);

/* What tells one state of a file from another; all 0: there is none. */
struct export_stamp {
    int64_t mtime_ns, size;
    uint64_t inode;
};
/* False: there is no such file. */
bool export_stamp_of(const char *path, struct export_stamp *ret);
bool export_stamp_eq(const struct export_stamp *a, const struct export_stamp *b);
/* Of the file that these types were read from, before it was read: who finds another has not read what is there. */
struct export_stamp export_types_stamp(const struct export_types *types);

/* Reads the file; path NULL or empty: the built-in types only. Gives *ret (export_types_free). 0, or
 * -FAILED_PRECONDITION with a text for the operator that names the file and the place in it
 * ("export_types[0].columns[2].name"). */
int export_types_load(const char *path, struct export_types **ret, struct err *ret_err);
/* The same from text; name stands for the file in errors. */
int export_types_parse(struct span text, const char *name, struct export_types **ret, struct err *ret_err);
/* One reference more; any thread. */
struct export_types *export_types_ref(struct export_types *types);
/* Gives a reference back; the last one frees. Takes NULL. */
void export_types_free(struct export_types *types);

/* By name; NULL when there is none. */
const struct export_type *export_types_find(const struct export_types *types, struct span name);
/* All, in the order of their names. */
size_t export_types_count(const struct export_types *types);
const struct export_type *export_types_at(const struct export_types *types, size_t i);
/* The same, to write down what the database says of it: while nobody else has the types. */
struct export_type *export_types_unshared(struct export_types *types, size_t i);
/* By name; NULL when the type has no such column. */
const struct export_column *export_type_column(const struct export_type *type, struct span name);

/* "text" and so on. */
const char *export_value_name(enum export_value value);

/* "equals" and so on; 0 (EXPORT_OP_DEFAULT) when the name is none. */
const char *export_op_name(enum export_op op);
enum export_op export_op_parse(struct span name);

#endif
