/* From a type and filters to SQL text. Pure; any thread. Never SQL from a caller: identifiers come from the type,
 * values are validated against their declared type and quoted. */
#ifndef EXPORT_QUERY_H
#define EXPORT_QUERY_H

#include "base/buf.h"
#include "base/err.h"
#include "export/request.h"
#include "export/types.h"

enum export_query { EXPORT_QUERY_ROWS, EXPORT_QUERY_COUNT };

/* Appends "SELECT columns FROM relation WHERE ... ORDER BY ...", or "SELECT count(*) ..." without the order.
 * 0; -INVALID_ARGUMENT with the path of the field at fault ("filters[0].values[2]"), in the words of ExportFilter;
 * -RESOURCE_EXHAUSTED: out of memory. On failure out holds the part before. */
int export_query_build(const struct export_type *type, const struct export_filter *filters, size_t n_filters,
                       enum export_query kind, struct buf *out, struct err *ret_err);

/* Appends the first line of the file: the titles, as RFC 4180 quotes them, with CRLF. */
void export_query_titles(const struct export_type *type, struct buf *out);

#endif
