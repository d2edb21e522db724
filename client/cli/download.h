/* Downloading the file of an export, with a live bar. Main thread. */
#ifndef JOBLOG_CLI_DOWNLOAD_H
#define JOBLOG_CLI_DOWNLOAD_H

#include "term.h"

#include <joblog/joblog.h>

/* follow: the export may still be pending or running. Into path; a download that was cut off goes on from what
 * PATH.part holds. The bar goes to term (standard error). Gives the export unless ret_export is NULL. 0 or -code. */
int download_to_file(struct joblog_client *client, int64_t id, const char *path, bool follow, const struct term *term,
                     struct joblog_export **ret_export, struct joblog_error *error);
/* To a stream. */
int download_to_stream(struct joblog_client *client, int64_t id, FILE *out, bool follow, const struct term *term,
                       struct joblog_export **ret_export, struct joblog_error *error);

#endif
