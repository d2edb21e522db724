/* Flags --name=value, as the gRPC project's test programs take them. Main thread. */
#ifndef TESTS_INTEROP_OPTIONS_H
#define TESTS_INTEROP_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct interop_flag {
    const char *name;
    const char *value; /* the default; NULL: none */
};

/* Reads argv into the table that ends with a NULL name; ends the program when something there is not known. */
static inline void interop_flags(struct interop_flag *flags, char **argv)
{
    for (char **arg = argv + 1; *arg; arg++) {
        struct interop_flag *f = flags;
        size_t len = strcspn(*arg, "=");
        while (f->name &&
               (strncmp(*arg, "--", 2) != 0 || strlen(f->name) != len - 2 || strncmp(*arg + 2, f->name, len - 2) != 0))
            f++;
        if (!f->name || !(*arg)[len]) {
            fprintf(stderr, "%s: unknown, or without =value: %s\n", argv[0], *arg);
            exit(2);
        }
        f->value = *arg + len + 1;
    }
}

static inline bool interop_true(const struct interop_flag *flag)
{
    return strcmp(flag->value, "true") == 0;
}

#endif
