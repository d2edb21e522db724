/* Text as a terminal shows it: columns instead of bytes, and nothing in it that could steer the terminal. Pure, any
 * thread. All texts are meant to be UTF-8; broken sequences are shown as "?". The locale's character set must be
 * UTF-8 (term_detect sees to it). */
#ifndef JOBLOG_CLI_TEXT_H
#define JOBLOG_CLI_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Columns that text takes, control characters counted as one each. */
int text_width(const char *text);

/* Writes text without control characters (each becomes a space), cut to max columns with an ellipsis; max 0: not cut.
 * Returns the columns written. */
int text_print(FILE *out, const char *text, int max);
/* printf whose result, the format's own text too, goes through text_print. */
void text_printf(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* text_print into buf of size bytes, which is always terminated. */
int text_clean(char *buf, size_t size, const char *text, int max);

/* Like text_print, but keeps line feeds and tabs, and puts indent before every line. Ends with a line feed. */
void text_print_block(FILE *out, const char *text, const char *indent);

/* Makes n bytes valid UTF-8 in place, NUL bytes and broken sequences replaced by "?", and not longer than max bytes;
 * keeps the end rather than the start when keep_end is not 0. Returns the new length; text is not terminated by it. */
size_t text_make_valid(char *text, size_t n, size_t max, int keep_end);

#endif
