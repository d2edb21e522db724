/* Heap for the command-line program. Any thread. Ends the program when there is no memory; libraries must not do this,
 * which is why it stays in the programs. */
#include "heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *heap_checked(void *p)
{
    if (!p) {
        fputs("joblog: out of memory\n", stderr);
        exit(5);
    }
    return p;
}

void *heap_new(size_t n, size_t size)
{
    return heap_checked(calloc(n ? n : 1, size ? size : 1));
}

void *heap_resize(void *p, size_t n, size_t size)
{
    return heap_checked(reallocarray(p, n ? n : 1, size));
}

char *heap_copy(const char *text)
{
    return text ? heap_checked(strdup(text)) : NULL;
}

char *heap_vformat(const char *fmt, va_list args)
{
    char *text = NULL;
    int n = vasprintf(&text, fmt, args);
    return heap_checked(n < 0 ? NULL : text);
}

char *heap_format(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = heap_vformat(fmt, args);
    va_end(args);
    return text;
}
