/* The encoders; see format.h. Private to server/export. */
#ifndef EXPORT_FORMAT_PRIV_H
#define EXPORT_FORMAT_PRIV_H

#include "export/format.h"

struct export_encoder *export_csv_new(const struct export_request *request, const struct export_field *fields,
                                      size_t n_fields, struct export_out *out);
struct export_encoder *export_jsonl_new(const struct export_field *fields, size_t n_fields, struct export_out *out);
struct export_encoder *export_xlsx_new(const char *title, const struct export_field *fields, size_t n_fields,
                                       struct export_out *out);
/* Sheets that end sooner, after so many rows (the titles included) or near so many bytes, and ZIP64 from such an offset
 * on: for tests. Before encoder->begin. */
void export_xlsx_limit(struct export_encoder *encoder, unsigned sheet_rows, uint64_t sheet_bytes, uint64_t zip64_from);

/* A field of a line of COPY's text format. Moves *at behind the field's tab or to end. True: it is not NULL, *ret is
 * its text as escaped by COPY. */
static inline bool export_copy_field(const char **at, const char *end, struct span *ret)
{
    const char *from = *at;
    const char *tab = memchr(from, '\t', (size_t)(end - from));
    if (!tab)
        tab = end;
    *at = tab < end ? tab + 1 : end;
    *ret = span_of(from, (size_t)(tab - from));
    return !(ret->len == 2 && from[0] == '\\' && from[1] == 'N');
}

/* Is the text a number as JSON and XML Schema both write it? *ret_digits: its significant digits. */
bool export_is_number(struct span text, int *ret_digits);

#endif
