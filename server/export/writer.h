/* A file in the making: a thread that takes filled chunks, hashes them and hands them to the sink, while the owner
 * fills the next ones. The owner is one thread; it never waits here longer than it asks for. */
#ifndef EXPORT_WRITER_H
#define EXPORT_WRITER_H

#include "export/chunk_store.h"

enum {
    EXPORT_CHUNK_BYTES =
        512 << 10,              /* a message of a download stays far below gRPC's 4 MiB; two are in memory for each */
    EXPORT_CHUNKS_IN_FLIGHT = 4 /* of one file: one is filled, one hashed and sent, two level out the pace */
};

struct export_writer;

struct export_chunk_buffer {
    char data[EXPORT_CHUNK_BYTES];
    size_t len;
    struct export_chunk_buffer *next; /* private */
};

/* Starts the thread, which opens a sink: where that fails a later call says so. store: kept; description (name and
 * content type) and owner_name: what they point to is kept until the end.
 * budget: most bytes that all files of the owner may have, 0: no limit. Gives *ret (export_writer_free). */
int export_writer_new(const struct chunk_store *store, const struct chunk_owner *owner,
                      const struct export_file *description, struct span owner_name, int64_t budget,
                      struct export_writer **ret, struct err *ret_err);
/* 1 and an empty chunk; 0: none is free within wait_ms, ask again; -code: the sink failed. */
int export_writer_take(struct export_writer *writer, int wait_ms, struct export_chunk_buffer **ret,
                       struct err *ret_err);
/* Gives a chunk back to be written. All but the last are full. */
void export_writer_put(struct export_writer *writer, struct export_chunk_buffer *chunk);
/* No more chunks: commit the file when they are written. file: size, sha256, storage and chunk_bytes are filled by the
 * writer; its texts are kept until the end. */
void export_writer_finish(struct export_writer *writer, const struct export_file *file);
/* 1: committed, *ret_file is complete (its sha256 lies in the writer); 0: not within wait_ms; -code: not committed,
 * or not known to be. */
int export_writer_wait(struct export_writer *writer, int wait_ms, struct export_file *ret_file, struct err *ret_err);
/* Ends the thread (after the chunk that is being written) and the sink. Without a commit nothing remains. Takes NULL.
 */
void export_writer_free(struct export_writer *writer);

#endif
