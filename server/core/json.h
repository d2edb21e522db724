/* JSON at the door: is this text what PostgreSQL will take, and an object where one is asked for? */
#ifndef CORE_JSON_H
#define CORE_JSON_H

#include <stdbool.h>

#include "base/err.h"
#include "base/span.h"

/* 0, or INVALID_ARGUMENT naming field, with line and column. Refuses what is no JSON, nesting deeper than 64, a key
 * twice in one object, \u0000 and lone surrogates. An empty text is refused too. */
int json_check(struct span text, bool must_be_object, const char *field, struct err *ret_err);

#endif
