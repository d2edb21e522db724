/* SQL as PostgreSQL's lexer takes it apart, for texts that server/export builds: an independent look at what is quoted
 * and what is not. */
#ifndef FUZZ_SQL_TEXT_H
#define FUZZ_SQL_TEXT_H

#include "base/buf.h"
#include "base/span.h"

/* Aborts unless every quoted run of sql ends, and what is outside of them is only words, numbers and the few operators
 * that an export's query has: no semicolon, comment, dollar quote or backslash. Appends the content of each string
 * literal, as the server would see it, and a NUL to out. */
void sql_take_apart(struct span sql, struct buf *out);

#endif
