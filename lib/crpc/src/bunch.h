/* Calls of a server that go on together, as after a commit that all of them waited for, or a change that all of them
 * watch. Worker's thread only. */
#ifndef CRPC_SRC_BUNCH_H
#define CRPC_SRC_BUNCH_H

#include "connections.h"
#include "worker.h"

/* How many it takes, and after how many what they have sent goes out: who waits for the first answer can go on while
 * the last ones are still being made. */
enum { BUNCH_MIN = 4, BUNCH_PART = 32 };

/* Corks the connections that several of the calls are on: those that are about to run, from first on. */
void bunch_cork(struct cork *cork, struct connections *connections, const struct ready *first);

#endif
