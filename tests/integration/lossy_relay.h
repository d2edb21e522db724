/* A TCP relay on a thread of its own that can swallow what a server answers, so that a client loses the answer of a
 * call that was carried out, or hold a connection for good. Not for product code. */
#ifndef LOSSY_RELAY_H
#define LOSSY_RELAY_H

#include <stdbool.h>

struct lossy_relay;

/* Listens on a free port of 127.0.0.1; each connection goes to the target of its time ("127.0.0.1:PORT"). NULL on
 * failure. */
struct lossy_relay *lossy_relay_start(const char *target);
/* "127.0.0.1:PORT". Borrowed. */
const char *lossy_relay_address(const struct lossy_relay *relay);
/* From now on nothing that a server says comes through. Any thread. */
void lossy_relay_swallow(struct lossy_relay *relay);
/* From now on nothing comes through the connections that there are, in neither direction, and they are not closed, as
 * by a router that has forgotten them. New ones are whole. Any thread. */
void lossy_relay_hold(struct lossy_relay *relay);
/* Cuts all connections; new ones go to target and are whole. Returns once it is done. Any thread. */
void lossy_relay_cut(struct lossy_relay *relay, const char *target);
/* Cuts all, frees. Takes NULL. */
void lossy_relay_stop(struct lossy_relay *relay);

#endif
