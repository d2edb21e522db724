/* What channel.c and server.c need of credentials. */
#ifndef CRPC_SRC_CREDENTIALS_H
#define CRPC_SRC_CREDENTIALS_H

#include <grpc/grpc_security.h>

#include "crpc/credentials.h"

/* Core's, for one channel (grpc_channel_credentials_release). credentials NULL: plaintext. After grpc_init. */
grpc_channel_credentials *channel_credentials_core(const struct crpc_channel_credentials *credentials);
/* The name that the server's certificate must bear; NULL: the target's host. Borrowed. */
const char *channel_credentials_name(const struct crpc_channel_credentials *credentials);

/* Core's, for one listening port; after grpc_init. It keeps credentials. NULL: out of memory. */
grpc_server_credentials *server_credentials_core(struct crpc_server_credentials *credentials);

#endif
