/* TLS and mutual TLS: who gets in, whom the server sees, and which mistakes are told how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs.h"
#include "echo_server.h"

static struct cert_dir dir;
static bool watch; /* the clients watch their files */

static int setup(void **state)
{
    (void)state;
    cert_dir_make(&dir);
    /* Core's other resolver, c-ares, loses a name now and then, which LeakSanitizer tells. */
    setenv("GRPC_DNS_RESOLVER", "native", 1);
    /* Where a client looks that is told of no authority. */
    return setenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", dir.ca, 1);
}

static int teardown(void **state)
{
    (void)state;
    cert_dir_remove(&dir);
    return 0;
}

/* What an interceptor saw of the last call. Written on the worker before the answer, read by the test after it. */
struct seen {
    bool is_private, has_identity, again;
    size_t n_uris, n_dns_names;
    char uri[64], dns_name[64], peer[64];
};

static int look(struct crpc_call *call, void *user, struct err *ret_err)
{
    (void)ret_err;
    struct seen *seen = user;
    struct crpc_peer_identity id = {0}, twice = {0};
    echo_hand_over();
    *seen = (struct seen){.is_private = crpc_call_is_private(call)};
    snprintf(seen->peer, sizeof seen->peer, "%s", crpc_call_peer(call));
    seen->has_identity = crpc_call_peer_identity(call, &id);
    seen->again = crpc_call_peer_identity(call, &twice) == seen->has_identity && twice.uris == id.uris;
    seen->n_uris = id.n_uris;
    seen->n_dns_names = id.n_dns_names;
    if (id.n_uris)
        snprintf(seen->uri, sizeof seen->uri, "%.*s", (int)id.uris[0].len, id.uris[0].data);
    if (id.n_dns_names)
        snprintf(seen->dns_name, sizeof seen->dns_name, "%.*s", (int)id.dns_names[0].len, id.dns_names[0].data);
    echo_hand_over();
    return 0;
}

struct fixture {
    struct echo echo;
    struct seen seen;
    struct crpc_interceptor interceptor;
    struct crpc_server_credentials *credentials;
};

static struct crpc_server_credentials *server_credentials(enum crpc_client_certificate clients)
{
    struct err err = ERR_NONE;
    struct crpc_tls_server_options o = {dir.server, dir.server_key, dir.ca, clients};
    struct crpc_server_credentials *c = crpc_server_credentials_tls(&o, &err);
    if (!c)
        fail_msg("%s", err.msg);
    return c;
}

/* credentials: taken; NULL: plaintext. */
static void start(struct fixture *f, struct crpc_server_credentials *credentials, const char *address)
{
    memset(f, 0, sizeof *f);
    f->credentials = credentials;
    f->interceptor = (struct crpc_interceptor){.before = look, .user = &f->seen};
    struct crpc_server_options o = {.interceptors = &f->interceptor, .n_interceptors = 1};
    echo_start_with(&f->echo, &o, address, credentials, NULL);
}

static void stop(struct fixture *f)
{
    echo_stop(&f->echo, 10000);
    crpc_server_credentials_free(f->credentials);
}

/* One call on a channel of its own; *ret_err is the outcome. options NULL: plaintext. */
static int call_with(const char *target, const struct crpc_tls_client_options *options, struct err *ret_err)
{
    struct crpc_tls_client_options mine = options ? *options : (struct crpc_tls_client_options){0};
    mine.watch_files = watch;
    struct crpc_channel_credentials *c = options ? crpc_channel_credentials_tls(&mine, ret_err) : NULL;
    if (options && !c)
        fail_msg("%s", ret_err->msg);
    struct crpc_channel_options o = {.credentials = c};
    struct crpc_channel *channel = crpc_channel_new(target, &o, ret_err);
    crpc_channel_credentials_free(c); /* the channel has copies */
    if (!channel)
        fail_msg("%s", ret_err->msg);
    Crpc__Test__V1__SayRequest request = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *response = NULL;
    request.text = "hello";
    struct crpc_call_options call = {.timeout_ms = 20000};
    *ret_err = ERR_NONE;
    echo_hand_over();
    int rc = crpc_test_v1_echo_service_say(channel, &call, &request, &response, ret_err);
    echo_hand_over();
    if (rc == 0)
        assert_string_equal(response->text, "hello");
    crpc_message_free((ProtobufCMessage *)response);
    crpc_channel_free(channel);
    return rc;
}

static void must_fail(struct fixture *f, const char *target, const struct crpc_tls_client_options *options)
{
    struct err err;
    f->seen = (struct seen){0};
    assert_int_equal(call_with(target, options, &err), -ERR_UNAVAILABLE);
    assert_string_equal(f->seen.peer, ""); /* no call has got through */
}

static void must_pass(const char *target, const struct crpc_tls_client_options *options)
{
    struct err err;
    if (call_with(target, options, &err) != 0)
        fail_msg("%s: %s", target, err.msg);
}

static void test_encrypted_call(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, server_credentials(CRPC_CLIENT_CERTIFICATE_NONE), NULL);
    must_pass(f.echo.target, &(struct crpc_tls_client_options){.ca_file = dir.ca});
    assert_true(f.seen.is_private);
    assert_false(f.seen.has_identity);
    assert_true(f.seen.again);
    /* A certificate that nobody asks for is none. */
    must_pass(f.echo.target, &(struct crpc_tls_client_options){
                                 .ca_file = dir.ca, .cert_file = dir.client, .key_file = dir.client_key});
    assert_false(f.seen.has_identity);
    if (!watch) /* the system's authorities, which core reads once in a process */
        must_pass(f.echo.target, &(struct crpc_tls_client_options){0});
    stop(&f);
}

static void test_plaintext_is_not_private(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, NULL, NULL);
    must_pass(f.echo.target, NULL);
    assert_int_equal(strncmp(f.seen.peer, "ipv4:127.0.0.1:", 15), 0);
    assert_false(f.seen.is_private);
    assert_false(f.seen.has_identity);
    stop(&f);
}

static void test_unix_socket_is_private(void **state)
{
    (void)state;
    char address[96];
    struct fixture f;
    snprintf(address, sizeof address, "unix:%s/socket", dir.path);
    start(&f, NULL, address);
    must_pass(address, NULL);
    assert_true(f.seen.is_private);
    assert_false(f.seen.has_identity);
    stop(&f);
}

static void test_plaintext_meets_tls(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, server_credentials(CRPC_CLIENT_CERTIFICATE_NONE), NULL);
    must_fail(&f, f.echo.target, NULL);
    stop(&f);
    start(&f, NULL, NULL);
    must_fail(&f, f.echo.target, &(struct crpc_tls_client_options){.ca_file = dir.ca});
    stop(&f);
}

static void test_server_of_another_authority(void **state)
{
    (void)state;
    char other_ca[96];
    struct fixture f;
    struct cert *other = cert_new(&(struct cert_spec){.name = "other authority"}, NULL);
    snprintf(other_ca, sizeof other_ca, "%s/other-ca.pem", dir.path);
    cert_write(other, other_ca, NULL);
    cert_free(other);
    start(&f, server_credentials(CRPC_CLIENT_CERTIFICATE_NONE), NULL);
    must_fail(&f, f.echo.target, &(struct crpc_tls_client_options){.ca_file = other_ca});
    must_pass(f.echo.target, &(struct crpc_tls_client_options){.ca_file = dir.ca});
    stop(&f);
}

static void test_server_name(void **state)
{
    (void)state;
    char target[64];
    struct fixture f;
    start(&f, server_credentials(CRPC_CLIENT_CERTIFICATE_NONE), NULL);
    snprintf(target, sizeof target, "dns:///localhost:%d", f.echo.port);
    must_pass(target, &(struct crpc_tls_client_options){.ca_file = dir.ca});
    must_pass(f.echo.target, &(struct crpc_tls_client_options){.ca_file = dir.ca, .server_name = "localhost"});
    must_fail(&f, f.echo.target, &(struct crpc_tls_client_options){.ca_file = dir.ca, .server_name = "joblog.test"});
    /* The common name counts for nothing where there are alternative names. */
    must_fail(&f, f.echo.target, &(struct crpc_tls_client_options){.ca_file = dir.ca, .server_name = "server"});
    stop(&f);
}

/* A certificate of the test's authority, with its key, in files of the directory. */
struct files {
    char cert[96], key[96];
};

static struct files issue(const char *name, const struct cert_spec *spec, const struct cert *issuer)
{
    struct files files;
    struct cert *cert = cert_new(spec, issuer);
    snprintf(files.cert, sizeof files.cert, "%s/%s.pem", dir.path, name);
    snprintf(files.key, sizeof files.key, "%s/%s.key", dir.path, name);
    cert_write(cert, files.cert, files.key);
    cert_free(cert);
    return files;
}

static void must_fail_server(const struct files *files)
{
    struct fixture f;
    struct err err = ERR_NONE;
    struct crpc_tls_server_options o = {.cert_file = files->cert, .key_file = files->key};
    struct crpc_server_credentials *c = crpc_server_credentials_tls(&o, &err);
    if (!c)
        fail_msg("%s", err.msg);
    start(&f, c, NULL);
    must_fail(&f, f.echo.target, &(struct crpc_tls_client_options){.ca_file = dir.ca});
    stop(&f);
}

static void test_server_certificate_out_of_its_time(void **state)
{
    (void)state;
    struct files late =
        issue("late", &(struct cert_spec){"server", "IP:127.0.0.1", -7200, -3600, 0, NULL}, dir.authority);
    must_fail_server(&late);
    struct files early =
        issue("early", &(struct cert_spec){"server", "IP:127.0.0.1", 3600, 7200, 0, NULL}, dir.authority);
    must_fail_server(&early);
}

static void test_certificate_of_a_client_serves_nobody(void **state)
{
    (void)state;
    struct files files =
        issue("for-clients", &(struct cert_spec){.name = "x", .san = "IP:127.0.0.1", .extra_usage = "clientAuth"},
              dir.authority);
    must_fail_server(&files);
}

static void test_mutual(void **state)
{
    (void)state;
    struct fixture f;
    struct crpc_tls_client_options with = {dir.ca, dir.client, dir.client_key, NULL, false},
                                   without = {.ca_file = dir.ca};
    start(&f, server_credentials(CRPC_CLIENT_CERTIFICATE_REQUIRED), NULL);
    must_pass(f.echo.target, &with);
    assert_true(f.seen.is_private);
    assert_true(f.seen.has_identity);
    assert_true(f.seen.again);
    assert_int_equal(f.seen.n_uris, 1);
    assert_string_equal(f.seen.uri, "spiffe://joblog.test/worker");
    assert_int_equal(f.seen.n_dns_names, 1);
    assert_string_equal(f.seen.dns_name, "worker.joblog.test");
    must_fail(&f, f.echo.target, &without);
    stop(&f);

    start(&f, server_credentials(CRPC_CLIENT_CERTIFICATE_OPTIONAL), NULL);
    must_pass(f.echo.target, &with);
    assert_true(f.seen.has_identity);
    must_pass(f.echo.target, &without);
    assert_true(f.seen.is_private);
    assert_false(f.seen.has_identity);
    stop(&f);
}

static void test_clients_that_are_not_let_in(void **state)
{
    (void)state;
    struct cert *other = cert_new(&(struct cert_spec){.name = "authority"}, NULL); /* of the same name, even */
    struct files bad[] = {
        issue("stranger", &(struct cert_spec){.name = "stranger", .san = "URI:spiffe://joblog.test/worker"}, other),
        issue("expired", &(struct cert_spec){"c", "URI:spiffe://joblog.test/worker", -7200, -3600, 0, NULL},
              dir.authority),
        issue("future", &(struct cert_spec){"c", "URI:spiffe://joblog.test/worker", 3600, 7200, 0, NULL},
              dir.authority),
        issue("for-servers", &(struct cert_spec){.name = "c", .extra_usage = "serverAuth"}, dir.authority),
        issue("alone", &(struct cert_spec){.name = "alone"}, NULL), /* signed by itself */
    };
    enum crpc_client_certificate kinds[] = {CRPC_CLIENT_CERTIFICATE_REQUIRED, CRPC_CLIENT_CERTIFICATE_OPTIONAL};
    for (size_t k = 0; k < 2; k++) {
        struct fixture f;
        start(&f, server_credentials(kinds[k]), NULL);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            must_fail(&f, f.echo.target,
                      &(struct crpc_tls_client_options){dir.ca, bad[i].cert, bad[i].key, NULL, false});
        must_pass(f.echo.target, &(struct crpc_tls_client_options){dir.ca, dir.client, dir.client_key, NULL, false});
        stop(&f);
    }
    cert_free(other);
}

static void test_certificate_without_names(void **state)
{
    (void)state;
    struct fixture f;
    struct files files = issue("nameless", &(struct cert_spec){.name = "nameless"}, dir.authority);
    start(&f, server_credentials(CRPC_CLIENT_CERTIFICATE_REQUIRED), NULL);
    must_pass(f.echo.target, &(struct crpc_tls_client_options){dir.ca, files.cert, files.key, NULL, false});
    assert_true(f.seen.has_identity);
    assert_int_equal(f.seen.n_uris, 0);
    assert_int_equal(f.seen.n_dns_names, 0);
    stop(&f);
}

static void test_streams_and_two_ports(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct crpc_server_credentials *c = server_credentials(CRPC_CLIENT_CERTIFICATE_NONE);
    struct crpc_channel_credentials *mine =
        crpc_channel_credentials_tls(&(struct crpc_tls_client_options){.ca_file = dir.ca}, &err);
    struct echo e;
    echo_start_with(&e, NULL, NULL, c, &(struct crpc_channel_options){.credentials = mine});
    Crpc__Test__V1__CountRequest request = CRPC__TEST__V1__COUNT_REQUEST__INIT;
    request.upto = 100;
    request.size = 40000; /* several records each */
    request.frames = true;
    struct crpc_stream *s = crpc_test_v1_echo_service_count_open(e.channel, NULL, &request, &err);
    assert_non_null(s);
    Crpc__Test__V1__CountResponse *response = NULL;
    int n = 0;
    while (crpc_test_v1_echo_service_count_read(s, &response, &err) == 1) {
        assert_int_equal(response->data.len, 40000);
        crpc_message_free((ProtobufCMessage *)response);
        n++;
    }
    assert_int_equal(err.code, ERR_OK);
    assert_int_equal(n, 100);
    crpc_stream_free(s);
    crpc_channel_credentials_free(mine);
    echo_stop(&e, 10000);

    /* One server, plaintext and TLS side by side, the credentials twice. */
    int plain, first, second;
    char target[64];
    struct crpc_server *server = crpc_server_new(NULL, &err);
    assert_int_equal(crpc_server_listen(server, "127.0.0.1:0", &plain, &err), 0);
    assert_int_equal(crpc_server_listen_tls(server, "127.0.0.1:0", c, &first, &err), 0);
    assert_int_equal(crpc_server_listen_tls(server, "127.0.0.1:0", c, &second, &err), 0);
    assert_int_equal(crpc_server_start(server, &err), 0);
    int ports[] = {plain, first, second};
    for (int i = 0; i < 3; i++) {
        snprintf(target, sizeof target, "127.0.0.1:%d", ports[i]);
        /* Nothing is mounted, and the server says so: it has been reached. */
        struct crpc_tls_client_options tls = {.ca_file = dir.ca};
        assert_int_equal(call_with(target, i ? &tls : NULL, &err), -ERR_UNIMPLEMENTED);
    }
    crpc_server_free(server);
    crpc_server_credentials_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encrypted_call),
        cmocka_unit_test(test_plaintext_is_not_private),
        cmocka_unit_test(test_unix_socket_is_private),
        cmocka_unit_test(test_plaintext_meets_tls),
        cmocka_unit_test(test_server_of_another_authority),
        cmocka_unit_test(test_server_name),
        cmocka_unit_test(test_server_certificate_out_of_its_time),
        cmocka_unit_test(test_certificate_of_a_client_serves_nobody),
        cmocka_unit_test(test_mutual),
        cmocka_unit_test(test_clients_that_are_not_let_in),
        cmocka_unit_test(test_certificate_without_names),
        cmocka_unit_test(test_streams_and_two_ports),
    };
    int failed = cmocka_run_group_tests_name("files read once", tests, setup, teardown);
    watch = true;
    return failed + cmocka_run_group_tests_name("files watched", tests, setup, teardown);
}
