/* What an SQLSTATE means to a caller. Pure; any thread. */
#ifndef PG_SQLSTATE_H
#define PG_SQLSTATE_H

#include "base/err.h"

/* Fills *ret_err with code and text for an SQLSTATE of five characters; returns -code. The text names no table and
 * repeats nothing that the database said. */
int sqlstate_err(const char *sqlstate, struct err *ret_err);

#endif
