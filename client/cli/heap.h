/* Heap for the command-line program: as malloc and friends, but a failure ends the program with a message, since a
 * command that has run out of memory has nothing left to say. Any thread. Everything is freed with free(). */
#ifndef JOBLOG_CLI_HEAP_H
#define JOBLOG_CLI_HEAP_H

#include <stdarg.h>
#include <stddef.h>

/* Zeroed. Gives. */
void *heap_new(size_t n, size_t size);
/* Takes p; gives. */
void *heap_resize(void *p, size_t n, size_t size);
/* Gives a copy; NULL stays NULL. */
char *heap_copy(const char *text);
/* Gives a formatted text. */
char *heap_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *heap_vformat(const char *fmt, va_list args) __attribute__((format(printf, 1, 0)));

#endif
