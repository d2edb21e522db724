/* Where the files of exports are put: an interface, so that other places than the database can follow. A sink takes one
 * file, chunk by chunk; what was written is there for all after commit, and not at all before or without it. A sink is
 * used by one thread at a time. Reading is the store's matter (STORE_EXPORT_FILE, STORE_EXPORT_CHUNK). */
#ifndef EXPORT_CHUNK_STORE_H
#define EXPORT_CHUNK_STORE_H

#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "store/store.h"

struct chunk_sink;

/* Which attempt writes; its lease token fences the file. */
struct chunk_owner {
    int64_t job_id, token;
};

struct chunk_store {
    /* Gives *ret (close). 0 or -code. */
    int (*open)(const struct chunk_store *store, const struct chunk_owner *owner, struct chunk_sink **ret,
                struct err *ret_err);
    /* Chunks come in order, seq from 0. May return before the chunk is written; a failure may show in a later call. */
    int (*write)(struct chunk_sink *sink, int32_t seq, struct span data, uint32_t crc32c, struct err *ret_err);
    /* All chunks are written: makes the file known. 0; -FAILED_PRECONDITION (reason LEASE_LOST) when the attempt is no
     * longer the job's; -code: the outcome may be unknown, call discard. */
    int (*commit)(struct chunk_sink *sink, const struct export_file *file, struct err *ret_err);
    /* Without a commit nothing remains. Takes NULL. */
    void (*close)(struct chunk_sink *sink);
    /* Removes what a commit of this attempt left, if it did, unless the attempt has completed the job. May be repeated.
     */
    int (*discard)(const struct chunk_store *store, const struct chunk_owner *owner, struct err *ret_err);
    /* Removes files that expired before now_us, with their chunks. Gives how many. */
    int (*sweep)(const struct chunk_store *store, int64_t now_us, int64_t *ret_n, struct err *ret_err);
    const char *uri; /* of the database */
};

/* In joblog.export_chunk and joblog.export_file, shared by all replicas. uri: kept. */
struct chunk_store chunk_store_pg(const char *uri);

#endif
