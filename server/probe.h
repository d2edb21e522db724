/* A port for Kubernetes' probes: HTTP/1.0, GET /livez and /readyz, one short text each, and nothing else. A thread of
 * its own, so that it answers however busy the rest is. Tells nothing that needs a guard. */
#ifndef SERVER_PROBE_H
#define SERVER_PROBE_H

#include <stdbool.h>

#include "base/err.h"

struct probe;

/* address: "HOST:PORT". ready: asked for each /readyz, on the probe's thread; user is kept. Gives *ret (probe_stop). 0,
 * or -FAILED_PRECONDITION with probe-listen as field. */
int probe_start(const char *address, bool (*ready)(void *user), void *user, struct probe **ret, struct err *ret_err);
/* "127.0.0.1:4711", with the real port. Borrowed. */
const char *probe_address(const struct probe *probe);
/* Takes NULL. */
void probe_stop(struct probe *probe);

#endif
