/* What the bar of a download knows while the export still runs: the export is watched beside. */
#ifndef JOBLOG_CLI_DOWNLOAD_WATCH_H
#define JOBLOG_CLI_DOWNLOAD_WATCH_H

#include "meter.h"

#include <joblog/joblog.h>

struct download_watch;

/* Watches the export on a thread of its own and tells the meter. client and meter are kept until download_watch_stop,
 * export_ is as it was a moment ago, and borrowed. Gives the watch; NULL: there is nothing to watch, or no thread for
 * it, and the bar does without, as it does when the watch fails. */
struct download_watch *download_watch_start(struct joblog_client *client, const struct joblog_export *export_,
                                            struct meter *meter);
/* Takes NULL. */
void download_watch_stop(struct download_watch *watch);

#endif
