/* Export types against a database, before anybody can ask for them. */
#ifndef EXPORT_CHECK_H
#define EXPORT_CHECK_H

#include "export/halt.h"
#include "export/types.h"

struct export_check {
    const char *uri;          /* of joblogd's own database */
    struct export_halt *halt; /* NULL: nobody ends it */
    bool again;               /* which types could not be checked has been told before */
};

/* Does every relation, column and search configuration exist, in the database of its type, may we read it, and can the
 * filters and the order be had of it? Notes what the columns hold, and which have no order. Before others see
 * types; blocks, but a lock on a relation is waited for a second, and no longer than a tenth of one for those after it.
 * A type whose relation is locked, or whose own database cannot be reached, is let pass: *ret_unchecked (may be NULL)
 * has their number. 0; -FAILED_PRECONDITION with a text for the operator that names type, relation and column; else a
 * code for which export_check_is_temporary says yes; -CANCELLED once it was halted. */
int export_types_check(struct export_types *types, const struct export_check *check, size_t *ret_unchecked,
                       struct err *ret_err);
/* Is it a failure that goes by? */
bool export_check_is_temporary(int rc);

/* What a column with a type of this OID holds. */
enum export_value export_value_of_oid(uint32_t oid);
bool export_oid_is_float(uint32_t oid);

#endif
