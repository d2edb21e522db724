/* Export types against a database, before anybody can ask for them. */
#ifndef EXPORT_CHECK_H
#define EXPORT_CHECK_H

#include "export/types.h"

/* Does every relation and column exist, and may we read it? Notes which filter columns are texts. Main thread, at
 * start; blocks. 0; -FAILED_PRECONDITION with a text for the operator that names type, relation and column;
 * -UNAVAILABLE. */
int export_types_check(struct export_types *types, const char *uri, struct err *ret_err);

#endif
