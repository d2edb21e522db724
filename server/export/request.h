/* What was asked of an export, and how it lies in the job's payload:
 *   {"export_type": "users", "format": "csv", "file_name": "users.csv", "columns": ["id", "email"],
 *    "filters": [{"field": "search", "operator": "search", "values": ["john"]}],
 *    "order": [{"column": "id", "descending": true}], "compression": "gzip", "language": "es", "rows_of": "ann",
 *    "roles": ["exporter"],
 *    "csv": {"delimiter": ";", "byte_order_mark": true, "no_header": false, "null_text": "", "keep_formulas": false}}
 * Only export_type, format, file_name and filters are always there. Pure; any thread. */
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
    EXPORT_COLUMNS_MAX = 1000,     /* as a type may have */
    EXPORT_FILE_NAME_MAX = 200,    /* bytes */
    EXPORT_NULL_TEXT_MAX = 20,     /* bytes; "NULL", "\N", "n/a" */
    EXPORT_LANGUAGE_MAX = 35,      /* bytes; RFC 5646 asks for at least that */
    EXPORT_PAYLOAD_MAX = 256 << 10 /* as any job's payload */
};

/* Numbers equal those of joblog.v1. */
enum export_format { EXPORT_CSV = 1, EXPORT_JSON_LINES = 2, EXPORT_XLSX = 3 };
enum export_compression { EXPORT_PLAIN = 1, EXPORT_GZIP = 2, EXPORT_ZSTD = 3 };

struct export_filter {
    struct span field;
    enum export_op op;
    const struct span *values;
    size_t n_values;
};

struct export_csv {
    char delimiter; /* 0: a comma */
    bool byte_order_mark, no_header, keep_formulas;
    struct span null_text;
};

struct export_request {
    struct span export_type;
    const struct export_filter *filters;
    size_t n_filters;
    const struct span *columns; /* none: all of the type */
    size_t n_columns;
    const struct export_order *order; /* none: the type's own */
    size_t n_order;
    enum export_format format;           /* 0: CSV */
    enum export_compression compression; /* 0: none */
    struct export_csv csv;
    struct span file_name; /* not empty */
    struct span language;  /* empty: English */
    bool all_rows;         /* of an administrator, in its own name */
    struct span rows_of;   /* not all_rows: only rows of this owner, where the type has an owner column */
    unsigned roles;        /* of who started it, mask of enum role; held against the type whenever it runs */
};

/* Appends the payload. The texts must be UTF-8. False: out of memory. */
bool export_request_encode(const struct export_request *request, struct buf *out);
/* Texts go into arena. 0, or -INVALID_ARGUMENT when payload is not one that encode made. */
int export_request_decode(struct span payload, struct arena *arena, struct export_request *ret, struct err *ret_err);
/* Names of columns as a JSON array. False: out of memory. */
bool export_columns_encode(const struct span *names, size_t n, struct buf *out);
/* Texts go into arena; what is no such array has none. False: out of memory. */
bool export_columns_decode(struct span text, struct arena *arena, const struct span **ret, size_t *ret_n);

/* Do format, compression and the options of CSV fit together? Errors name the fields of StartExportRequest. */
int export_request_check(const struct export_request *request, struct err *ret_err);
/* May a file be saved under this name? 1 to 200 bytes, no "/" or "\", no control characters, not "." or "..". Errors
 * name the field file_name. */
int export_file_name_check(struct span name, struct err *ret_err);

/* "csv.gz" and so on, and the MIME type of the file. Static. */
const char *export_file_extension(const struct export_request *request);
const char *export_content_type(const struct export_request *request);

/* Names of formats and compressions as in the payload and in the CLI; 0 for none. */
enum export_format export_format_parse(struct span name);
enum export_compression export_compression_parse(struct span name);

#endif
