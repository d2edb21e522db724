/* TLS servers that a client must not talk to: too old a version, no HTTP/2. They are OpenSSL's own, and would be good
 * but for that. */
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "certs.h"
#include "crpc/client.h"
#include "crpc/credentials.h"
#include "echo.crpc.h"

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

struct server {
    int listener, port;
    int max_version;  /* 0: OpenSSL's newest */
    const char *alpn; /* with its length; NULL: none */
    pthread_t thread;
    /* What came of it. */
    bool shaken;      /* the handshake was through on this side */
    int version;      /* of TLS */
    char preface[24]; /* what the client then sent */
    ssize_t n_preface;
};

static int choose(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in, unsigned inlen,
                  void *arg)
{
    const struct server *s = arg;
    (void)ssl;
    (void)in;
    (void)inlen;
    if (!s->alpn)
        return SSL_TLSEXT_ERR_NOACK;
    *out = (const unsigned char *)s->alpn + 1; /* whatever the client offered */
    *outlen = (unsigned char)s->alpn[0];
    return SSL_TLSEXT_ERR_OK;
}

/* One connection, to its end. */
static void *serve(void *user)
{
    struct server *s = user;
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_min_proto_version(ctx, 0);
    SSL_CTX_set_max_proto_version(ctx, s->max_version);
    SSL_CTX_use_certificate_chain_file(ctx, dir.server);
    SSL_CTX_use_PrivateKey_file(ctx, dir.server_key, SSL_FILETYPE_PEM);
    SSL_CTX_set_alpn_select_cb(ctx, choose, s);
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    s->shaken = SSL_accept(ssl) == 1;
    s->version = SSL_version(ssl);
    if (s->shaken)
        s->n_preface = SSL_read(ssl, s->preface, sizeof s->preface);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    return NULL;
}

static void start(struct server *s, int max_version, const char *alpn)
{
    *s = (struct server){.max_version = max_version, .alpn = alpn};
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;
    assert_int_equal(bind(s->listener, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(s->listener, 5), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&sa, &len), 0);
    s->port = ntohs(sa.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

/* One call; it cannot succeed, as nobody speaks gRPC there. */
static void call(struct server *s)
{
    char target[64];
    struct err err = ERR_NONE;
    struct crpc_channel_credentials *c =
        crpc_channel_credentials_tls(&(struct crpc_tls_client_options){.ca_file = dir.ca}, &err);
    snprintf(target, sizeof target, "127.0.0.1:%d", s->port);
    struct crpc_channel *channel = crpc_channel_new(target, &(struct crpc_channel_options){.credentials = c}, &err);
    assert_true(c && channel);
    crpc_channel_credentials_free(c);
    Crpc__Test__V1__SayRequest request = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *response = NULL;
    struct crpc_call_options o = {.timeout_ms = 20000};
    assert_int_equal(crpc_test_v1_echo_service_say(channel, &o, &request, &response, &err), -ERR_UNAVAILABLE);
    crpc_channel_free(channel);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

static bool spoke_http2(const struct server *s)
{
    return s->n_preface > 0 && memcmp(s->preface, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (size_t)s->n_preface) == 0;
}

/* The control: against these servers a client gets as far as speaking HTTP/2. */
static void test_good_servers(void **state)
{
    (void)state;
    struct server s;
    start(&s, 0, "\2h2");
    call(&s);
    assert_true(s.shaken);
    assert_int_equal(s.version, TLS1_3_VERSION);
    assert_true(spoke_http2(&s));
    start(&s, TLS1_2_VERSION, "\2h2");
    call(&s);
    assert_true(s.shaken);
    assert_int_equal(s.version, TLS1_2_VERSION);
    assert_true(spoke_http2(&s));
}

static void test_old_versions(void **state)
{
    (void)state;
    struct server s;
    start(&s, TLS1_1_VERSION, "\2h2");
    call(&s);
    assert_false(s.shaken);
    start(&s, TLS1_VERSION, "\2h2");
    call(&s);
    assert_false(s.shaken);
}

static void test_no_http2(void **state)
{
    (void)state;
    struct server s;
    start(&s, 0, NULL);
    call(&s);
    assert_false(spoke_http2(&s));
    start(&s, TLS1_2_VERSION, "\10http/1.1");
    call(&s);
    assert_false(spoke_http2(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good_servers), cmocka_unit_test(test_old_versions),
                                       cmocka_unit_test(test_no_http2)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
