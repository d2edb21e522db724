/* Certificates that a test makes for itself, with OpenSSL: authorities, servers, clients, and broken ones. Each fails
 * the test on an error. One thread. */
#ifndef TESTS_CRPC_CERTS_H
#define TESTS_CRPC_CERTS_H

struct cert;

struct cert_spec {
    const char *name;        /* common name */
    const char *san;         /* as in OpenSSL's configuration: "DNS:localhost,IP:127.0.0.1,URI:spiffe://a/b"; or NULL */
    int from_s, to_s;        /* valid, counted from now; both 0: from an hour ago for a day */
    unsigned rsa_bits;       /* 0: an elliptic curve */
    const char *extra_usage; /* extendedKeyUsage, "clientAuth"; NULL: none */
};

/* Issued by issuer; NULL: an authority, signed by itself. cert_free. */
struct cert *cert_new(const struct cert_spec *spec, const struct cert *issuer);
void cert_free(struct cert *cert); /* takes NULL */
/* Writes PEM files, each by a rename, so that a reader sees the old or the new one. Paths may be NULL. */
void cert_write(const struct cert *cert, const char *cert_path, const char *key_path);

/* A directory of its own for the files, with what most tests need in it. */
struct cert_dir {
    char path[64];
    char ca[96], server[96], server_key[96], client[96], client_key[96];
    struct cert *authority;
};
/* An authority; a server for localhost and 127.0.0.1; a client spiffe://joblog.test/worker, also worker.joblog.test. */
void cert_dir_make(struct cert_dir *dir);
void cert_dir_remove(struct cert_dir *dir);

#endif
