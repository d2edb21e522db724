/* JSON texts as the server takes them, for programs that have no parser of their own, or one that loses something: a
 * payload may hold numbers of any length. Pure; any thread. */
#ifndef JOBLOG_JSON_H
#define JOBLOG_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "joblog/error.h"

JOBLOG_BEGIN_DECLS

/* Whether the server takes this text as JSON: the same check, in the same words. Refused, with line and column
 * (-JOBLOG_INVALID_ARGUMENT): what is no JSON, an empty text, nesting deeper than 64, a key twice in one object,
 * \u0000, lone surrogates, invalid UTF-8, numbers of more than 131072 digits before or 16383 after the point; and what
 * is no object where must_be_object says so. Numbers have no other bounds. field: what the message calls the text, such
 * as "payload"; at most 60 bytes. Lengths are not looked at: a result, a patch of the payload and the payload of a
 * dispatch are at most 256 KiB. */
JOBLOG_API int joblog_json_check(const char *text, size_t len, bool must_be_object, const char *field,
                                 struct joblog_error *error);

/* The value of a member of an object, as it is written there: *ret_value borrows from object. False when there is no
 * such member, or memory is out. Of a text that joblog_json_check would refuse it finds something or nothing. */
JOBLOG_API bool joblog_json_member(const char *object, size_t len, const char *name, const char **ret_value,
                                   size_t *ret_len);

JOBLOG_END_DECLS

#endif
