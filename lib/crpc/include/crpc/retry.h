/* Which calls a channel tries again by itself, in the terms of gRPC's service config (gRFC A6). A call is tried again
 * while nothing of the server's answer but a failing status has come; a server may ask for a pause of its own, or for
 * none to be tried (grpc-retry-pushback-ms). What is sent is kept for it, up to 256 KiB a call. */
#ifndef CRPC_RETRY_H
#define CRPC_RETRY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* For one method, for all of a service, or for all calls: the most exact one counts. */
struct crpc_retry {
    const char *service;        /* "a.v1.EchoService"; NULL: every service */
    const char *method;         /* "SayHello"; NULL: every method of it */
    int max_attempts;           /* with the first; 2 to 5; 0: 3 */
    int64_t initial_backoff_ms; /* before the second attempt, give or take a fifth; 0: 100 */
    int64_t max_backoff_ms;     /* longest; 0: 5000 */
    double multiplier;          /* from one pause to the next; 0: 2 */
    const enum err_code *codes; /* which statuses; NULL: UNAVAILABLE alone */
    size_t n_codes;
};

/* Stops retries while most calls fail: each failure takes a token, each success gives token_ratio back, and there are
 * retries only while more than half of max_tokens are left. */
struct crpc_retry_throttle {
    int max_tokens;     /* 1 to 1000 */
    double token_ratio; /* more than 0 */
};

#endif
