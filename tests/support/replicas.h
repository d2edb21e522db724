/* Two joblogd on one database. One thread. */
#ifndef TESTS_SUPPORT_REPLICAS_H
#define TESTS_SUPPORT_REPLICAS_H

#include "support/channel.h"

struct replicas {
    const char *uri; /* of the database; pg_fixture.h */
    struct server_fixture *servers[2];
    struct crpc_channel *channels[2]; /* with the administrator's token */
};

/* args: of both (NULL: none). 0, or -1: then replicas_stop all the same. */
int replicas_start(struct replicas *replicas, const char *const *args);
/* 0 when both ended well. */
int replicas_stop(struct replicas *replicas);

#endif
