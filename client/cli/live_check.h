/* A watch says nothing of records that are deleted: the jobs of a table that have ended are looked up now and then. */
#ifndef JOBLOG_CLI_LIVE_CHECK_H
#define JOBLOG_CLI_LIVE_CHECK_H

#include "cli.h"
#include "live.h"

struct live_check;

/* Looks on a thread of its own, every few seconds, over a connection of its own, and takes those out of the table that
 * are no more. live and filter are kept until live_check_stop. Gives the check; NULL: no thread for it, and the table
 * does without, as it does while the server is away. */
struct live_check *live_check_start(const struct cli *cli, struct live *live, const struct joblog_filter *filter);
/* Within two seconds, however long the server takes. Takes NULL. */
void live_check_stop(struct live_check *check);

#endif
