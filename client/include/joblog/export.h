/* Exports: jobs with a file at the end. */
#ifndef JOBLOG_EXPORT_H
#define JOBLOG_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joblog/job.h"

JOBLOG_BEGIN_DECLS

struct joblog_export_filter {
    const char *field;
    const char *op; /* "", "equals", "in", "contains", "at_least", "at_most", "search" */
    const char *const *values;
    size_t n_values;
};

struct joblog_export_spec {
    const char *export_type; /* required */
    const struct joblog_export_filter *filters;
    size_t n_filters;
    const char *format;    /* "csv" */
    const char *file_name; /* NULL: made of the type and the date */
    const char *request_id;
};

struct joblog_export {
    struct joblog_job job; /* BASIC view */
    const char *export_type, *title;
    bool has_file; /* the file is complete */
    const char *file_name, *content_type, *sha256;
    int64_t size, rows, expire_us;
};

/* Gives the export. Its texts and job belong to it. Takes NULL. */
JOBLOG_API void joblog_export_free(struct joblog_export *export_);
/* message (may be NULL): gives the server's words for the person who asked (free with free()). */
JOBLOG_API int joblog_export_start(struct joblog_client *client, const struct joblog_export_spec *spec,
                                   struct joblog_export **ret_export, char **ret_message, struct joblog_error *error);
JOBLOG_API int joblog_export_get(struct joblog_client *client, int64_t id, struct joblog_export **ret_export,
                                 struct joblog_error *error);
JOBLOG_API int joblog_export_cancel(struct joblog_client *client, int64_t id, const char *reason,
                                    struct joblog_error *error);

struct joblog_export_list {
    struct joblog_export *exports;
    size_t n_exports;
    char *next_page_token;
};
JOBLOG_API int joblog_export_list_own(struct joblog_client *client, int page_size, const char *page_token,
                                      struct joblog_export_list **ret_list, struct joblog_error *error);
JOBLOG_API void joblog_export_list_free(struct joblog_export_list *list); /* takes NULL */

struct joblog_export_type {
    const char *name, *title;
    const char *const *columns; /* titles */
    size_t n_columns;
    const char *const *filters; /* "search (search)", "department (equals, in)" */
    size_t n_filters;
};
/* Gives an array of *ret_n (joblog_export_types_free). */
JOBLOG_API int joblog_export_types(struct joblog_client *client, struct joblog_export_type **ret_types, size_t *ret_n,
                                   struct joblog_error *error);
JOBLOG_API void joblog_export_types_free(struct joblog_export_type *types); /* takes NULL */

/* Called with each piece, in order, on the calling thread. Not 0 stops the download with -JOBLOG_ABORTED. */
typedef int joblog_download_sink(void *user, const void *data, size_t len, int64_t offset, int64_t total);
/* Downloads a finished export from offset (0: the start). Checks the CRC of every piece and, from offset 0, the SHA-256
 * of the whole: -JOBLOG_DATA_LOSS when one is wrong. Resumes by itself after a cut. Gives the export unless ret_export
 * is NULL. */
JOBLOG_API int joblog_export_download(struct joblog_client *client, int64_t id, int64_t offset,
                                      joblog_download_sink *sink, void *user, struct joblog_export **ret_export,
                                      struct joblog_error *error);
/* The same into a file: through PATH.part, which is resumed when it is there, and renamed when all is checked.
 * -JOBLOG_FAILED_PRECONDITION when PATH is something other than a regular file, such as a directory or a device. */
JOBLOG_API int joblog_export_save(struct joblog_client *client, int64_t id, const char *path,
                                  struct joblog_export **ret_export, struct joblog_error *error);

JOBLOG_END_DECLS

#endif
