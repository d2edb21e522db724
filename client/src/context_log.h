/* What a job logs, on its way to the server. Lines gather in chunks; a chunk is one write, and is kept until the server
 * has answered it. The handler's thread appends, the threads that send take. */
#ifndef CLIENT_CONTEXT_LOG_H
#define CLIENT_CONTEXT_LOG_H

#include "context.h"

enum {
    LOG_TEXT_MAX = 16 * 1024,
    LOG_CHUNK_LINES = 500,
    LOG_CHUNK_BYTES = 128 * 1024,
    LOG_LINE_EXTRA = 32, /* what a line takes in a message beside its text, at most */
    /* That wait for the server, a job; more are dropped, and counted in a line that says so: a handler must not be
     * stopped by its log, nor its process filled with it. */
    LOG_WAITING_MAX = 1024 * 1024
};

struct log_chunk;

/* A write about a chunk; what it points to lies in itself and in the chunk. */
struct log_message {
    Joblog__V1__LogWrite write;
    void *memory;
};

/* The oldest chunk that is not under way becomes so, under id (not 0), as a message; of one of more than about max
 * bytes the first lines, and the rest is a chunk of its own. False when there is none. When memory is out the chunk
 * stays. */
bool log_take(struct joblog_context *context, uint64_t id, size_t max, struct log_message *ret_message);
void log_message_done(struct log_message *message);
/* Is there a chunk that is not under way? */
bool log_waits(struct joblog_context *context);
/* The server has answered. False: there is no chunk under this id. again: it is to be sent once more. */
bool log_answered(struct joblog_context *context, uint64_t id, bool again);
/* All that is under way is to be sent once more. */
void log_put_back(struct joblog_context *context);
/* With the context's lock, or when nobody else uses it. */
void log_clear(struct joblog_context *context);

#endif
