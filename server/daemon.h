/* joblogd without its command line: the parts, in the order in which they start and stop. Main thread. */
#ifndef SERVER_DAEMON_H
#define SERVER_DAEMON_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "config.h"

struct daemon;

/* Starts everything: embedded PostgreSQL, store, exports, gRPC server. Keeps cfg. Gives *ret (daemon_stop). 0, or -code
 * with a text for the operator: INVALID_ARGUMENT when a setting is at fault, and then nothing runs. */
int daemon_start(const struct config *cfg, struct daemon **ret, struct err *ret_err);
/* Where it listens, with real ports, comma-separated. Borrowed. */
const char *daemon_addresses(const struct daemon *daemon);
/* Where it answers probes, with the real port; NULL: nowhere. Borrowed. */
const char *daemon_probe_address(const struct daemon *daemon);
/* Process id of the embedded PostgreSQL; 0 without. */
pid_t daemon_postgres_pid(const struct daemon *daemon);
/* A line to the log: what has been refused since the start, and how it stands now. */
void daemon_log_refused(const struct daemon *daemon);
/* SIGHUP: reads what lies in files of its own again, such as the types of exports and the certificate. A failure is
 * logged and changes nothing. Blocks. */
void daemon_reload(struct daemon *daemon);
/* Stops everything in order: no new calls, streams told, those under way finished within the grace period, what was
 * submitted committed. Takes daemon. */
void daemon_stop(struct daemon *daemon);

#endif
