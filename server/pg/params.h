/* Parameters of a statement in PostgreSQL's binary format: scalars, and arrays that grow row by row. The memory is kept
 * from use to use. Not thread-safe. */
#ifndef PG_PARAMS_H
#define PG_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

enum { PG_PARAMS_MAX = 40 };

/* Element types, by their OIDs in pg_type. */
enum pg_type {
    PG_BYTEA = 17,
    PG_INT8 = 20,
    PG_INT2 = 21,
    PG_INT4 = 23,
    PG_TEXT = 25,
    PG_TID = 27,
    PG_FLOAT8 = 701,
    PG_TIMESTAMPTZ = 1184,
    PG_JSONB = 3802
};

struct pg_param {
    struct buf buf;
    enum pg_type type;
    int32_t n; /* elements */
    bool is_array, is_null, has_null;
};

struct pg_params {
    struct pg_param v[PG_PARAMS_MAX];
    int n;
};

/* Empties it; before the first use it must be zeroed. */
void pg_params_clear(struct pg_params *p);
void pg_params_done(struct pg_params *p);
/* An allocation failed on the way. */
bool pg_params_failed(const struct pg_params *p);

/* ---- scalars, appended as the next parameter ---- */

void pg_add_int8(struct pg_params *p, int64_t v);
void pg_add_int4(struct pg_params *p, int32_t v);
void pg_add_int2(struct pg_params *p, int16_t v);
void pg_add_time(struct pg_params *p, int64_t us);
void pg_add_place(struct pg_params *p, uint64_t place); /* tid, from pg_place */
void pg_add_text(struct pg_params *p, struct span s);
void pg_add_text_or_null(struct pg_params *p, struct span s); /* empty: NULL */
void pg_add_null(struct pg_params *p);

/* ---- arrays: declared in the order of the statement, then filled element by element ---- */

/* Types of the next parameters, all arrays; p was cleared before. */
void pg_arrays(struct pg_params *p, const enum pg_type *types, int n);
struct pg_param *pg_add_array(struct pg_params *p, enum pg_type type);

void pg_put_int8(struct pg_param *a, int64_t v);
void pg_put_int4(struct pg_param *a, int32_t v);
void pg_put_int2(struct pg_param *a, int16_t v);
void pg_put_double(struct pg_param *a, double v);
void pg_put_time(struct pg_param *a, int64_t us); /* 0: NULL */
void pg_put_place(struct pg_param *a, uint64_t place);
void pg_put_text(struct pg_param *a, struct span s);
void pg_put_text_or_null(struct pg_param *a, struct span s);
void pg_put_jsonb(struct pg_param *a, struct span s); /* empty: NULL */
void pg_put_null(struct pg_param *a);

/* Has the array, which is not empty, one value only? */
bool pg_param_is_same(const struct pg_param *a);
/* The array, which is not empty, becomes its first element. */
void pg_param_make_scalar(struct pg_param *a);

/* For pg_send: writes the headers of the arrays. */
void pg_params_finish(struct pg_params *p);

#endif
