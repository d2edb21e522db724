/* See replicas.h. */
#include "support/replicas.h"

#include "support/pg_fixture.h"
#include "support/server_fixture.h"

int replicas_start(struct replicas *replicas, const char *const *args)
{
    *replicas = (struct replicas){.uri = pg_fixture_start()};
    if (!replicas->uri)
        return -1;
    for (int i = 0; i < 2; i++) {
        replicas->servers[i] =
            server_fixture_start(&(struct server_fixture_options){.database = replicas->uri, .args = args});
        if (!replicas->servers[i])
            return -1;
        replicas->channels[i] = channel_open(replicas->servers[i], NULL);
        if (!replicas->channels[i])
            return -1;
    }
    return 0;
}

int replicas_stop(struct replicas *replicas)
{
    int code = 0;
    for (int i = 0; i < 2; i++) {
        crpc_channel_free(replicas->channels[i]);
        code |= replicas->servers[i] ? server_fixture_stop(replicas->servers[i]) : -1;
        server_fixture_free(replicas->servers[i]);
    }
    pg_fixture_stop();
    return code;
}
