/* Certificates in files: what is wrong with them is told, new ones count from the next handshake on and cut nothing,
 * bad ones leave the old in force. And what a connection must bring: TLS 1.2 and HTTP/2. */
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "certs.h"
#include "echo_server.h"

static struct cert_dir dir;

static int setup(void **state)
{
    (void)state;
    cert_dir_make(&dir);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to connections that are gone */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cert_dir_remove(&dir);
    return 0;
}

static const char *in_dir(const char *name)
{
    static char paths[4][128];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", dir.path, name);
    return path;
}

static void write_text(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* ---- what is wrong ---- */

static void refuse_server(const char *cert, const char *key, const char *ca, int code, const char *field,
                          const char *word)
{
    struct err err = ERR_NONE;
    struct crpc_tls_server_options o = {cert, key, ca, ca ? CRPC_CLIENT_CERTIFICATE_REQUIRED : 0};
    struct crpc_server_credentials *c = crpc_server_credentials_tls(&o, &err);
    assert_null(c);
    if ((int)err.code != code || strcmp(err.field, field) != 0 || !strstr(err.msg, word))
        fail_msg("want %d %s %s, got %d %s: %s", code, field, word, (int)err.code, err.field, err.msg);
}

static void refuse_client(const char *cert, const char *key, const char *ca, const char *name, int code,
                          const char *field, const char *word)
{
    struct err err = ERR_NONE;
    struct crpc_tls_client_options o = {ca, cert, key, name, false};
    struct crpc_channel_credentials *c = crpc_channel_credentials_tls(&o, &err);
    assert_null(c);
    if ((int)err.code != code || strcmp(err.field, field) != 0 || !strstr(err.msg, word))
        fail_msg("want %d %s %s, got %d %s: %s", code, field, word, (int)err.code, err.field, err.msg);
}

static void write_bad_files(void)
{
    static const char broken[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                      zero[] = "-----BEGIN\0CERTIFICATE-----\n";
    write_text(in_dir("empty"), "", 0);
    write_text(in_dir("words"), "no PEM at all\n", 14);
    write_text(in_dir("broken"), broken, sizeof broken - 1);
    write_text(in_dir("zero"), zero, sizeof zero - 1);
    struct cert *weak = cert_new(&(struct cert_spec){.name = "weak", .rsa_bits = 1024}, dir.authority);
    cert_write(weak, in_dir("weak.pem"), in_dir("weak.key"));
    cert_free(weak);
    FILE *large = fopen(in_dir("large"), "w");
    assert_non_null(large);
    assert_int_equal(ftruncate(fileno(large), 5 << 20), 0);
    fclose(large);
}

static void test_files_of_servers_that_do_not_fit(void **state)
{
    (void)state;
    enum { BAD = ERR_INVALID_ARGUMENT };
    write_bad_files();
    refuse_server(NULL, dir.server_key, NULL, BAD, "cert_file", "needs a certificate");
    refuse_server(dir.server, NULL, NULL, BAD, "key_file", "needs the key");
    refuse_server(in_dir("none"), dir.server_key, NULL, ERR_NOT_FOUND, "cert_file", "No such file");
    refuse_server(dir.server, in_dir("none"), NULL, ERR_NOT_FOUND, "key_file", "No such file");
    refuse_server(dir.server, dir.server_key, in_dir("none"), ERR_NOT_FOUND, "client_ca_file", "No such file");
    refuse_server(dir.path, dir.server_key, NULL, BAD, "cert_file", "no regular file");
    refuse_server(in_dir("empty"), dir.server_key, NULL, BAD, "cert_file", "no certificate");
    refuse_server(in_dir("words"), dir.server_key, NULL, BAD, "cert_file", "no certificate");
    refuse_server(in_dir("zero"), dir.server_key, NULL, BAD, "cert_file", "zero");
    refuse_server(in_dir("large"), dir.server_key, NULL, BAD, "cert_file", "too large");
    refuse_server(in_dir("broken"), dir.server_key, NULL, BAD, "cert_file", "no certificate");
    refuse_server(dir.server, in_dir("words"), NULL, BAD, "key_file", "no private key");
    refuse_server(dir.server, dir.server, NULL, BAD, "key_file", "no private key");
    refuse_server(dir.server, dir.client_key, NULL, BAD, "key_file", "does not belong");
    refuse_server(dir.server_key, dir.server, NULL, BAD, "cert_file", "no certificate");
    refuse_server(in_dir("weak.pem"), in_dir("weak.key"), NULL, BAD, "cert_file", "key too small");
    refuse_server(dir.server, dir.server_key, in_dir("empty"), BAD, "client_ca_file", "no certificate");
    refuse_server(dir.server, dir.server_key, in_dir("broken"), BAD, "client_ca_file", "does not parse");
    struct err err = ERR_NONE;
    struct crpc_tls_server_options o = {dir.server, dir.server_key, NULL, CRPC_CLIENT_CERTIFICATE_OPTIONAL};
    assert_null(crpc_server_credentials_tls(&o, &err));
    assert_string_equal(err.field, "client_ca_file");
}

static void test_files_of_clients_that_do_not_fit(void **state)
{
    (void)state;
    enum { BAD = ERR_INVALID_ARGUMENT };
    write_bad_files();
    refuse_client(NULL, NULL, in_dir("none"), NULL, ERR_NOT_FOUND, "ca_file", "No such file");
    refuse_client(NULL, NULL, in_dir("words"), NULL, BAD, "ca_file", "no certificate");
    refuse_client(dir.client, NULL, NULL, NULL, BAD, "key_file", "go together");
    refuse_client(NULL, dir.client_key, NULL, NULL, BAD, "cert_file", "go together");
    refuse_client(dir.client, dir.server_key, NULL, NULL, BAD, "key_file", "does not belong");
    refuse_client(in_dir("empty"), dir.client_key, dir.ca, NULL, BAD, "cert_file", "no certificate");
    refuse_client(NULL, NULL, dir.ca, "", BAD, "server_name", "empty");
}

static void test_unreadable_key(void **state)
{
    (void)state;
    bool root = geteuid() == 0; /* who may read all */
    const char *key = in_dir("unreadable");
    write_text(key, "", 0);
    assert_int_equal(chmod(key, 0), 0);
    assert_int_equal(chmod(dir.path, 0755), 0);
    if (root)
        assert_int_equal(seteuid(65534), 0);
    refuse_server(dir.server, key, NULL, ERR_PERMISSION_DENIED, "key_file", "Permission denied");
    if (root)
        assert_int_equal(seteuid(0), 0);
}

static void test_sockets_that_take_no_tls(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct crpc_tls_server_options so = {.cert_file = dir.server, .key_file = dir.server_key};
    struct crpc_server_credentials *sc = crpc_server_credentials_tls(&so, &err);
    struct crpc_channel_credentials *cc = crpc_channel_credentials_tls(NULL, &err);
    struct crpc_server *server = crpc_server_new(NULL, &err);
    assert_true(sc && cc && server);
    assert_int_equal(crpc_server_listen_tls(server, "unix:/tmp/x", sc, NULL, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "address");
    assert_int_equal(crpc_server_listen_tls(server, "127.0.0.1:70000", sc, NULL, &err), -ERR_INVALID_ARGUMENT);
    assert_null(crpc_channel_new("unix:/tmp/x", &(struct crpc_channel_options){.credentials = cc}, &err));
    assert_string_equal(err.field, "credentials");
    crpc_server_free(server);
    crpc_server_credentials_free(sc);
    crpc_channel_credentials_free(cc);
}

/* ---- a client of OpenSSL's own ---- */

/* What one handshake brought. */
struct shake {
    bool ok;
    int version;
    char alpn[8], server[64], resumed;
};

static int dial(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

/* alpn: with lengths; NULL: none. versions 0: all that OpenSSL has. Gives up its connection. */
static struct shake shake(int port, int min_version, int max_version, const char *alpn)
{
    struct shake s = {0};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, min_version);
    SSL_CTX_set_max_proto_version(ctx, max_version);
    SSL *ssl = SSL_new(ctx);
    if (alpn)
        SSL_set_alpn_protos(ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    int fd = dial(port);
    SSL_set_fd(ssl, fd);
    s.ok = SSL_connect(ssl) == 1;
    if (s.ok) {
        const unsigned char *got = NULL;
        unsigned len = 0;
        SSL_get0_alpn_selected(ssl, &got, &len);
        snprintf(s.alpn, sizeof s.alpn, "%.*s", (int)len, (const char *)got);
        s.version = SSL_version(ssl);
        X509 *x509 = SSL_get1_peer_certificate(ssl);
        X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, s.server, sizeof s.server);
        X509_free(x509);
        /* Core looks at the protocol after the handshake: a byte of its HTTP/2 settings is the proof. */
        char byte;
        s.ok = SSL_read(ssl, &byte, 1) == 1;
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    return s;
}

static void start(struct echo *e, struct crpc_server_credentials **ret_credentials, const char *cert, const char *key,
                  const char *ca, struct crpc_channel_credentials *mine)
{
    struct err err = ERR_NONE;
    struct crpc_tls_server_options o = {cert, key, ca,
                                        ca ? CRPC_CLIENT_CERTIFICATE_REQUIRED : CRPC_CLIENT_CERTIFICATE_NONE};
    *ret_credentials = crpc_server_credentials_tls(&o, &err);
    if (!*ret_credentials)
        fail_msg("%s", err.msg);
    echo_start_with(e, NULL, NULL, *ret_credentials, &(struct crpc_channel_options){.credentials = mine});
}

static struct crpc_channel_credentials *client_credentials(bool with_certificate)
{
    struct err err = ERR_NONE;
    struct crpc_tls_client_options o = {.ca_file = dir.ca};
    if (with_certificate) {
        o.cert_file = dir.client;
        o.key_file = dir.client_key;
    }
    struct crpc_channel_credentials *c = crpc_channel_credentials_tls(&o, &err);
    if (!c)
        fail_msg("%s", err.msg);
    return c;
}

static void test_versions_and_protocol(void **state)
{
    (void)state;
    struct echo e;
    struct crpc_server_credentials *credentials;
    start(&e, &credentials, dir.server, dir.server_key, NULL, NULL);
    struct shake s = shake(e.port, 0, 0, "\2h2");
    assert_true(s.ok);
    assert_int_equal(s.version, TLS1_3_VERSION);
    assert_string_equal(s.alpn, "h2");
    assert_string_equal(s.server, "server");
    s = shake(e.port, TLS1_2_VERSION, TLS1_2_VERSION, "\2h2");
    assert_true(s.ok);
    assert_int_equal(s.version, TLS1_2_VERSION);
    assert_false(shake(e.port, TLS1_1_VERSION, TLS1_1_VERSION, "\2h2").ok);
    assert_false(shake(e.port, TLS1_VERSION, TLS1_1_VERSION, "\2h2").ok);
    assert_false(shake(e.port, 0, 0, "\10http/1.1").ok);
    assert_false(shake(e.port, 0, 0, NULL).ok);
    echo_stop(&e, 10000);
    crpc_server_credentials_free(credentials);
}

/* ---- new files ---- */

struct live {
    char cert[128], key[128];
};

/* A server's certificate under a name, in files that may be overwritten. */
static struct live put(const char *name, const struct cert *authority)
{
    struct live l;
    snprintf(l.cert, sizeof l.cert, "%s/live.pem", dir.path);
    snprintf(l.key, sizeof l.key, "%s/live.key", dir.path);
    struct cert *cert = cert_new(&(struct cert_spec){.name = name, .san = "IP:127.0.0.1"}, authority);
    cert_write(cert, l.cert, l.key);
    cert_free(cert);
    return l;
}

static void say(struct crpc_channel *channel)
{
    struct err err = ERR_NONE;
    Crpc__Test__V1__SayRequest request = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *response = NULL;
    if (crpc_test_v1_echo_service_say(channel, NULL, &request, &response, &err) != 0)
        fail_msg("%s", err.msg);
    crpc_message_free((ProtobufCMessage *)response);
}

static void test_new_files_count_and_cut_nothing(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct echo e;
    struct crpc_server_credentials *credentials;
    struct crpc_channel_credentials *mine = client_credentials(false);
    struct live l = put("first", dir.authority);
    start(&e, &credentials, l.cert, l.key, NULL, mine);
    crpc_channel_credentials_free(mine);
    assert_string_equal(shake(e.port, 0, 0, "\2h2").server, "first");
    struct crpc_stream *s = crpc_test_v1_echo_service_chat_open(e.channel, NULL, &err);
    Crpc__Test__V1__ChatRequest request = CRPC__TEST__V1__CHAT_REQUEST__INIT;
    request.answers = 1;
    request.text = "";
    Crpc__Test__V1__ChatResponse *response = NULL;
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &request, &err), 0);
    assert_int_equal(crpc_test_v1_echo_service_chat_read(s, &response, &err), 1);
    crpc_message_free((ProtobufCMessage *)response);

    put("second", dir.authority);
    assert_int_equal(crpc_server_credentials_reload(credentials, &err), 0);
    assert_string_equal(shake(e.port, 0, 0, "\2h2").server, "second");
    /* The stream of before goes on. */
    assert_int_equal(crpc_test_v1_echo_service_chat_write(s, &request, &err), 0);
    assert_int_equal(crpc_test_v1_echo_service_chat_read(s, &response, &err), 1);
    crpc_message_free((ProtobufCMessage *)response);
    crpc_stream_free(s);

    /* Without a word, too: the files are looked at when a handshake comes a second later. */
    put("third", dir.authority);
    int64_t until = clock_mono_ms() + 20000;
    struct shake shook;
    do
        shook = shake(e.port, 0, 0, "\2h2");
    while (strcmp(shook.server, "third") != 0 && clock_mono_ms() < until);
    assert_string_equal(shook.server, "third");
    say(e.channel);
    echo_stop(&e, 10000);
    crpc_server_credentials_free(credentials);
}

static void test_bad_files_leave_the_old_in_force(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct echo e;
    struct crpc_server_credentials *credentials;
    struct crpc_channel_credentials *mine = client_credentials(false);
    struct live l = put("old", dir.authority);
    start(&e, &credentials, l.cert, l.key, NULL, mine);
    crpc_channel_credentials_free(mine);
    struct cert *next = cert_new(&(struct cert_spec){.name = "next", .san = "IP:127.0.0.1"}, dir.authority);
    cert_write(next, l.cert, NULL); /* its key is still to come */
    assert_int_equal(crpc_server_credentials_reload(credentials, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "key_file");
    assert_string_equal(shake(e.port, 0, 0, "\2h2").server, "old");
    unlink(l.cert);
    assert_int_equal(crpc_server_credentials_reload(credentials, &err), -ERR_NOT_FOUND);
    assert_string_equal(shake(e.port, 0, 0, "\2h2").server, "old");
    say(e.channel);
    cert_write(next, l.cert, l.key);
    assert_int_equal(crpc_server_credentials_reload(credentials, &err), 0);
    assert_string_equal(shake(e.port, 0, 0, "\2h2").server, "next");
    cert_free(next);
    echo_stop(&e, 10000);
    crpc_server_credentials_free(credentials);
}

static void test_authority_of_clients_is_replaced(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct echo e;
    struct crpc_server_credentials *credentials;
    struct crpc_channel_credentials *mine = client_credentials(true);
    char ca[128];
    snprintf(ca, sizeof ca, "%s", in_dir("clients.pem"));
    cert_write(dir.authority, ca, NULL);
    start(&e, &credentials, dir.server, dir.server_key, ca, mine);
    say(e.channel);
    struct cert *other = cert_new(&(struct cert_spec){.name = "other"}, NULL);
    cert_write(other, ca, NULL);
    cert_free(other);
    assert_int_equal(crpc_server_credentials_reload(credentials, &err), 0);
    say(e.channel); /* let in already */
    struct crpc_channel *late = crpc_channel_new(e.target, &(struct crpc_channel_options){.credentials = mine}, &err);
    Crpc__Test__V1__SayRequest request = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *response = NULL;
    assert_int_equal(crpc_test_v1_echo_service_say(late, NULL, &request, &response, &err), -ERR_UNAVAILABLE);
    crpc_channel_free(late);
    crpc_channel_credentials_free(mine);
    echo_stop(&e, 10000);
    crpc_server_credentials_free(credentials);
}

/* ---- under load ---- */

enum { CALLERS = 4, RELOADS = 30 };

struct load {
    const struct echo *echo;
    const struct crpc_channel_credentials *credentials;
    atomic_bool stop;
    atomic_uint calls, failed;
    char why[256];
};

/* Calls, each on a connection of its own. */
static void *call_anew(void *user)
{
    struct load *l = user;
    while (!atomic_load(&l->stop)) {
        struct err err = ERR_NONE;
        struct crpc_channel *c =
            crpc_channel_new(l->echo->target, &(struct crpc_channel_options){.credentials = l->credentials}, &err);
        Crpc__Test__V1__SayRequest request = CRPC__TEST__V1__SAY_REQUEST__INIT;
        Crpc__Test__V1__SayResponse *response = NULL;
        if (crpc_test_v1_echo_service_say(c, NULL, &request, &response, &err) != 0) {
            if (atomic_fetch_add(&l->failed, 1) == 0)
                snprintf(l->why, sizeof l->why, "%s", err.msg);
        }
        crpc_message_free((ProtobufCMessage *)response);
        crpc_channel_free(c);
        atomic_fetch_add(&l->calls, 1);
    }
    return NULL;
}

/* Calls on the connection that is there. */
static void *call_on(void *user)
{
    struct load *l = user;
    while (!atomic_load(&l->stop)) {
        struct err err = ERR_NONE;
        Crpc__Test__V1__SayRequest request = CRPC__TEST__V1__SAY_REQUEST__INIT;
        Crpc__Test__V1__SayResponse *response = NULL;
        if (crpc_test_v1_echo_service_say(l->echo->channel, NULL, &request, &response, &err) != 0)
            atomic_fetch_add(&l->failed, 1);
        crpc_message_free((ProtobufCMessage *)response);
    }
    return NULL;
}

static void test_reload_under_load(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct echo e;
    struct crpc_server_credentials *credentials;
    struct crpc_channel_credentials *mine = client_credentials(false);
    struct live l = put("load", dir.authority);
    start(&e, &credentials, l.cert, l.key, NULL, mine);
    struct load load = {.echo = &e, .credentials = mine};
    pthread_t threads[CALLERS];
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i % 2 ? call_anew : call_on, &load), 0);
    for (int i = 0; i < RELOADS; i++) {
        unsigned before = atomic_load(&load.calls);
        put("load", dir.authority);
        assert_int_equal(crpc_server_credentials_reload(credentials, &err), 0);
        while (atomic_load(&load.calls) < before + 4) /* handshakes with what is new */
            sched_yield();
    }
    atomic_store(&load.stop, true);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(threads[i], NULL);
    if (atomic_load(&load.failed))
        fail_msg("%u of %u calls failed: %s", load.failed, load.calls, load.why);
    echo_stop(&e, 10000);
    crpc_channel_credentials_free(mine);
    crpc_server_credentials_free(credentials);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_of_servers_that_do_not_fit),
        cmocka_unit_test(test_files_of_clients_that_do_not_fit),
        cmocka_unit_test(test_unreadable_key),
        cmocka_unit_test(test_sockets_that_take_no_tls),
        cmocka_unit_test(test_versions_and_protocol),
        cmocka_unit_test(test_new_files_count_and_cut_nothing),
        cmocka_unit_test(test_bad_files_leave_the_old_in_force),
        cmocka_unit_test(test_authority_of_clients_is_replaced),
        cmocka_unit_test(test_reload_under_load),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
