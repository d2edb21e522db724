/* From rows as PostgreSQL copies them out to the bytes of a file: CSV, JSON Lines, XLSX. One thread; no database;
 * memory that does not grow with the rows. */
#ifndef EXPORT_FORMAT_H
#define EXPORT_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "export/out.h"
#include "export/request.h"

/* A column of the file. Texts are kept by the encoder. */
struct export_field {
    const char *name, *title, *format;
    enum export_value value; /* what it holds; not UNKNOWN */
    /* Its text may be a caller's: may begin with "=" or the like. Numbers, times and so on may not. */
    bool is_free_text;
    bool is_float; /* of float4 or float8: a cell of a spreadsheet holds it whole, however many digits it has */
};

struct export_encoder {
    int64_t cut_cells; /* texts that had to be cut so far */
    /* Each 0, or -1 as the output gave. row: a line of COPY in the form that export_copy_options asks for. */
    int (*begin)(struct export_encoder *encoder);
    int (*row)(struct export_encoder *encoder, struct span row);
    int (*end)(struct export_encoder *encoder);
    void (*free)(struct export_encoder *encoder);
};

/* request: format and its options; title: of the type. All kept, as are fields and out. Gives *ret
 * (export_encoder_free). */
int export_encoder_new(const struct export_request *request, const char *title, const struct export_field *fields,
                       size_t n_fields, struct export_out *out, struct export_encoder **ret, struct err *ret_err);
void export_encoder_free(struct export_encoder *encoder); /* takes NULL */

/* Appends what stands behind WITH in the COPY that feeds the encoder. */
void export_copy_options(const struct export_request *request, struct buf *out);

#endif
