/* TLS of clients. The files are read once, when the credentials are made; a channel takes copies. The caller's thread.
 */
#include "credentials.h"

#include <string.h>

#include "base/alloc.h"
#include "pem.h"

struct crpc_channel_credentials {
    char *ca, *cert, *key; /* PEM; NULL where none */
    char *server_name;
};

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
    if (!o->server_name)
        return 0;
    if (!o->server_name[0])
        return err_field(ret_err, "server_name", "the server's name is empty");
    c->server_name = mem_strdup(o->server_name);
    return c->server_name ? 0 : err_set(ret_err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
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
    mem_free(credentials);
}

grpc_channel_credentials *channel_credentials_core(const struct crpc_channel_credentials *credentials)
{
    if (!credentials)
        return grpc_insecure_credentials_create();
    grpc_ssl_pem_key_cert_pair pair = {.private_key = credentials->key, .cert_chain = credentials->cert};
    return grpc_ssl_credentials_create_ex(credentials->ca, credentials->cert ? &pair : NULL, NULL, NULL);
}

const char *channel_credentials_name(const struct crpc_channel_credentials *credentials)
{
    return credentials ? credentials->server_name : NULL;
}
