/* The state of DownloadExport, and its asking and sending of chunks. On the call's worker. */
#ifndef RPC_EXPORT_DOWNLOAD_H
#define RPC_EXPORT_DOWNLOAD_H

#include "rpc/export_common.h"

struct chunk_slot {
    struct crpc_event answered;
    struct export_ask_chunk ask;
    bool asked; /* armed, or arrived and not used yet */
};

struct download_export {
    struct export_load load;
    int64_t offset; /* next byte to send */
    int64_t wanted; /* attempt that the caller has bytes of; 0: none */

    /* following */
    bool follows;
    struct crpc_signal wake;
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

    struct chunk_slot slots[2];
    unsigned current;
};

/* Waits for the chunk that holds the offset, then next; asks for it if nobody has. */
enum crpc_next download_await_chunk(struct crpc_call *call, const struct crpc_step *next);
/* Asks for a chunk that will be needed, into the current slot. A failure is no harm: it is asked for again. */
void download_ask_ahead(struct crpc_call *call, int32_t seq);
/* Sends data and moves the offset on; with the file's facts where they are due. */
enum crpc_next download_send(struct crpc_call *call, struct span data, uint32_t crc, const struct crpc_step *next);

#endif
