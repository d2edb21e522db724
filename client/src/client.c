/* The connection: address, TLS, who calls, time-outs. Any thread. */
#include "joblog/client.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "client_priv.h"
#include "crpc/credentials.h"

enum {
    DEFAULT_TIMEOUT_MS = 30000,
    /* A lease ends 30 s after the last sign of life, of which there is one every 10 s: the worker has 20 s to notice
     * that the connection is dead and to come back. The first is more than the 5 s that the server asks for between two
     * pings. The second is more than the 5 s after which core reads a connection that nobody else reads. */
    KEEPALIVE_MS = 7000,
    KEEPALIVE_TIMEOUT_MS = 8000,
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

/* Gives *ret (crpc_channel_credentials_free); NULL for plaintext. */
static int open_tls(const struct credentials *c, struct crpc_channel_credentials **ret, struct err *ret_err)
{
    struct crpc_tls_client_options tls = {
        .ca_file = c->ca_file, .cert_file = c->cert_file, .key_file = c->key_file, .server_name = c->server_name};
    *ret = c->tls ? crpc_channel_credentials_tls(&tls, ret_err) : NULL;
    return c->tls && !*ret ? -(int)ret_err->code : 0;
}

static int ms_or(int64_t ms, int otherwise)
{
    return ms == 0 ? otherwise : ms > INT_MAX ? INT_MAX : (int)ms;
}

/* actor: for the metadata; "" for none. */
static int open_channel(struct joblog_client *client, const struct joblog_options *o, const char *actor,
                        struct err *ret_err)
{
    struct crpc_metadata metadata = {"joblog-actor", span_str(actor)};
    struct crpc_channel_credentials *tls;
    int rc = open_tls(&client->credentials, &tls, ret_err);
    if (rc < 0)
        return rc;
    struct crpc_channel_options channel = {
        .max_message_bytes = MAX_MESSAGE_BYTES,
        .max_reconnect_ms = 1000,
        .keepalive_ms = ms_or(o->keepalive_ms, KEEPALIVE_MS),
        .keepalive_timeout_ms = ms_or(o->keepalive_timeout_ms, KEEPALIVE_TIMEOUT_MS),
        .metadata = &metadata,
        .n_metadata = *actor != '\0',
        .credentials = tls,
    };
    client->channel = crpc_channel_new(client->credentials.address, &channel, ret_err);
    crpc_channel_credentials_free(tls);
    return client->channel ? 0 : -(int)ret_err->code;
}

static int check_times(const struct joblog_options *o, struct err *ret_err)
{
    const char *bad = o->timeout_ms < 0             ? "timeout_ms"
                      : o->keepalive_ms < 0         ? "keepalive_ms"
                      : o->keepalive_timeout_ms < 0 ? "keepalive_timeout_ms"
                                                    : NULL;
    return bad ? err_field(ret_err, bad, "%s must not be negative", bad) : 0;
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
    if (check_times(o, &e) < 0)
        goto fail_client;
    client->timeout_ms = o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
    client->retry = !o->no_retry;
    char actor[300];
    identify(client, actor, sizeof actor);
    if (credentials_find(&client->credentials, address, o, &e) < 0)
        goto fail_client;
    /* Whoever brings credentials is known by them; a name besides would be a user on whose behalf it calls. */
    bool is_known = client->credentials.bearer || client->credentials.cert_file;
    if (open_channel(client, o, o->actor ? o->actor : is_known ? "" : actor, &e) < 0)
        goto fail_credentials;
    return client;

fail_credentials:
    credentials_done(&client->credentials);
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
    credentials_done(&client->credentials);
    mem_free(client);
}
