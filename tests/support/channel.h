/* Channels of tests to a joblogd of the fixture. */
#ifndef SUPPORT_CHANNEL_H
#define SUPPORT_CHANNEL_H

#include "crpc/client.h"
#include "support/server_fixture.h"

/* To the server's TCP address, with its administrator's token in the metadata of every call, besides what options
 * (NULL: defaults) say. NULL on failure. */
struct crpc_channel *channel_open(const struct server_fixture *server, const struct crpc_channel_options *options);
/* To any address with any token (NULL: none). */
struct crpc_channel *channel_open_with(const char *address, const char *token,
                                       const struct crpc_channel_options *options);

#endif
