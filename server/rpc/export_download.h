/* The state of DownloadExport, and its asking and sending of chunks. On the call's worker. */
#ifndef RPC_EXPORT_DOWNLOAD_H
#define RPC_EXPORT_DOWNLOAD_H

#include "rpc/export_common.h"

enum {
    /* Chunks of one download that are asked for or have come, next to the one that goes out: enough to keep both askers
     * at work, and 2 MiB with that one. Packed ones are small, and gone sooner. */
    DOWNLOAD_AHEAD = 3,
    DOWNLOAD_AHEAD_PACKED = 8,
    /* Chunks that are asked for after one that was not in memory: by then the kernel reads ahead. */
    DOWNLOAD_COLD = 16
};

struct chunk_slot {
    struct crpc_event answered;
    struct export_ask_chunk ask;
    bool asked; /* armed, or arrived and not used yet */
};

struct download_export {
    struct export_load load;
    int64_t offset; /* next byte to send */
    int64_t wanted; /* attempt that the caller has bytes of; 0: none */
    bool packed;    /* the caller can unpack, and checks */

    /* following */
    bool follows;
    struct crpc_signal wake; /* also of those that do not follow: for a wait */
    struct drain_link drain;
    struct hub_watch *watch;
    enum job_status status; /* of the job, as last heard */
    int32_t run;            /* number of its attempt, likewise */
    int64_t revision;

    /* the file */
    struct arena arena; /* of files */
    bool arena_made;
    struct export_ask_files files;
    bool bound; /* file is the one that is sent */
    struct export_file file;
    int64_t attempt;   /* as callers know it */
    int32_t bound_run; /* run, when that was looked at last */
    bool file_told, complete_told;

    int64_t send_ms;          /* when the message that is on its way was sent; 0: none is */
    struct crpc_signal guard; /* never raised: for its time */

    const struct crpc_step *after_room; /* when it waits for room */
    int32_t waited_ms;
    struct chunk_slot slots[DOWNLOAD_AHEAD_PACKED]; /* of chunk n: n % DOWNLOAD_AHEAD_PACKED */
    bool holds;                                     /* held_fd has been asked for */
    int held_fd; /* a file in a directory that is whole, from which chunks come at once */
    int n_cold;  /* chunks that are still asked for, since one was not in memory */
};

/* Forks a chain that ends the download when a message of its stands still while others wait for room. */
void download_guard(struct crpc_call *call);
/* Gives back what the chunks hold. */
void download_done(struct download_export *download);
/* Waits for the chunk that holds the offset, then next; asks for it if nobody has, and it is not at hand. */
enum crpc_next download_await_chunk(struct crpc_call *call, const struct crpc_step *next);
/* The chunk at the offset. */
struct chunk_slot *download_slot(struct download_export *download);
/* Asks for the chunks after the one at the offset, as far as there are any. A failure is no harm: they are asked for
 * again. */
void download_ask_ahead(struct crpc_call *call);
/* Sends what the chunk has from `skip` on, and moves the offset on; with the file's facts where they are due. Takes
 * what is in chunk; NULL: no bytes. */
enum crpc_next download_send(struct crpc_call *call, struct chunk_data *chunk, size_t skip,
                             const struct crpc_step *next);

#endif
