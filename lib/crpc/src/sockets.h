/* The sockets of a channel: core makes them, one for each server and anew after a loss, and shows each to the channel's
 * socket mutator. Any thread. */
#ifndef CRPC_SRC_SOCKETS_H
#define CRPC_SRC_SOCKETS_H

#include <grpc/grpc.h>

#include "cork.h"

struct sockets;

/* NULL: out of memory. */
struct sockets *sockets_new(void);
/* Core may have it for longer. Takes NULL. */
void sockets_free(struct sockets *sockets);
/* For grpc_channel_create, which keeps what it needs of it. */
grpc_arg sockets_arg(struct sockets *sockets);
/* Corks those that are open. */
void sockets_cork(struct sockets *sockets, struct cork *cork);

#endif
