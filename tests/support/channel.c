/* See channel.h. */
#include "support/channel.h"

#include <stdio.h>
#include <string.h>

enum { METADATA_MAX = 8 };

struct crpc_channel *channel_open_with(const char *address, const char *token,
                                       const struct crpc_channel_options *options)
{
    struct crpc_channel_options all = options ? *options : (struct crpc_channel_options){0};
    struct crpc_metadata metadata[METADATA_MAX];
    char bearer[8300];
    struct err err = ERR_NONE;
    size_t n = 0;
    for (; n < all.n_metadata && n + 1 < METADATA_MAX; n++)
        metadata[n] = all.metadata[n];
    if (token) {
        snprintf(bearer, sizeof bearer, "Bearer %s", token);
        metadata[n++] = (struct crpc_metadata){"authorization", span_str(bearer)};
    }
    all.metadata = metadata;
    all.n_metadata = n;
    struct crpc_channel *channel = crpc_channel_new(address, &all, &err);
    if (!channel)
        fprintf(stderr, "channel to %s: %s\n", address, err.msg);
    return channel;
}

struct crpc_channel *channel_open(const struct server_fixture *server, const struct crpc_channel_options *options)
{
    return channel_open_with(server_fixture_address(server), server_fixture_token(server), options);
}
