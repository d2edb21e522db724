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
    /* "", "equals", "in", "contains", "at_least", "at_most", "search", "between", "prefix", "greater", "less" */
    const char *op;
    const char *const *values;
    size_t n_values;
};

struct joblog_export_order {
    const char *column;
    bool descending;
};

/* How CSV is written. All zero: commas, titles, no mark, NULL is empty, formulas made harmless. */
struct joblog_csv_options {
    const char *delimiter; /* NULL or ",", ";", "|", "\t" */
    const char *null_text;
    bool byte_order_mark, no_header, keep_formulas;
};

struct joblog_export_spec {
    const char *export_type; /* required */
    const struct joblog_export_filter *filters;
    size_t n_filters;
    const char *format;    /* "csv" (also NULL), "jsonl", "xlsx" */
    const char *file_name; /* NULL: made of the type and the date */
    const char *request_id;
    const char *const *columns; /* none: all of the type */
    size_t n_columns;
    const struct joblog_export_order *order; /* none: the type's own */
    size_t n_order;
    const char *compression; /* "none" (also NULL), "gzip", "zstd" */
    struct joblog_csv_options csv;
    const char *language; /* of steps and message: "en" (also NULL), "es" */
};

struct joblog_export {
    struct joblog_job job; /* BASIC view */
    const char *export_type, *title;
    const char *file_name; /* that it has or will have */
    bool has_file;         /* the file is complete: what follows is known */
    const char *content_type, *sha256;
    int64_t size, rows, expire_us;
    int64_t cut_cells;      /* texts that did not fit into a cell of a spreadsheet */
    const char *file_state; /* "none yet", "writing", "ready", "expired", "deleted", "none" */
    /* What was asked for, in the words of joblog_export_spec. */
    const struct joblog_export_filter *filters; /* with their operators, also where none was named */
    size_t n_filters;
    const char *const *columns; /* of the file, in order */
    size_t n_columns;
    const struct joblog_export_order *order; /* none: the type's own */
    size_t n_order;
    const char *format, *compression, *language;
    struct joblog_csv_options csv;
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

/* Deletes the file of an export that has ended; its record stays. Also 0 when there is no file any more. */
JOBLOG_API int joblog_export_delete(struct joblog_client *client, int64_t id, struct joblog_error *error);

struct joblog_export_list {
    struct joblog_export *exports;
    size_t n_exports;
    char *next_page_token;
};
JOBLOG_API int joblog_export_list_own(struct joblog_client *client, int page_size, const char *page_token,
                                      struct joblog_export_list **ret_list, struct joblog_error *error);
JOBLOG_API void joblog_export_list_free(struct joblog_export_list *list); /* takes NULL */

/* The names of value types are "text", "integer", "number", "boolean", "date", "timestamp", "json"; "" while the server
 * has not reached the database of the type. */
struct joblog_export_column {
    const char *name, *title;
    const char *value_type;
    const char *format; /* of a spreadsheet's cells, such as "#,##0.00"; "" */
    bool sortable;      /* may stand in joblog_export_order */
};

struct joblog_export_filter_type {
    const char *field, *title;
    const char *value_type;       /* of the values */
    const char *const *operators; /* as in joblog_export_filter; the first is the default */
    size_t n_operators;
};

struct joblog_export_type {
    const char *name, *title;
    const char *const *columns; /* titles */
    size_t n_columns;
    const char *const *filters; /* "search (search)", "department (equals, in)" */
    size_t n_filters;
    const char *const *column_names; /* n_columns of them */
    /* What a form needs. */
    const struct joblog_export_column *column_types;      /* n_columns of them */
    const struct joblog_export_filter_type *filter_types; /* n_filters of them */
    const struct joblog_export_order *order;              /* of the rows, unless another is asked for */
    size_t n_order;
    const char *const *formats, *const *compressions; /* as in joblog_export_spec */
    size_t n_formats, n_compressions;
    int64_t row_limit;  /* 0: none */
    bool own_rows_only; /* this caller gets only the rows that belong to it */
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
/* The same from the start of an export that may still be pending or running: what there is, then the rest as it is
 * written; total is -1 until it is known. -JOBLOG_ABORTED with reason EXPORT_RESTARTED when an attempt fails of which
 * something has come: that is worth nothing, begin again. */
JOBLOG_API int joblog_export_follow(struct joblog_client *client, int64_t id, joblog_download_sink *sink, void *user,
                                    struct joblog_export **ret_export, struct joblog_error *error);
/* The same into a file: through PATH.part, which is resumed when it is there, and renamed when all is checked, last of
 * all: a call that fails has put no file at PATH. Only one download at a time writes it, of all processes (flock).
 * -JOBLOG_FAILED_PRECONDITION, reason FILE, when that is another one, when PATH or PATH.part is something other than a
 * regular file, such as a directory, a device or (PATH.part) a link, or when no file can be made there. */
JOBLOG_API int joblog_export_save(struct joblog_client *client, int64_t id, const char *path,
                                  struct joblog_export **ret_export, struct joblog_error *error);

/* Whether joblog_export_save could write path now; for a look before an export is started. Leaves nothing there. 0, or
 * the refusal as joblog_export_save gives it. */
JOBLOG_API int joblog_export_check_place(const char *path, struct joblog_error *error);

/* For a program that ends at once (_exit, at a signal) while other threads are in these calls: removes the parts
 * without a byte that they hold, as they do when they return. Any thread, but not in a signal handler. */
JOBLOG_API void joblog_export_drop_empty_parts(void);

/* joblog_export_save for an export that may still be pending or running; begins again by itself when an attempt fails.
 */
JOBLOG_API int joblog_export_save_following(struct joblog_client *client, int64_t id, const char *path,
                                            struct joblog_export **ret_export, struct joblog_error *error);

/* What joblog_export_to_file tells on its way, on the calling thread. All zero: nothing. */
struct joblog_export_options {
    /* The export is durable. message: the server's words for the person who asked. Both valid during the call. */
    void (*on_started)(void *user, const struct joblog_export *export_, const char *message);
    /* What it has come to: status, percent, done of total rows, step, eta. job is valid during the call. Not 0 cancels
     * the export. */
    int (*on_progress)(void *user, const struct joblog_job *job);
    void *user;
};
/* The whole way in one call: starts the export, waits until it has ended, and saves its file as joblog_export_save
 * does. spec and path are borrowed; options may be NULL. Blocks for as long as that takes. With on_progress the file is
 * fetched when it is complete; without, while it is written. Gives the export unless ret_export is NULL.
 *
 * Otherwise there is no new file at path:
 * -JOBLOG_FAILED_PRECONDITION, reason EXPORT_FAILED: the export failed, error->message says why.
 * -JOBLOG_CANCELLED, reason EXPORT_CANCELLED: somebody cancelled it, perhaps on_progress.
 * -JOBLOG_FAILED_PRECONDITION, reason FILE: path is no place for a file, or another download has it; nothing was
 * started, unless on_started was called: then the file could not be written.
 * What joblog_export_start, joblog_watch_next and joblog_export_save return else. The export is there, once on_started
 * has been called: joblog_export_save may fetch it later. */
JOBLOG_API int joblog_export_to_file(struct joblog_client *client, const struct joblog_export_spec *spec,
                                     const char *path, const struct joblog_export_options *options,
                                     struct joblog_export **ret_export, struct joblog_error *error);

JOBLOG_END_DECLS

#endif
