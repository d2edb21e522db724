/* The connection: address, who calls, time-outs. Any thread. */
#include "joblog/client.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "client_priv.h"

enum {
    DEFAULT_TIMEOUT_MS = 30000,
    /* A job in full with a thousand attempts and their stack traces is the largest answer there is. */
    MAX_MESSAGE_BYTES = 128 * 1024 * 1024
};

static void user_name(char *out, size_t size)
{
    char buffer[1024];
    struct passwd entry, *found = NULL;
    if (getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &found) == 0 && found)
        snprintf(out, size, "%s", found->pw_name);
    else
        snprintf(out, size, "%u", (unsigned)geteuid());
}

/* Metadata of gRPC is printable ASCII; anything else in a name becomes "?". */
static void make_printable(char *s)
{
    for (; *s; s++) {
        if (*s < ' ' || *s > '~')
            *s = '?';
    }
}

static void identify(struct joblog_client *client, char *actor, size_t size)
{
    char host[100], user[64];
    if (gethostname(host, sizeof host) != 0)
        snprintf(host, sizeof host, "localhost");
    host[sizeof host - 1] = '\0';
    user_name(user, sizeof user);
    snprintf(client->program, sizeof client->program, "%s:%.90s", host, program_invocation_short_name);
    snprintf(actor, size, "%s@%s", user, client->program);
    make_printable(actor);
}

static const char *address_or_default(const char *address)
{
    if (!address || !*address)
        address = getenv("JOBLOG_SERVER");
    return address && *address ? address : "127.0.0.1:7420";
}

struct joblog_client *joblog_connect(const char *address, const struct joblog_options *options,
                                     struct joblog_error *error)
{
    const struct joblog_options defaults = {0};
    const struct joblog_options *o = options ? options : &defaults;
    struct err e = ERR_NONE;
    struct joblog_client *client = mem_zalloc(sizeof *client);
    if (!client) {
        error_no_memory(&e);
        goto fail;
    }
    if (o->timeout_ms < 0) {
        err_field(&e, "timeout_ms", "timeout_ms must not be negative");
        goto fail_client;
    }
    client->timeout_ms = o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
    client->retry = !o->no_retry;
    char actor[300];
    identify(client, actor, sizeof actor);
    struct crpc_metadata metadata = {"joblog-actor", span_str(o->actor ? o->actor : actor)};
    struct crpc_channel_options channel = {
        .max_message_bytes = MAX_MESSAGE_BYTES,
        .max_reconnect_ms = 1000,
        .metadata = &metadata,
        .n_metadata = 1,
    };
    client->channel = crpc_channel_new(address_or_default(address), &channel, &e);
    if (!client->channel)
        goto fail_client;
    return client;

fail_client:
    mem_free(client);
fail:
    error_give(error, &e);
    return NULL;
}

void joblog_close(struct joblog_client *client)
{
    if (!client)
        return;
    crpc_channel_free(client->channel);
    mem_free(client);
}
