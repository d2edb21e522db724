/* A resume point: how far the changes of every replica have been seen, as a short text that callers keep. Pure.
 *
 *   "TIME.REPLICA-BATCH.REPLICA-BATCH…", each number in base 36 */
#ifndef STORE_POINT_H
#define STORE_POINT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

enum { POINT_REPLICAS = 256 };

struct point {
    int64_t time_us;
    int64_t batch[POINT_REPLICAS]; /* last one seen; -1: none known */
};

void point_write(const struct point *point, struct buf *buf);
/* 0, or -INVALID_ARGUMENT with field. */
int point_read(struct span text, const char *field, struct point *ret, struct err *ret_err);

#endif
