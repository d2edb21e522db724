/* What types.c and types_read.c share. */
#ifndef EXPORT_TYPES_PRIV_H
#define EXPORT_TYPES_PRIV_H

#include <jansson.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "export/types.h"

struct export_types {
    struct arena arena;
    struct export_type *types; /* sorted by name */
    size_t n_types;
    struct export_stamp stamp;
    atomic_int refs;
};

/* Fills types from the file's JSON, and adds the types of `builtin` that the file has not. name: of the file. 0 or
 * -FAILED_PRECONDITION. */
int export_types_read(struct export_types *types, json_t *root, json_t *builtin, const char *name, struct err *ret_err);

#endif
