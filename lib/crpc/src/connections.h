/* The server's connections: how many there are, and cutting one off.
 *
 * gRPC core says nothing of connections, but it shows each socket that it has accepted to a "socket mutator"
 * (GRPC_ARG_SOCKET_MUTATOR), before the first byte is read and whatever runs over it, TLS or not. There they are
 * counted, and what is one too many is shut down; core then sees the end of it at once. Core's thread that accepts, and
 * any other for the rest. Must not close a socket: that is core's. */
#ifndef CRPC_SRC_CONNECTIONS_H
#define CRPC_SRC_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <grpc/grpc.h>

struct connections;

/* NULL: out of memory. */
struct connections *connections_new(unsigned max);
/* After grpc_server_destroy and grpc_shutdown's worth of work is done. Takes NULL. */
void connections_free(struct connections *connections);
/* For grpc_server_create; keeps connections. */
grpc_arg connections_arg(struct connections *connections);
/* Open now. */
unsigned connections_count(struct connections *connections);
/* Refused so far. */
uint64_t connections_refused(const struct connections *connections);
/* Cut off so far. */
uint64_t connections_were_cut(const struct connections *connections);
/* Shuts the connection of that peer ("ipv4:127.0.0.1:4711") down, and refuses new ones of its address for a while.
 * False when there is none that it could be, or it is ending anyway. */
bool connections_cut(struct connections *connections, const char *peer);

/* Shuts it down if its peer does not even read from its socket, so that nothing of any call has been sent for still_ms
 * although there is something. No new one is refused for it. False: it is not there, or not so, or on a unix socket. */
bool connections_end_stuck(struct connections *connections, const char *peer, int64_t still_ms);

/* The descriptor of that peer's connection; -1: there is none, or it is on a unix socket. Core may close it, and
 * another one get its number, at any moment. */
int connections_find(struct connections *connections, const char *peer);

/* Notes how much each has received so far. */
void connections_mark(struct connections *connections);
/* Cuts those off that have received so much since then; when there is none, and any, the one of which most is still to
 * be read: that is a guess, for which its address is not refused. How many. */
unsigned connections_cut_greedy(struct connections *connections, uint64_t bytes, bool any);
/* Cuts those off that have received most since then, until they are who has received three quarters of all; none that
 * has received less than so many bytes (1 or more). How many. */
unsigned connections_cut_greediest(struct connections *connections, uint64_t bytes);
/* Was the connection of that peer cut off lately? Quick when none was. */
bool connections_was_cut(struct connections *connections, const char *peer);
/* Has one been, so that connections_was_cut may say so? */
bool connections_cut_lately(const struct connections *connections);
/* Now and then: lets those in again that have been locked out for long enough. */
void connections_refresh(struct connections *connections);

#endif
