/* The export engine: export types, and the threads that run export jobs. They claim jobs as any worker does, through a
 * session of the store, read one snapshot by COPY on a connection of their own, and write the file in chunks. */
#ifndef EXPORT_EXPORT_H
#define EXPORT_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "base/tag.h"
#include "export/types.h"
#include "store/store.h"

struct exports;

/* What one owner may have; 0: as much as it likes. */
struct export_limits {
    int64_t running;   /* exports that have not ended */
    int64_t per_day;   /* exports started within 24 hours */
    int64_t max_bytes; /* of all its files */
};

struct export_options {
    const char *uri;            /* of the database: of the books, and of the rows of types without their own; kept */
    struct store *store;        /* kept */
    struct export_types *types; /* taken; checked against the database here */
    const char *types_path;     /* where they came from, watched for changes; NULL: nowhere. Kept. */
    const char *directory;      /* where to put files; NULL: into the database. Kept. */
    bool is_embedded;           /* the database is a child of this process */
    int32_t n_attempts;         /* tries of an export, 0: 7 */
    unsigned n_workers;         /* exports written at a time; 0: 2 */
    int64_t silence_ms;     /* how long a source may say nothing before it is asked whether it lives; 0: it is not */
    int64_t download_bytes; /* what chunks of all downloads may take of memory; 0: 64 MiB */
    int64_t ttl_ms;         /* how long a file is kept; 0: 7 days */
    struct export_limits limits;
};

/* Main thread; blocks. Checks the types, starts the threads. Gives *ret (export_stop). 0 or -code with a text for the
 * operator; the types are taken in any case. */
int export_start(const struct export_options *options, struct exports **ret, struct err *ret_err);
/* Ends it soon: exports under way are given back (RELEASED) and run again elsewhere or later. Before store_close. Takes
 * NULL. */
void export_stop(struct exports *exports);
/* The types as they are now; one reference of the caller's (export_types_free). Any thread. */
struct export_types *export_types_of(struct exports *exports);
/* How often an export is to be tried. Any thread. */
int32_t export_attempts(const struct exports *exports);
/* Has the file of types read again and held against the database, soon; then it is in force. On failure everything
 * stays as it was. Either is logged. Any thread; does not block. */
void export_reload(struct exports *exports);

/* The turn of one start of an owner's. Until it is ended all further ones of the same owner wait, so that each counts
 * those before it once: limits hold within this process, and refuse no start that they allow. No more wait than there
 * may be calls (--max-calls). */
struct export_turn {
    struct export_turn *next;
    struct span owner; /* kept */
    struct tag *come;  /* kept; posted once when the turn has come, on any thread */
};
/* Any thread. True: it has come at once, and come is not posted. Then ask the books (EXPORT_ASK_USAGE), check, and
 * start. */
bool export_turn_take(struct exports *exports, struct export_turn *turn);
/* When the start has been committed or has failed; only of one that has come. */
void export_turn_end(struct exports *exports, struct export_turn *turn);
int export_start_check(struct exports *exports, int64_t n_running, int64_t n_today, int64_t bytes, struct err *ret_err);

#endif
