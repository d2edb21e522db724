/* Where the files of exports are put: an interface with two implementations, PostgreSQL and a directory. A sink takes
 * one file, chunk by chunk. Chunks can be read as soon as they are published, for downloads that follow; the file
 * counts as one only after commit, and without it nothing of it remains. A sink is used by one thread at a time.
 *
 * Whatever the store, PostgreSQL has the books: which attempt writes (joblog.export_writing), which files there are
 * (joblog.export_file); see chunk_book.h. */
#ifndef EXPORT_CHUNK_STORE_H
#define EXPORT_CHUNK_STORE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"
#include "export/files.h"

struct pg_conn;
struct export_idle;
struct pg_params;
struct chunk_sink;

/* Which attempt writes; its lease token fences the file. */
struct chunk_owner {
    int64_t job_id, token;
};

/* A chunk that was read. */
struct chunk_data {
    struct span data;
    int32_t unpacked_bytes;       /* 0: data is as in the file; else packed, and so many bytes there */
    uint32_t crc32c;              /* of the bytes in the file when the chunk was written: check it against them */
    void (*release)(void *owner); /* of what data borrows from; on any thread; NULL: nothing */
    void *owner;
};

/* Gives back what data borrows from. May be called again. */
void chunk_data_done(struct chunk_data *chunk);
/* Its bytes in the file. */
static inline int64_t chunk_data_bytes(const struct chunk_data *chunk)
{
    return chunk->unpacked_bytes > 0 ? chunk->unpacked_bytes : (int64_t)chunk->data.len;
}
/* Unpacks what is packed. -DATA_LOSS, -RESOURCE_EXHAUSTED: the chunk is done with. */
int chunk_data_unpack(struct chunk_data *chunk, int32_t seq, struct err *ret_err);
/* -RESOURCE_EXHAUSTED, reason EXPORT_QUOTA. */
int chunk_over_quota(struct err *ret_err);
/* -DATA_LOSS, reason EXPORT_DAMAGED. */
int chunk_damaged(int32_t seq, struct err *ret_err);

struct chunk_store {
    /* Gives *ret (close), which has a connection and may be interrupted from now on. chunk_bytes: of a chunk that is
     * full. 0, or -code. */
    int (*open)(const struct chunk_store *store, const struct chunk_owner *owner, int32_t chunk_bytes,
                struct chunk_sink **ret, struct err *ret_err);
    /* Next, and once: the attempt is on the books. description: name, content_type, chunk_bytes; owner_name: whose
     * export it is; both borrowed. *ret_used_bytes: what the owner's other files have. 0; -FAILED_PRECONDITION (reason
     * LEASE_LOST); -code: only close is of use. */
    int (*begin)(struct chunk_sink *sink, const struct export_file *description, struct span owner_name,
                 int64_t *ret_used_bytes, struct err *ret_err);
    /* Chunks come in order, seq from 0. May return before the chunk is written; a failure may show in a later call. */
    int (*write)(struct chunk_sink *sink, int32_t seq, struct span data, uint32_t crc32c, struct err *ret_err);
    /* What was written can be read from now on. */
    int (*publish)(struct chunk_sink *sink, struct err *ret_err);
    /* All chunks are written: makes the file known, on disk. 0; -FAILED_PRECONDITION (reason LEASE_LOST) when the
     * attempt is no longer the job's; -RESOURCE_EXHAUSTED (reason EXPORT_QUOTA) when all files of the owner would be
     * more than budget bytes (0: no limit), also those that others make known at the same moment; -code: the outcome
     * may be unknown, call discard. */
    int (*commit)(struct chunk_sink *sink, const struct export_file *file, struct span owner_name, int64_t budget,
                  struct err *ret_err);
    /* From another thread: what the sink waits for in the database fails soon. */
    void (*interrupt)(struct chunk_sink *sink);
    /* Takes NULL. */
    void (*close)(struct chunk_sink *sink);
    /* Removes what this attempt wrote, also after a commit of an unknown outcome, unless the attempt has completed the
     * job. An end waits for it: so it takes no more than about a second, waits for no lock of others for longer than a
     * fifth of one, and leaves what there is then to the sweep. 0; -code: not all of it, or nobody knows. May be
     * repeated. */
    int (*discard)(const struct chunk_store *store, const struct chunk_owner *owner, struct err *ret_err);
    /* pg: of chunk_book_open. Gives *ret (chunk_data_done), perhaps packed. 0; -NOT_FOUND when there is no such chunk
     * (yet, or any more); -DATA_LOSS when it is there and is not what was written; -code. */
    int (*read)(const struct chunk_store *store, struct pg_conn *pg, const struct chunk_owner *owner, int32_t seq,
                int32_t chunk_bytes, struct chunk_data *ret, struct err *ret_err);
    /* The same in two parts, for several chunks at once: all are begun, then all ended, in this order; then the caller
     * commits. A failure of one is one of all after it. NULL: there is no such way. */
    void (*read_begin)(struct pg_conn *pg, struct pg_params *params, const struct chunk_owner *owner, int32_t seq);
    int (*read_end)(struct pg_conn *pg, int32_t seq, int32_t chunk_bytes, struct chunk_data *ret, struct err *ret_err);
    /* For whoever reads many chunks of a file that is whole, and must not wait; NULL: there is no such way. hold: gives
     * a descriptor (close), or -1. read_now: 1 and *ret, held against its checksum unless it is wanted as it is kept;
     * 0: the chunk is not in memory, or not as it should be, or the file has been removed, which is looked at every few
     * chunks: read tells. */
    int (*hold)(const struct chunk_store *store, const struct chunk_owner *owner);
    int (*read_now)(int held_fd, int32_t seq, int32_t chunk_bytes, bool as_kept, struct chunk_data *ret);
    /* The file of this attempt is gone by the books: gives its room back, and no other attempt's. May be repeated. */
    int (*remove)(const struct chunk_store *store, struct pg_conn *pg, const struct chunk_owner *owner,
                  struct err *ret_err);
    /* Removes what belongs to no file and to no attempt that writes. */
    int (*sweep)(const struct chunk_store *store, struct pg_conn *pg, struct err *ret_err);
    enum export_storage storage;
    const char *uri; /* of the database with the books */
    /* Of connections that have written files; NULL: each file has a new one. Kept. */
    struct export_idle *idle;
    const char *dir; /* of a directory store */
};

/* In joblog.export_chunk, shared by all replicas. uri: kept. */
struct chunk_store chunk_store_pg(const char *uri);
/* In files of dir, which all replicas must share. uri, dir: kept. */
struct chunk_store chunk_store_dir(const char *uri, const char *dir);
/* A directory belongs to the database that used it first, since what that one does not know is swept: a file in it says
 * which. One without that file becomes this database's, unless it has files of exports and this database knows none of
 * them. 0; -FAILED_PRECONDITION (reason EXPORT_DIRECTORY) when it is, or may be, another one's; -code. Blocking. */
int chunk_store_dir_claim(const struct chunk_store *store, struct err *ret_err);

#endif
