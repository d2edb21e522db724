/* Heap for the command-line program. Any thread. Ends the program when there is no memory; libraries must not do this,
 * which is why it stays in the programs. */
#include "memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *memory_checked(void *p)
{
    if (!p) {
        fputs("joblog: out of memory\n", stderr);
        exit(5);
    }
    return p;
}

void *memory_new(size_t n, size_t size)
{
    return memory_checked(calloc(n ? n : 1, size ? size : 1));
}

void *memory_resize(void *p, size_t n, size_t size)
{
    return memory_checked(reallocarray(p, n ? n : 1, size));
}

char *memory_copy(const char *text)
{
    return text ? memory_checked(strdup(text)) : NULL;
}

char *memory_format(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    return memory_checked(n < 0 ? NULL : text);
}
