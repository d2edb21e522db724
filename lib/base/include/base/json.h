/* JSON at the door: is this text what PostgreSQL will take, and an object where one is asked for? And the few things
 * that are done with such a text afterwards. The server and libjoblog ask the same question here, so that both give the
 * same answer. Pure; any thread. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* 0, or INVALID_ARGUMENT naming field, with line and column. Refuses what is no JSON, nesting deeper than 64, a key
 * twice in one object, \u0000, lone surrogates, invalid UTF-8, and numbers larger or finer than PostgreSQL's numeric.
 * An empty text is refused too. */
int json_check(struct span text, bool must_be_object, const char *field, struct err *ret_err);

/* ---- texts that json_check or PostgreSQL has passed ---- */

/* Appends s, which is UTF-8, as a JSON string with its quotes. */
void json_add_string(struct buf *b, struct span s);

/* Walks the members of an object. *rest starts as the whole object and is moved on. ret_key: with its quotes, as
 * written; ret_value: as written. False at the end, or when rest is no object. */
bool json_next_member(struct span *rest, struct span *ret_key, struct span *ret_value);

/* Content of a JSON string with quotes; without escapes it borrows from raw, else it is made in arena. False when out
 * of memory or raw is no string. */
bool json_decode_string(struct arena *arena, struct span raw, struct span *ret);

/* Appends the object `base` with the members of the object `patch` put over those of the same key, as PostgreSQL's
 * jsonb || jsonb does. False when out of memory. */
bool json_merge(struct buf *b, struct span base, struct span patch);

#endif
