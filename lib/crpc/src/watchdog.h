/* Looks after workers that core does not give back: a peer that sends faster than core can parse, or what it parses
 * slowly (header values of megabytes), keeps the thread within grpc_completion_queue_next, and nobody else is served.
 * Looks after memory, too, which core lets a peer fill. Who sends so much is then cut off. A thread of its own; must
 * not touch a worker but for its counters. */
#ifndef CRPC_SRC_WATCHDOG_H
#define CRPC_SRC_WATCHDOG_H

#include "base/err.h"

struct crpc_server;
struct watchdog;

/* After the workers. 0, or -code. */
int watchdog_start(struct crpc_server *server, struct watchdog **ret, struct err *ret_err);
/* Before the workers end. Takes NULL. */
void watchdog_stop(struct watchdog *watchdog);

#endif
