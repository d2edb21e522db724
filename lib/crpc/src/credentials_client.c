/* TLS of clients. The files are read once, when the credentials are made, and a channel takes copies; or core watches
 * them for the channel, on a thread of its own. The caller's thread. */
#include "credentials.h"

#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "pem.h"

struct crpc_channel_credentials {
    char *ca, *cert, *key; /* PEM; NULL where none */
    char *server_name;
    bool watch;
    char *ca_file, *cert_file, *key_file; /* with watch */
};

enum { WATCH_EVERY_S = 1 };

/* False: out of memory. */
static bool copy(const char *text, char **ret)
{
    *ret = text ? mem_strdup(text) : NULL;
    return !text || *ret;
}

static int load(struct crpc_channel_credentials *c, const struct crpc_tls_client_options *o, struct err *ret_err)
{
    struct pem_file ca = {"ca_file", o->ca_file}, cert = {"cert_file", o->cert_file}, key = {"key_file", o->key_file};
    if (!o->cert_file != !o->key_file)
        return err_field(ret_err, o->cert_file ? "key_file" : "cert_file", "a certificate and its key go together");
    int rc = 0;
    if (o->ca_file && ((rc = pem_read(ca, &c->ca, ret_err)) < 0 || (rc = pem_check_ca(ca, c->ca, ret_err)) < 0))
        return rc;
    if (o->cert_file && ((rc = pem_read(cert, &c->cert, ret_err)) < 0 || (rc = pem_read(key, &c->key, ret_err)) < 0 ||
                         (rc = pem_check_pair(cert, c->cert, key, c->key, ret_err)) < 0))
        return rc;
    if (o->server_name && !o->server_name[0])
        return err_field(ret_err, "server_name", "the server's name is empty");
    c->watch = o->watch_files && (o->ca_file || o->cert_file);
    bool ok = copy(o->server_name, &c->server_name) &&
              (!c->watch ||
               (copy(o->ca_file, &c->ca_file) && copy(o->cert_file, &c->cert_file) && copy(o->key_file, &c->key_file)));
    return ok ? 0 : err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

struct crpc_channel_credentials *crpc_channel_credentials_tls(const struct crpc_tls_client_options *options,
                                                              struct err *ret_err)
{
    struct crpc_tls_client_options none = {0};
    struct crpc_channel_credentials *c = mem_zalloc(sizeof *c);
    if (!c) {
        err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
        return NULL;
    }
    if (load(c, options ? options : &none, ret_err) < 0) {
        crpc_channel_credentials_free(c);
        return NULL;
    }
    return c;
}

void crpc_channel_credentials_free(struct crpc_channel_credentials *credentials)
{
    if (!credentials)
        return;
    pem_free(credentials->ca);
    pem_free(credentials->cert);
    pem_free(credentials->key);
    mem_free(credentials->server_name);
    mem_free(credentials->ca_file);
    mem_free(credentials->cert_file);
    mem_free(credentials->key_file);
    mem_free(credentials);
}

/* Core's other TLS, which can watch files; it checks as the first does. */
static grpc_channel_credentials *watching(const struct crpc_channel_credentials *c)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the caller's threads */
    grpc_tls_certificate_provider *provider =
        grpc_tls_certificate_provider_file_watcher_create(c->key_file, c->cert_file, c->ca_file, WATCH_EVERY_S);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    grpc_tls_credentials_options_set_certificate_provider(options, provider);
    if (c->ca_file)
        grpc_tls_credentials_options_watch_root_certs(options);
    if (c->cert_file)
        grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
    grpc_channel_credentials *core = grpc_tls_credentials_create(options); /* takes options */
    grpc_tls_certificate_provider_release(provider);
    return core;
}

grpc_channel_credentials *channel_credentials_core(const struct crpc_channel_credentials *credentials)
{
    if (!credentials)
        return grpc_insecure_credentials_create();
    if (credentials->watch)
        return watching(credentials);
    grpc_ssl_pem_key_cert_pair pair = {.private_key = credentials->key, .cert_chain = credentials->cert};
    return grpc_ssl_credentials_create_ex(credentials->ca, credentials->cert ? &pair : NULL, NULL, NULL);
}

const char *channel_credentials_name(const struct crpc_channel_credentials *credentials)
{
    return credentials ? credentials->server_name : NULL;
}
