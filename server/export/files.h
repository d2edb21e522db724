/* Files of exports as the books have them, and what may be asked about them. */
#ifndef EXPORT_FILES_H
#define EXPORT_FILES_H

#include <stdint.h>

#include "base/span.h"

/* Numbers as in joblog.export_file.storage. */
enum export_storage { EXPORT_IN_DATABASE = 0, EXPORT_IN_DIRECTORY = 1 };
enum { EXPORT_STORAGE_COUNT = 2 };

enum export_file_state {
    EXPORT_FILE_THERE = 0,
    EXPORT_FILE_EXPIRED = 1,
    EXPORT_FILE_DELETED = 2,
    EXPORT_FILE_WRITING = 3 /* size, rows and sha256 are not known */
};

struct export_file {
    int64_t job_id, token;                  /* token: of the attempt that wrote it */
    struct span name, content_type, sha256; /* sha256: 64 hex digits */
    int64_t size, rows, expire_us, cut_cells;
    const struct span *columns; /* names, in order; none: of a version that did not note them, or the job runs */
    size_t n_columns;
    int32_t chunk_bytes; /* every chunk but the last has this size */
    enum export_storage storage;
    enum export_file_state state;
};

#endif
