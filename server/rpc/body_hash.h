/* Is a repeated request the same request? */
#ifndef RPC_BODY_HASH_H
#define RPC_BODY_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/job.h"

/* 128-bit FNV-1a over what was asked for, after defaults and with labels in order, so that two spellings of one request
 * are equal. Not creator and request_id. on_conflict: of the unique key; does not count without one. started: it came
 * by StartJob; then the worker counts too. */
void body_hash(const struct job *job, int on_conflict, bool started, uint8_t ret_hash[16]);

/* Over the name that a run of its caller's own work has (StartJobRequest.run_id). */
void run_hash(struct span run_id, uint8_t ret_hash[16]);

/* Over a cancel or a retry. job_id 0: of many, which the filter's hash tells. */
void steer_hash(const char *method, int64_t job_id, struct span reason, uint64_t filter_hash, uint8_t ret_hash[16]);

#endif
