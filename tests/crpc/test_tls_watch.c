/* A client that watches its files: everything is replaced, authority, server and client, and the channel that was there
 * before connects with what is new. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "certs.h"
#include "echo_server.h"

static struct cert_dir dir;
static char seen[64]; /* URI of the last caller; written on the worker, read after its answer */

static int setup(void **state)
{
    (void)state;
    cert_dir_make(&dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cert_dir_remove(&dir);
    return 0;
}

static int look(struct crpc_call *call, void *user, struct err *ret_err)
{
    struct crpc_peer_identity id = {0};
    (void)user;
    (void)ret_err;
    crpc_call_peer_identity(call, &id);
    snprintf(seen, sizeof seen, "%.*s", id.n_uris ? (int)id.uris[0].len : 0, id.n_uris ? id.uris[0].data : "");
    return 0;
}

static const struct crpc_interceptor LOOK = {.before = look};

static void start(struct echo *e, const char *address, struct crpc_server_credentials **ret_credentials)
{
    struct err err = ERR_NONE;
    struct crpc_tls_server_options o = {dir.server, dir.server_key, dir.ca, CRPC_CLIENT_CERTIFICATE_REQUIRED};
    *ret_credentials = crpc_server_credentials_tls(&o, &err);
    if (!*ret_credentials)
        fail_msg("%s", err.msg);
    struct crpc_server_options so = {.interceptors = &LOOK, .n_interceptors = 1};
    echo_start_with(e, &so, address, *ret_credentials, NULL);
}

static int say(struct crpc_channel *channel, struct err *err)
{
    Crpc__Test__V1__SayRequest request = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *response = NULL;
    struct crpc_call_options o = {.timeout_ms = 20000, .wait_for_ready = true};
    int rc = crpc_test_v1_echo_service_say(channel, &o, &request, &response, err);
    crpc_message_free((ProtobufCMessage *)response);
    return rc;
}

/* The whole public key infrastructure anew, in the same files. */
static void replace_all(void)
{
    struct cert *authority = cert_new(&(struct cert_spec){.name = "another authority"}, NULL);
    struct cert *server = cert_new(&(struct cert_spec){.name = "server", .san = "IP:127.0.0.1"}, authority);
    struct cert *client = cert_new(&(struct cert_spec){.name = "c", .san = "URI:spiffe://joblog.test/new"}, authority);
    cert_write(authority, dir.ca, NULL);
    cert_write(server, dir.server, dir.server_key);
    cert_write(client, dir.client, dir.client_key);
    cert_free(authority);
    cert_free(server);
    cert_free(client);
}

static void test_replaced(void **state)
{
    (void)state;
    char address[32];
    struct err err = ERR_NONE;
    struct echo e;
    struct crpc_server_credentials *credentials;
    struct crpc_tls_client_options o = {dir.ca, dir.client, dir.client_key, NULL, true};
    start(&e, NULL, &credentials);
    struct crpc_channel_credentials *mine = crpc_channel_credentials_tls(&o, &err);
    struct crpc_channel_options co = {.credentials = mine, .max_reconnect_ms = 200};
    struct crpc_channel *channel = crpc_channel_new(e.target, &co, &err);
    assert_true(mine && channel);
    crpc_channel_credentials_free(mine);
    assert_int_equal(say(channel, &err), 0);
    assert_string_equal(seen, "spiffe://joblog.test/worker");

    snprintf(address, sizeof address, "127.0.0.1:%d", e.port);
    echo_stop(&e, 10000);
    crpc_server_credentials_free(credentials);
    replace_all();
    start(&e, address, &credentials);
    if (say(channel, &err) != 0) /* waits until the channel has seen the new files */
        fail_msg("%s", err.msg);
    assert_string_equal(seen, "spiffe://joblog.test/new");
    crpc_channel_free(channel);
    echo_stop(&e, 10000);
    crpc_server_credentials_free(credentials);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replaced)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
