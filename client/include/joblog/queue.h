/* Queues: what they hold; pause and resume. */
#ifndef JOBLOG_QUEUE_H
#define JOBLOG_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joblog/client.h"

JOBLOG_BEGIN_DECLS

/* A queue as it is now. No text is NULL. */
struct joblog_queue {
    const char *name;
    bool paused;
    int64_t pause_us; /* since when; 0 when it is not paused */
    const char *pause_actor, *pause_reason;
    int64_t waiting, scheduled, running;
    int64_t oldest_us; /* when the oldest of the waiting jobs was dispatched; 0: none waits */
};

/* Workers get no further job of the queue, whichever replica they are connected to; what runs goes on. reason may be
 * NULL. One that is paused already stays as it is. Gives the queue (joblog_queues_free) unless ret_queue is NULL. */
JOBLOG_API int joblog_pause_queue(struct joblog_client *client, const char *queue, const char *reason,
                                  struct joblog_queue **ret_queue, struct joblog_error *error);
/* Lets it go on. The rest as above. */
JOBLOG_API int joblog_resume_queue(struct joblog_client *client, const char *queue, struct joblog_queue **ret_queue,
                                   struct joblog_error *error);
/* The queues that had jobs or are paused, by name; names: only these (none: all). Gives an array of *ret_n. */
JOBLOG_API int joblog_list_queues(struct joblog_client *client, const char *const *names, size_t n_names,
                                  struct joblog_queue **ret_queues, size_t *ret_n, struct joblog_error *error);
JOBLOG_API void joblog_queues_free(struct joblog_queue *queues); /* takes NULL */

JOBLOG_END_DECLS

#endif
