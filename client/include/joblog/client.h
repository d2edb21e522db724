/* The connection to a server. */
#ifndef JOBLOG_CLIENT_H
#define JOBLOG_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "joblog/error.h"

JOBLOG_BEGIN_DECLS

struct joblog_client;

struct joblog_options {
    const char *actor;  /* who calls, for the audit trail; NULL: user@host:program */
    int64_t timeout_ms; /* of each unary call, retries included; 0: 30000 */
    bool no_retry;      /* do not repeat calls that failed with UNAVAILABLE */
};

/* address: "HOST:PORT" or "unix:PATH"; NULL: $JOBLOG_SERVER, else "127.0.0.1:7420". Does not connect yet: a server that
 * is away is an error of the first call. Borrows options (NULL: defaults). Gives the client (joblog_close). NULL on
 * failure. */
JOBLOG_API struct joblog_client *joblog_connect(const char *address, const struct joblog_options *options,
                                                struct joblog_error *error);
/* After every watch, worker and download of it has been freed. Takes NULL. */
JOBLOG_API void joblog_close(struct joblog_client *client);

JOBLOG_END_DECLS

#endif
