/* The inside of a loop: what waits on its queue. The loop's thread only. */
#ifndef CRPC_SRC_LOOP_H
#define CRPC_SRC_LOOP_H

#include <stddef.h>

#include <grpc/grpc.h>

#include "crpc/async.h"

/* A tag. done returns how many callbacks of the user's it ran. */
struct loop_op {
    int (*done)(struct loop_op *op, bool ok);
};

/* The object that op is a member of. */
#define LOOP_OP_OF(op, type, member) ((type *)(void *)((char *)(op)-offsetof(type, member)))

grpc_completion_queue *loop_queue(struct crpc_loop *loop);
/* One more, and one less, that is under way: the loop is worth waiting for. */
void loop_begin(struct crpc_loop *loop);
void loop_end(struct crpc_loop *loop);

#endif
