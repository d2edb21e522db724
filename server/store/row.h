/* Rows of joblog.job_now, and of statements with the same columns, into jobs. Pure. */
#ifndef STORE_ROW_H
#define STORE_ROW_H

#include "base/arena.h"
#include "core/job.h"
#include "pg/pg.h"

/* The columns, in their order. */
enum row_column {
    ROW_ID,
    ROW_LANE,
    ROW_QUEUE,
    ROW_NAME,
    ROW_STATUS,
    ROW_PRIORITY,
    ROW_SOURCE_TYPE,
    ROW_SOURCE_ID,
    ROW_OWNER,
    ROW_CREATOR,
    ROW_BATCH,
    ROW_TRACEPARENT,
    ROW_REQUEST_ID,
    ROW_LABELS,
    ROW_ATTEMPT,
    ROW_ATTEMPTS_LEFT,
    ROW_MAX_ATTEMPTS,
    ROW_INITIAL_BACKOFF,
    ROW_MAX_BACKOFF,
    ROW_MULTIPLIER,
    ROW_JITTER,
    ROW_RUN_TIME,
    ROW_START_TIME,
    ROW_END_TIME,
    ROW_WORKER,
    ROW_REVISION,
    ROW_PERCENT,
    ROW_DONE,
    ROW_TOTAL,
    ROW_UNIT,
    ROW_STEP,
    ROW_ETA,
    ROW_ERROR_TYPE,
    ROW_ERROR_MESSAGE,
    ROW_CANCEL_TIME,
    ROW_CANCEL_ACTOR,
    ROW_CANCEL_REASON,
    ROW_TOKEN,
    ROW_SESSION,
    ROW_EXPIRE,
    ROW_HAS_STATE,
    ROW_PAYLOAD,
    ROW_RESULT,
    ROW_ERROR_STACK,
    ROW_CREATE_TIME,
    ROW_EXTRA,
    ROW_BASIC_EXTRA = ROW_PAYLOAD /* where job_basic has it */
};

/* The JSON text of column extra; empty: null. */
struct span row_extra(const struct pg_result *r, int row);

/* Texts borrow from the result, labels lie in arena. False: out of memory. */
bool row_job(const struct pg_result *r, int row, struct arena *arena, struct job *ret_job);

#endif
