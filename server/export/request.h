/* What was asked of an export, and how it lies in the job's payload:
 *   {"export_type": "users", "format": "csv", "file_name": "users.csv",
 *    "filters": [{"field": "search", "operator": "search", "values": ["john"]}]}
 * Pure; any thread. */
#ifndef EXPORT_REQUEST_H
#define EXPORT_REQUEST_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "export/types.h"

/* Of every export job. */
#define EXPORT_JOB_NAME  "joblog.export"
#define EXPORT_JOB_QUEUE "joblog.exports"

enum {
    EXPORT_VALUES_MAX = 100,       /* of one filter */
    EXPORT_VALUE_BYTES_MAX = 500,  /* of one value */
    EXPORT_FILTERS_MAX = 50,       /* conditions of one export; a form has a dozen */
    EXPORT_FILE_NAME_MAX = 200,    /* bytes */
    EXPORT_PAYLOAD_MAX = 256 << 10 /* as any job's payload */
};

struct export_filter {
    struct span field;
    enum export_op op;
    const struct span *values;
    size_t n_values;
};

struct export_request {
    struct span export_type;
    const struct export_filter *filters;
    size_t n_filters;
    struct span file_name; /* not empty */
};

/* Appends the payload. The texts must be UTF-8. False: out of memory. */
bool export_request_encode(const struct export_request *request, struct buf *out);
/* Texts go into arena. 0, or -INVALID_ARGUMENT when payload is not one that encode made. */
int export_request_decode(struct span payload, struct arena *arena, struct export_request *ret, struct err *ret_err);

/* May a file be saved under this name? 1 to 200 bytes, no "/" or "\", no control characters, not "." or "..". Errors
 * name the field file_name. */
int export_file_name_check(struct span name, struct err *ret_err);

#endif
