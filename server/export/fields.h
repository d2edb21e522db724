/* From what the database says of the columns of a query to the fields of a file. Pure. Private to server/export. */
#ifndef EXPORT_FIELDS_H
#define EXPORT_FIELDS_H

#include "export/format.h"
#include "export/query.h"
#include "pg/copy.h"

/* columns: of the query, n_columns of them. Sets query->as_json, where the format has arrays and rows. Gives the
 * fields, in arena; NULL: out of memory. */
struct export_field *export_fields_make(struct export_query *query, const struct pg_copy_column *columns,
                                        struct arena *arena);

#endif
