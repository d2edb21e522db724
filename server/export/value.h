/* Values of filters: are they what their type says, and how do they stand in SQL? Pure; any thread. Private to
 * server/export. */
#ifndef EXPORT_VALUE_H
#define EXPORT_VALUE_H

#include "base/buf.h"
#include "base/span.h"
#include "export/types.h"

/* NULL when text is a value of that kind, else what it must be ("must be a date as 2026-01-31"), static. */
const char *export_value_fault(enum export_value kind, struct span text);

/* Appends a value that export_value_fault found well, as a literal with its type. */
void export_value_literal(struct buf *out, enum export_value kind, struct span text);
/* The same of a number that is compared with a column of 32 bits: the nearest value of 32 bits, where there is one. */
void export_real_literal(struct buf *out, struct span text);
/* Appends a quoted literal of any text without NUL; right whatever standard_conforming_strings says. */
void export_text_literal(struct buf *out, struct span text);
/* Appends a literal of the LIKE pattern for "contains text" or "begins with text", where text stands for itself. */
void export_like_literal(struct buf *out, struct span text, bool prefix);
/* Appends "name" with its quotes doubled. */
void export_identifier(struct buf *out, const char *name);
void export_identifier_span(struct buf *out, struct span name);

#endif
