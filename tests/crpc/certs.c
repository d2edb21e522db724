/* See certs.h. */
#include "certs.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct cert {
    X509 *x509;
    EVP_PKEY *key;
};

static void extend(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(x509, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

struct cert *cert_new(const struct cert_spec *spec, const struct cert *issuer)
{
    static long serial = 1000;
    struct cert *c = malloc(sizeof *c);
    assert_non_null(c);
    c->key = spec->rsa_bits ? EVP_RSA_gen(spec->rsa_bits) : EVP_EC_gen("P-256");
    c->x509 = X509_new();
    assert_true(c->key && c->x509);
    X509 *signer = issuer ? issuer->x509 : c->x509;
    bool usual = spec->from_s == 0 && spec->to_s == 0;
    X509_set_version(c->x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(c->x509), ++serial * 100000 + getpid());
    X509_gmtime_adj(X509_getm_notBefore(c->x509), usual ? -3600 : spec->from_s);
    X509_gmtime_adj(X509_getm_notAfter(c->x509), usual ? 86400 : spec->to_s);
    X509_NAME *name = X509_get_subject_name(c->x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)spec->name, -1, -1, 0);
    X509_set_issuer_name(c->x509, X509_get_subject_name(signer));
    X509_set_pubkey(c->x509, c->key);
    extend(c->x509, signer, NID_basic_constraints, issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    extend(c->x509, signer, NID_subject_key_identifier, "hash");
    if (!issuer)
        extend(c->x509, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
    if (spec->san)
        extend(c->x509, signer, NID_subject_alt_name, spec->san);
    if (spec->extra_usage)
        extend(c->x509, signer, NID_ext_key_usage, spec->extra_usage);
    assert_true(X509_sign(c->x509, issuer ? issuer->key : c->key, EVP_sha256()) > 0);
    return c;
}

void cert_free(struct cert *cert)
{
    if (!cert)
        return;
    X509_free(cert->x509);
    EVP_PKEY_free(cert->key);
    free(cert);
}

static FILE *begin_file(const char *path, char *temporary, size_t room)
{
    snprintf(temporary, room, "%s.new", path);
    FILE *f = fopen(temporary, "w");
    assert_non_null(f);
    return f;
}

void cert_write(const struct cert *cert, const char *cert_path, const char *key_path)
{
    char temporary[256];
    if (cert_path) {
        FILE *f = begin_file(cert_path, temporary, sizeof temporary);
        assert_int_equal(PEM_write_X509(f, cert->x509), 1);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(rename(temporary, cert_path), 0);
    }
    if (key_path) {
        FILE *f = begin_file(key_path, temporary, sizeof temporary);
        assert_int_equal(PEM_write_PrivateKey(f, cert->key, NULL, NULL, 0, NULL, NULL), 1);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(rename(temporary, key_path), 0);
    }
}

void cert_dir_make(struct cert_dir *dir)
{
    memset(dir, 0, sizeof *dir);
    snprintf(dir->path, sizeof dir->path, "/tmp/crpc-certs-XXXXXX");
    assert_non_null(mkdtemp(dir->path));
    snprintf(dir->ca, sizeof dir->ca, "%s/ca.pem", dir->path);
    snprintf(dir->server, sizeof dir->server, "%s/server.pem", dir->path);
    snprintf(dir->server_key, sizeof dir->server_key, "%s/server.key", dir->path);
    snprintf(dir->client, sizeof dir->client, "%s/client.pem", dir->path);
    snprintf(dir->client_key, sizeof dir->client_key, "%s/client.key", dir->path);
    dir->authority = cert_new(&(struct cert_spec){.name = "authority"}, NULL);
    struct cert *server =
        cert_new(&(struct cert_spec){.name = "server", .san = "DNS:localhost,IP:127.0.0.1"}, dir->authority);
    struct cert *client =
        cert_new(&(struct cert_spec){.name = "client", .san = "URI:spiffe://joblog.test/worker,DNS:worker.joblog.test"},
                 dir->authority);
    cert_write(dir->authority, dir->ca, NULL);
    cert_write(server, dir->server, dir->server_key);
    cert_write(client, dir->client, dir->client_key);
    cert_free(server);
    cert_free(client);
}

void cert_dir_remove(struct cert_dir *dir)
{
    DIR *d = opendir(dir->path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(dir->path);
    cert_free(dir->authority);
}
