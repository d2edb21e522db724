/* Credentials of calls: a callback asked anew for each, that may refuse; only where nobody listens; bearer tokens; and
 * authorities that a certificate must bear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs.h"
#include "crpc/call_credentials.h"
#include "echo_server.h"

typedef Crpc__Test__V1__SayRequest say_request;
typedef Crpc__Test__V1__SayResponse say_response;

static void keep_status(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct err *kept = user;
    assert_true(!response == (status->code != ERR_OK));
    *kept = *status;
}

struct supplier {
    int n_calls;
    int refuse; /* code; -1: without saying why */
    const char *key;
    const char *path; /* of the last method */
};

static int supply(void *user, const struct crpc_method *method, struct crpc_call_metadata *out, struct err *ret_err)
{
    struct supplier *s = user;
    char value[32];
    s->path = method->path;
    snprintf(value, sizeof value, "number %d", ++s->n_calls);
    if (s->refuse == -1)
        return -1;
    if (s->refuse)
        return err_set(ret_err, (enum err_code)s->refuse, "NO_TOKEN", "no token today");
    return crpc_call_metadata_add(out, s->key, span_str(value), ret_err);
}

static int say_key(struct crpc_channel *channel, const struct crpc_call_options *o, const char *key, char *ret_value,
                   struct err *ret_err)
{
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    say_response *r = NULL;
    q.metadata_key = (char *)key;
    int rc = crpc_test_v1_echo_service_say(channel, o, &q, &r, ret_err);
    if (rc == 0) {
        snprintf(ret_value, 64, "%s", r->metadata);
        crpc_message_free(&r->base);
    }
    return rc;
}

static void test_credentials_callback(void **state)
{
    struct echo *e = *state;
    struct err err = ERR_NONE;
    struct supplier s = {.key = "x-token"};
    struct crpc_call_credentials creds = {supply, &s, true};
    struct crpc_channel *channel =
        crpc_channel_new(e->target, &(struct crpc_channel_options){.call_credentials = &creds}, &err);
    char value[64];
    for (int i = 1; i <= 3; i++) { /* anew for each */
        char wanted[32];
        snprintf(wanted, sizeof wanted, "number %d", i);
        assert_int_equal(say_key(channel, NULL, "x-token", value, &err), 0);
        assert_string_equal(value, wanted);
    }
    assert_string_equal(s.path, "/crpc.test.v1.EchoService/Say");
    /* A call's own come in place of the channel's. */
    struct supplier own = {.key = "x-own"};
    struct crpc_call_credentials own_creds = {supply, &own, true};
    struct crpc_call_options o = {.credentials = &own_creds};
    assert_int_equal(say_key(channel, &o, "x-own", value, &err), 0);
    assert_string_equal(value, "number 1");
    assert_int_equal(say_key(channel, &o, "x-token", value, &err), 0);
    assert_string_equal(value, "");
    /* Nor may they supply what no call may send. */
    s.key = "grpc-status";
    assert_int_equal(say_key(channel, NULL, "x-token", value, &err), -ERR_INVALID_ARGUMENT);
    crpc_channel_free(channel);
}

static void never_end(struct crpc_async *s, const struct err *status, const struct crpc_metadata_list *trailing)
{
    (void)s, (void)status, (void)trailing;
    fail_msg("an end of what never began");
}

static void test_credentials_refuse(void **state)
{
    struct echo *e = *state;
    struct err err = ERR_NONE;
    struct supplier s = {.key = "x-token", .refuse = ERR_PERMISSION_DENIED};
    struct crpc_call_credentials creds = {supply, &s, true};
    struct crpc_channel_options co = {.call_credentials = &creds};
    struct crpc_channel *channel = crpc_channel_new(e->target, &co, &err);
    struct crpc_loop *loop = crpc_loop_new();
    static const struct crpc_async_events events = {.on_end = never_end};
    char value[64];
    assert_int_equal(say_key(channel, NULL, "x-token", value, &err), -ERR_PERMISSION_DENIED);
    assert_string_equal(err.reason, "NO_TOKEN");
    err = ERR_NONE;
    assert_null(crpc_test_v1_echo_service_chat_open(channel, NULL, &err));
    assert_int_equal(err.code, ERR_PERMISSION_DENIED);
    err = ERR_NONE;
    assert_null(crpc_test_v1_echo_service_chat_start(channel, loop, NULL, &events, NULL, &err));
    assert_int_equal(err.code, ERR_PERMISSION_DENIED);
    say_request q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    assert_int_equal(crpc_test_v1_echo_service_say_start(channel, loop, NULL, &q, keep_status, NULL, &err),
                     -ERR_PERMISSION_DENIED);
    s.refuse = -1;
    assert_int_equal(say_key(channel, NULL, "x-token", value, &err), -ERR_UNAUTHENTICATED);
    assert_string_equal(err.reason, "CREDENTIALS_REFUSED");
    s.refuse = 0;
    assert_int_equal(say_key(channel, NULL, "x-token", value, &err), 0);
    assert_int_equal(echo_said(e), 1); /* the others never reached the server */
    crpc_loop_free(loop);
    crpc_channel_free(channel);
}

/* Never over a connection that others can read, unless told otherwise. */
static void test_credentials_need_privacy(void **state)
{
    struct echo *e = *state;
    struct err err = ERR_NONE;
    struct supplier s = {.key = "x-token"};
    struct crpc_call_credentials creds = {supply, &s, false};
    struct crpc_call_options o = {.credentials = &creds};
    char value[64];
    assert_int_equal(say_key(e->channel, &o, "x-token", value, &err), -ERR_UNAUTHENTICATED);
    assert_string_equal(err.reason, "INSECURE_CHANNEL");
    assert_int_equal(s.n_calls, 0);
    assert_int_equal(echo_said(e), 0);

    struct echo local; /* a unix socket is private */
    char address[64];
    snprintf(address, sizeof address, "unix:/tmp/crpc-test-%d-creds", (int)getpid());
    echo_start(&local, NULL, address);
    assert_int_equal(say_key(local.channel, &o, "x-token", value, &err), 0);
    assert_string_equal(value, "number 1");
    echo_stop(&local, 10000);
}

static void test_bearer_over_tls(void **state)
{
    (void)state;
    struct cert_dir dir;
    struct err err = ERR_NONE;
    struct echo e;
    char value[64];
    cert_dir_make(&dir);
    struct crpc_server_credentials *server = crpc_server_credentials_tls(
        &(struct crpc_tls_server_options){.cert_file = dir.server, .key_file = dir.server_key}, &err);
    struct crpc_channel_credentials *tls =
        crpc_channel_credentials_tls(&(struct crpc_tls_client_options){.ca_file = dir.ca}, &err);
    struct crpc_bearer *bearer = crpc_bearer_new("abc.DEF-1~+/==", false, &err);
    assert_non_null(bearer);
    struct crpc_channel_options co = {.credentials = tls, .call_credentials = crpc_bearer_credentials(bearer)};
    echo_start_with(&e, NULL, NULL, server, &co);
    assert_int_equal(say_key(e.channel, NULL, "authorization", value, &err), 0);
    assert_string_equal(value, "Bearer abc.DEF-1~+/==");
    assert_int_equal(crpc_bearer_set(bearer, "another", &err), 0);
    assert_int_equal(say_key(e.channel, NULL, "authorization", value, &err), 0);
    assert_string_equal(value, "Bearer another");
    static const char *const bad[] = {"", "a b", "a\n", "=a", "a=b", "caf\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(crpc_bearer_set(bearer, bad[i], &err), -ERR_INVALID_ARGUMENT);
        assert_null(crpc_bearer_new(bad[i], false, &err));
    }
    assert_int_equal(say_key(e.channel, NULL, "authorization", value, &err), 0);
    assert_string_equal(value, "Bearer another"); /* what was refused changed nothing */
    /* An authority that the certificate bears, and one that it does not. */
    struct crpc_call_options o = {.authority = "localhost"};
    assert_int_equal(say_key(e.channel, &o, "authorization", value, &err), 0);
    o.authority = "elsewhere.test";
    assert_true(say_key(e.channel, &o, "authorization", value, &err) < 0);
    echo_stop(&e, 10000);
    crpc_bearer_free(bearer);
    crpc_channel_credentials_free(tls);
    crpc_server_credentials_free(server);
    cert_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_credentials_callback),
        T(test_credentials_refuse),
        T(test_credentials_need_privacy),
#undef T
        cmocka_unit_test(test_bearer_over_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
