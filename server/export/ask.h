/* What the handlers of ExportService ask about files: answered by a few threads with connections of their own, so that
 * downloads never hold up the store's readers; and neither chunks nor deletions hold up the short questions. A question
 * is a struct of the caller's that must stay valid, with all that it points to, until its `done` tag is posted (exactly
 * once); before that `err` is filled. */
#ifndef EXPORT_ASK_H
#define EXPORT_ASK_H

#include "base/arena.h"
#include "base/mpsc.h"
#include "base/tag.h"
#include "export/chunk_store.h"
#include "export/export.h"
#include "export/room.h"

enum export_ask_op { EXPORT_ASK_FILES, EXPORT_ASK_CHUNK, EXPORT_ASK_USAGE, EXPORT_ASK_DELETE };

struct export_ask {
    enum export_ask_op op;
    struct tag *done;
    struct err err;        /* out */
    struct mpsc_node node; /* private */
};

/* The files of these jobs, at most one each; also those that are gone or being written. */
struct export_ask_files {
    struct export_ask ask;
    const int64_t *job_ids;
    size_t n_job_ids;
    struct arena *arena; /* for the texts */
    /* out */
    struct export_file *files;
    size_t n_files;
};

/* One chunk of a file. NOT_FOUND: not there, or not there yet; DATA_LOSS: it is not what was
 * written; UNIMPLEMENTED: in a directory that this replica has not. */
struct export_ask_chunk {
    struct export_ask ask;
    struct export_file file; /* job_id, token, storage, chunk_bytes, state: THERE: seq is within its size */
    int32_t seq;
    bool as_kept; /* the chunk may come packed, and not held against its checksum: whoever gets it does that */
    enum export_room_turn turn;
    int *hold;               /* where a descriptor is left for export_chunk_now, or -1; NULL: none is wanted */
    struct chunk_data chunk; /* out; chunk_data_done, also before the next question */
};

/* What an owner has, for its limits. */
struct export_ask_usage {
    struct export_ask ask;
    struct span owner, request_id; /* request_id may be empty */
    /* out */
    int64_t n_running, n_today, bytes;
    bool repeated; /* request_id has been used before */
};

/* Takes the file of a job away, if there is one. */
struct export_ask_delete {
    struct export_ask ask;
    int64_t job_id;
};

/* Any thread. 0; -RESOURCE_EXHAUSTED (too many wait; reason DOWNLOAD_ROOM: no memory for a chunk at present),
 * -UNAVAILABLE (stopping) and *ret_err: then done never fires. */
int export_ask(struct exports *exports, struct export_ask *ask, struct err *ret_err);

/* Do downloads wait for the memory that chunks of others take? Any thread. */
bool export_room_wanted(struct exports *exports);

/* A chunk of a file that is whole, at once and without waiting for anything: from a descriptor that a question has left
 * (close). True and *ret (chunk_data_done), which has been held against its checksum unless it is wanted as it is kept.
 * False: ask. Any thread. */
bool export_chunk_now(struct exports *exports, const struct export_file *file, int held_fd, int32_t seq, bool as_kept,
                      struct chunk_data *ret);

#endif
