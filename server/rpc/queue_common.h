/* What PauseQueue, ResumeQueue and ListQueues share. */
#ifndef RPC_QUEUE_COMMON_H
#define RPC_QUEUE_COMMON_H

#include "base/arena.h"
#include "joblog/v1/job_log.pb-c.h"
#include "store/store.h"

/* The message of a queue, in the arena. NULL: out of memory. */
Joblog__V1__Queue *queue_message(struct arena *arena, const struct queue_info *info);

#endif
