/* Export types against a database, before anybody can ask for them. */
#ifndef EXPORT_CHECK_H
#define EXPORT_CHECK_H

#include "export/types.h"

/* Does every relation, column and search configuration exist, in the database of its type, may we read it, and can the
 * filters and the order be had of it? Notes what the columns hold, and which have no order. uri: of joblogd's own
 * database. Before others see types; blocks. A database of a type's own that cannot be reached is let pass. 0;
 * -FAILED_PRECONDITION with a text for the operator that names type, relation and column; -UNAVAILABLE. */
int export_types_check(struct export_types *types, const char *uri, struct err *ret_err);

/* What a column with a type of this OID holds. */
enum export_value export_value_of_oid(uint32_t oid);
bool export_oid_is_float(uint32_t oid);

#endif
