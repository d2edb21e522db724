/* The export engine: export types, and the threads that run export jobs. They claim jobs as any worker does, through a
 * session of the store, read one snapshot by COPY on a connection of their own, and write the file in chunks. */
#ifndef EXPORT_EXPORT_H
#define EXPORT_EXPORT_H

#include <stdint.h>

#include "base/err.h"
#include "export/types.h"
#include "store/store.h"

struct exports;

struct export_options {
    const char *uri;            /* of the database: of the rows and of the files; kept */
    struct store *store;        /* kept */
    struct export_types *types; /* kept; checked against the database here */
    unsigned n_workers;         /* exports written at a time; 0: 2. None are without types. */
    int64_t ttl_ms;             /* how long a file is kept; 0: 7 days */
};

/* Main thread; blocks. Checks the types, starts the threads. Gives *ret (export_stop). 0 or -code with a text for the
 * operator. */
int export_start(const struct export_options *options, struct exports **ret, struct err *ret_err);
/* Ends it soon: exports under way are given back (RELEASED) and run again elsewhere or later. Before store_close. Takes
 * NULL. */
void export_stop(struct exports *exports);
/* Of an engine, or of none (NULL gives NULL). Any thread. */
const struct export_types *export_types_of(const struct exports *exports);

#endif
