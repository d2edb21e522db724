/* Texts from options, files and standard input. Main thread. Does not look at what the text means: the server judges
 * payloads, so that every client gets the same answer. */
#include "payload.h"

#include "cli.h"
#include "heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    READ_MAX = 16 << 20 /* far above what the server takes; keeps a wrong file from filling the memory */
};

char *payload_read(const char *value)
{
    bool standard_input = !strcmp(value, "-");
    if (!standard_input && *value != '@')
        return heap_copy(value);
    const char *name = standard_input ? "standard input" : value + 1;
    FILE *in = standard_input ? stdin : fopen(value + 1, "re");
    if (!in) {
        cli_trouble("cannot open %s: %s", name, strerror(errno));
        return NULL;
    }
    char *text = heap_new(1, 4096);
    size_t len = 0, size = 4096, n;
    while ((n = fread(text + len, 1, size - len - 1, in)) > 0 && len <= READ_MAX) {
        len += n;
        if (len + 1 == size)
            text = heap_resize(text, size *= 2, 1);
    }
    const char *problem = ferror(in)                ? strerror(errno)
                          : len > READ_MAX          ? "more than 16 MiB"
                          : memchr(text, '\0', len) ? "it holds a NUL byte"
                                                    : NULL;
    if (!standard_input)
        fclose(in);
    if (problem) {
        cli_trouble("cannot read %s: %s", name, problem);
        free(text);
        return NULL;
    }
    text[len] = '\0';
    return text;
}
