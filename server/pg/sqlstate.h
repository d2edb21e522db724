/* What an SQLSTATE means to a caller. Pure; any thread. */
#ifndef PG_SQLSTATE_H
#define PG_SQLSTATE_H

#include <stdbool.h>

#include "base/err.h"

/* Fills *ret_err with code and text for an SQLSTATE of five characters; returns -code. The text names no table and
 * repeats nothing that the database said. */
int sqlstate_err(const char *sqlstate, struct err *ret_err);
/* Collisions are part of the store's way of working: it takes a request id for new, or a row to lie where it lay
 * (22012, sql/minute_set.sql), and runs again when it is not so. */
bool sqlstate_is_routine(const char *sqlstate);

#endif
