/* A real joblogd with TLS: client certificates and the rules for them, JWTs, plaintext that is not answered, and a
 * certificate that is replaced under load without a failed call. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "certs.h"
#include "crpc/credentials.h"
#include "joblog/v1/access.crpc.h"
#include "support/calls.h"
#include "support/channel.h"
#include "support/jwt_maker.h"
#include "support/server_fixture.h"

static struct cert_dir certs;
static struct server_fixture *server;
static char rules[128], jwks[128];
static EVP_PKEY *key;

static const char first_rules[] =
    "{\"rules\": [{\"uri\": \"spiffe://joblog.test/work*\", \"roles\": [\"worker\"], \"queues\": [\"mail*\"]},\n"
    " {\"dns\": \"*.joblog.test\", \"roles\": [\"viewer\"], \"owner\": \"ops\", \"own_only\": true}]}\n";

static void write_text(const char *path, const char *text)
{
    char temporary[160];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *f = fopen(temporary, "we");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(temporary, path), 0);
}

static int setup(void **state)
{
    static char args[7][200];
    static const char *list[8];
    (void)state;
    cert_dir_make(&certs);
    snprintf(rules, sizeof rules, "%s/rules.json", certs.path);
    snprintf(jwks, sizeof jwks, "%s/jwks.json", certs.path);
    key = jwt_key_new("ES256");
    jwks_write(jwks, &key, (const char *const[]){"k"}, 1);
    write_text(rules, first_rules);
    snprintf(args[0], sizeof *args, "--tls-cert=%s", certs.server);
    snprintf(args[1], sizeof *args, "--tls-key=%s", certs.server_key);
    snprintf(args[2], sizeof *args, "--tls-client-ca=%s", certs.ca);
    snprintf(args[3], sizeof *args, "--tls-client-certificate=optional");
    snprintf(args[4], sizeof *args, "--certificate-rules=%s", rules);
    snprintf(args[5], sizeof *args, "--jwt-jwks-file=%s", jwks);
    snprintf(args[6], sizeof *args, "--jwt-issuer=https://id.test");
    for (size_t i = 0; i < 7; i++)
        list[i] = args[i];
    static const char *all[9];
    memcpy(all, list, 7 * sizeof *list);
    all[7] = "--jwt-audience=joblog";
    server = server_fixture_start(&(struct server_fixture_options){.args = all});
    return server ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    server_fixture_free(server);
    EVP_PKEY_free(key);
    unlink(rules);
    unlink(jwks);
    cert_dir_remove(&certs);
    return 0;
}

static struct crpc_channel *open_channel(const char *cert, const char *cert_key, const char *token)
{
    struct crpc_tls_client_options tls = {.ca_file = certs.ca, .cert_file = cert, .key_file = cert_key};
    struct err err = ERR_NONE;
    struct crpc_channel_credentials *credentials = crpc_channel_credentials_tls(&tls, &err);
    struct crpc_channel_options options = {.credentials = credentials, .max_reconnect_ms = 100};
    if (!credentials)
        fail_msg("%s", err.msg);
    struct crpc_channel *channel = channel_open_with(server_fixture_address(server), token, &options);
    crpc_channel_credentials_free(credentials);
    assert_non_null(channel);
    return channel;
}

/* Code; *ret_response (crpc_message_free) of WhoAmI when OK. */
static int ask(struct crpc_channel *channel, Joblog__V1__WhoAmIResponse **ret_response, struct err *ret_err)
{
    static const struct crpc_call_options options = {.timeout_ms = 20000};
    Joblog__V1__WhoAmIRequest request = JOBLOG__V1__WHO_AM_IREQUEST__INIT;
    *ret_err = ERR_NONE;
    *ret_response = NULL;
    joblog_v1_access_service_who_am_i(channel, &options, &request, ret_response, ret_err);
    return (int)ret_err->code;
}

static void expect_actor(struct crpc_channel *channel, const char *actor, Joblog__V1__Role role, const char *owner)
{
    Joblog__V1__WhoAmIResponse *response;
    struct err err;
    if (ask(channel, &response, &err) != ERR_OK)
        fail_msg("%s %s", err_code_name((int)err.code), err.msg);
    assert_string_equal(response->actor, actor);
    assert_int_equal(response->grant->n_roles, 1);
    assert_int_equal(response->grant->roles[0], role);
    assert_string_equal(response->grant->owner, owner);
    crpc_message_free((ProtobufCMessage *)response);
    crpc_channel_free(channel);
}

static int code_of(struct crpc_channel *channel, struct err *ret_err)
{
    Joblog__V1__WhoAmIResponse *response;
    int code = ask(channel, &response, ret_err);
    crpc_message_free((ProtobufCMessage *)response);
    crpc_channel_free(channel);
    return code;
}

static void write_client(const char *name, const char *san, const struct cert *authority, char cert[128],
                         char cert_key[128])
{
    struct cert *c = cert_new(&(struct cert_spec){.name = name, .san = san, .extra_usage = "clientAuth"}, authority);
    snprintf(cert, 128, "%s/%s.pem", certs.path, name);
    snprintf(cert_key, 128, "%s/%s.key", certs.path, name);
    cert_write(c, cert, cert_key);
    cert_free(c);
}

static void certificates_are_told_by_their_names(void **state)
{
    char cert[128], cert_key[128];
    struct err err;
    (void)state;
    expect_actor(open_channel(certs.client, certs.client_key, NULL), "spiffe://joblog.test/worker",
                 JOBLOG__V1__ROLE__ROLE_WORKER, "spiffe://joblog.test/worker");
    write_client("host", "DNS:Host.Joblog.Test", certs.authority, cert, cert_key);
    expect_actor(open_channel(cert, cert_key, NULL), "dns:host.joblog.test", JOBLOG__V1__ROLE__ROLE_VIEWER, "ops");
    /* The common name does not count, and a name that no rule fits is nobody. */
    write_client("spiffe:worker", "URI:spiffe://elsewhere.test/worker", certs.authority, cert, cert_key);
    assert_int_equal(code_of(open_channel(cert, cert_key, NULL), &err), ERR_UNAUTHENTICATED);
    assert_string_equal(err.reason, "CERTIFICATE_NOT_KNOWN");
    /* A token counts before the certificate, also when it is wrong. */
    expect_actor(open_channel(certs.client, certs.client_key, server_fixture_token(server)),
                 server_fixture_actor(server), JOBLOG__V1__ROLE__ROLE_ADMIN, "admin");
    assert_int_equal(code_of(open_channel(certs.client, certs.client_key, "wrong"), &err), ERR_UNAUTHENTICATED);
    /* Without either. */
    assert_int_equal(code_of(open_channel(NULL, NULL, NULL), &err), ERR_UNAUTHENTICATED);
    assert_string_equal(err.reason, "CREDENTIALS_MISSING");
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
    char cert[128], cert_key[128];
    struct err err;
    (void)state;
    struct cert *other = cert_new(&(struct cert_spec){.name = "another authority"}, NULL);
    write_client("stranger", "URI:spiffe://joblog.test/worker", other, cert, cert_key);
    assert_int_equal(code_of(open_channel(cert, cert_key, NULL), &err), ERR_UNAVAILABLE);
    cert_free(other);
}

static void plaintext_is_not_answered(void **state)
{
    struct err err;
    (void)state;
    struct crpc_channel *channel =
        channel_open_with(server_fixture_address(server), server_fixture_token(server), NULL);
    assert_int_equal(code_of(channel, &err), ERR_UNAVAILABLE);
}

static void jwts_are_taken(void **state)
{
    static const char header[] = "{\"alg\": \"ES256\", \"kid\": \"k\"}";
    char claims[300];
    struct err err;
    (void)state;
    snprintf(claims, sizeof claims,
             "{\"iss\": \"https://id.test\", \"aud\": \"joblog\", \"sub\": \"ann\", \"exp\": %ld, "
             "\"joblog_roles\": [\"exporter\"]}",
             (long)time(NULL) + 600);
    expect_actor(open_channel(NULL, NULL, jwt_make("ES256", key, header, claims)), "jwt:ann",
                 JOBLOG__V1__ROLE__ROLE_EXPORTER, "ann");
    assert_int_equal(code_of(open_channel(NULL, NULL, jwt_make("none", NULL, "{\"alg\": \"none\"}", claims)), &err),
                     ERR_UNAUTHENTICATED);
    assert_string_equal(err.reason, "TOKEN_NOT_VALID");
    snprintf(claims, sizeof claims,
             "{\"iss\": \"https://id.test\", \"aud\": \"other\", \"sub\": \"ann\", \"exp\": %ld}",
             (long)time(NULL) + 600);
    assert_int_equal(code_of(open_channel(NULL, NULL, jwt_make("ES256", key, header, claims)), &err),
                     ERR_UNAUTHENTICATED);
}

/* Rules that change count soon, and end the streams of those who were let in by the old ones. */
static void rules_are_read_again(void **state)
{
    struct err err;
    (void)state;
    write_text(rules, "{\"rules\": [{\"uri\": \"spiffe://joblog.test/worker\", \"roles\": [\"viewer\"]}]}");
    int64_t end_ms = clock_mono_ms() + 20000;
    Joblog__V1__Role role = JOBLOG__V1__ROLE__ROLE_WORKER;
    struct crpc_channel *channel = open_channel(certs.client, certs.client_key, NULL);
    while (role != JOBLOG__V1__ROLE__ROLE_VIEWER && clock_mono_ms() < end_ms) {
        Joblog__V1__WhoAmIResponse *response;
        assert_int_equal(ask(channel, &response, &err), ERR_OK);
        role = response->grant->roles[0];
        crpc_message_free((ProtobufCMessage *)response);
    }
    assert_int_equal(role, JOBLOG__V1__ROLE__ROLE_VIEWER);
    struct crpc_channel *as_admin = open_channel(NULL, NULL, server_fixture_token(server));
    Joblog__V1__JobSpec spec = spec_of("hello", "q");
    int64_t id = must_dispatch(as_admin, &spec);
    struct crpc_stream *watch = must_watch(channel, id, 0, false);
    Joblog__V1__WatchJobResponse *first = watch_next(watch, &err);
    assert_non_null(first);
    crpc_message_free((ProtobufCMessage *)first);
    write_text(rules, "{\"rules\": []}");
    assert_null(watch_next(watch, &err));
    assert_int_equal(err.code, ERR_UNAUTHENTICATED);
    crpc_stream_free(watch);
    assert_int_equal(code_of(channel, &err), ERR_UNAUTHENTICATED);
    crpc_channel_free(as_admin);
    write_text(rules, first_rules);
}

/* ---- a certificate that is replaced ---- */

enum { LOADERS = 3, RENEWALS = 6 };
static atomic_bool enough;
static atomic_int n_calls, n_failed;
static struct err first_failure;

/* New connections all the time, a few calls on each. */
static void *loader(void *arg)
{
    (void)arg;
    while (!atomic_load(&enough)) {
        struct crpc_channel *channel = open_channel(NULL, NULL, server_fixture_token(server));
        for (int i = 0; i < 5; i++) {
            Joblog__V1__WhoAmIResponse *response;
            struct err err;
            if (ask(channel, &response, &err) != ERR_OK && atomic_fetch_add(&n_failed, 1) == 0)
                first_failure = err;
            crpc_message_free((ProtobufCMessage *)response);
            atomic_fetch_add(&n_calls, 1);
        }
        crpc_channel_free(channel);
    }
    return NULL;
}

static void a_certificate_is_replaced_under_load(void **state)
{
    pthread_t threads[LOADERS];
    (void)state;
    for (int i = 0; i < LOADERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, loader, NULL), 0);
    for (int n = 0; n < RENEWALS; n++) {
        int until = atomic_load(&n_calls) + 60;
        struct cert *fresh =
            cert_new(&(struct cert_spec){.name = "renewed", .san = "DNS:localhost,IP:127.0.0.1"}, certs.authority);
        /* Between the two renames the files do not fit together: the old ones stay in force. */
        cert_write(fresh, certs.server, certs.server_key);
        cert_free(fresh);
        if (n % 2)
            kill(server_fixture_pid(server), SIGHUP);
        while (atomic_load(&n_calls) < until && !atomic_load(&n_failed))
            sched_yield();
    }
    atomic_store(&enough, true);
    for (int i = 0; i < LOADERS; i++)
        pthread_join(threads[i], NULL);
    if (atomic_load(&n_failed))
        fail_msg("%d of %d calls failed, first: %s %s", atomic_load(&n_failed), atomic_load(&n_calls),
                 err_code_name((int)first_failure.code), first_failure.msg);
    assert_true(atomic_load(&n_calls) >= RENEWALS * 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_are_told_by_their_names),
        cmocka_unit_test(a_certificate_of_another_authority_is_refused),
        cmocka_unit_test(plaintext_is_not_answered),
        cmocka_unit_test(jwts_are_taken),
        cmocka_unit_test(rules_are_read_again),
        cmocka_unit_test(a_certificate_is_replaced_under_load),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
