/* The files of migrations/, embedded in the binary in the order of their numbers (1, 2, 3 ... without gaps).
 * Constant data; any thread. Who applies them, and what the checksum guards against, is server/store's matter. */
#ifndef MIGRATIONS_MIGRATIONS_H
#define MIGRATIONS_MIGRATIONS_H

#include <stddef.h>

struct migration {
    int number;       /* 1 for 0001_name.sql */
    const char *name; /* "name" of 0001_name.sql */
    const char *sql;  /* the whole file; may hold several statements */
    char sha256[65];  /* of the file's bytes, lower-case hex */
};

extern const size_t migration_count;
/* migration_count rows, then one of zeros. */
extern const struct migration migrations[];

#endif
