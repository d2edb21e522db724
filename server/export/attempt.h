/* One attempt at an export: from the job's payload to the finished file. Private to server/export. */
#ifndef EXPORT_ATTEMPT_H
#define EXPORT_ATTEMPT_H

#include "base/buf.h"
#include "export/worker.h"

struct attempt_result {
    enum attempt_outcome outcome;
    bool no_retry;
    const char *error_type; /* with FAILED; static */
    struct err err;
    int64_t rows, size; /* with COMPLETED */
    char sha256[65];
    struct buf columns; /* JSON: the names of the file's columns; buf_done after any outcome */
};

/* Blocks until the end. After any outcome but COMPLETED nothing of the file remains (where the database cannot be
 * reached: until it expires). */
void export_attempt_run(struct export_worker *worker, const struct job *job, struct attempt_result *ret);

#endif
