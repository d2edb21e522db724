/* Following a watch to its end, as bars, as JSON lines or in silence. Main thread. */
#ifndef JOBLOG_CLI_FOLLOW_H
#define JOBLOG_CLI_FOLLOW_H

#include "bars.h"
#include "cli.h"

enum follow_mode { FOLLOW_BARS, FOLLOW_JSON, FOLLOW_SILENT };

/* Reads watch to its end, or to an interrupt. Takes watch (NULL: reports error, as joblog_watch_job left it). bars of
 * FOLLOW_BARS go to term. Returns EXIT_OK, EXIT_JOB_FAILED when a job that ended did not complete, EXIT_INTERRUPTED,
 * or the code of an error that it has reported. */
int follow_watch(struct cli *cli, struct joblog_watch *watch, enum follow_mode mode, const struct term *term,
                 const struct joblog_error *error);
/* The same for one job by its id, and says on standard error why the job failed. */
int follow_job(struct cli *cli, int64_t id, enum follow_mode mode, const struct term *term);
/* The same for an export, through the calls that the role exporter may make. */
int follow_export(struct cli *cli, int64_t id, enum follow_mode mode, const struct term *term);
int follow_export_report(struct cli *cli, int64_t id);
/* Says on standard error why job id ended as it did. Returns the exit code for it, or of the error. */
int follow_report(struct cli *cli, int64_t id);

#endif
