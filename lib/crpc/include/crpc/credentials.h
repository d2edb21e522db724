/* TLS for servers and clients, and who the peer is. Files are PEM. A server's are read again when they change: a new
 * certificate counts for every handshake after that, and no connection is cut. A client's are, when it is told to. */
#ifndef CRPC_CREDENTIALS_H
#define CRPC_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/span.h"

struct crpc_call;
struct crpc_server;
struct crpc_server_credentials;
struct crpc_channel_credentials;

/* ---- server ---- */

enum crpc_client_certificate {
    CRPC_CLIENT_CERTIFICATE_NONE,     /* not asked for */
    CRPC_CLIENT_CERTIFICATE_OPTIONAL, /* asked for; one that is sent must be signed by client_ca_file */
    CRPC_CLIENT_CERTIFICATE_REQUIRED  /* mutual TLS: no connection without one */
};

struct crpc_tls_server_options {
    const char *cert_file; /* the chain, leaf first */
    const char *key_file;
    const char *client_ca_file; /* who signs clients; NULL only with CRPC_CLIENT_CERTIFICATE_NONE */
    enum crpc_client_certificate client_certificate;
};

/* Reads and checks the files now; copies options. NULL and *ret_err: a file that cannot be read or parsed, a key that
 * does not belong to the certificate. */
struct crpc_server_credentials *crpc_server_credentials_tls(const struct crpc_tls_server_options *options,
                                                            struct err *ret_err);
/* Looks at the files again (also done by itself at a handshake, at most once a second). 0, or -code and *ret_err: files
 * that do not fit leave the old ones in force. Any thread. */
int crpc_server_credentials_reload(struct crpc_server_credentials *credentials, struct err *ret_err);
/* After crpc_server_free of the servers that use it. Takes NULL. */
void crpc_server_credentials_free(struct crpc_server_credentials *credentials);
/* As crpc_server_listen, with TLS. The server keeps credentials. Not for unix sockets. */
int crpc_server_listen_tls(struct crpc_server *server, const char *address, struct crpc_server_credentials *credentials,
                           int *ret_port, struct err *ret_err);

/* ---- what a step may ask of its call ---- */

/* Did it come over TLS, or over a unix socket? */
bool crpc_call_is_private(const struct crpc_call *call);
/* What the client's certificate says. The spans are borrowed from the call. */
struct crpc_peer_identity {
    const struct span *uris, *dns_names; /* subject alternative names; a SPIFFE id is a URI */
    size_t n_uris, n_dns_names;
};
/* False, *ret untouched: the client showed no certificate, or memory is short. On the call's worker. */
bool crpc_call_peer_identity(const struct crpc_call *call, struct crpc_peer_identity *ret);

/* ---- client ---- */

struct crpc_tls_client_options {
    const char *ca_file;     /* who signs servers; NULL: the system's */
    const char *cert_file;   /* mutual TLS; NULL: none */
    const char *key_file;    /* belongs to cert_file */
    const char *server_name; /* name that the certificate must bear; NULL: the host of the target */
    bool watch_files;        /* look at ca_file, cert_file and key_file again each second, on a thread for each channel:
                                what is new counts for every handshake after that. Else they are read once */
};

/* NULL and *ret_err as above. options may be NULL. */
struct crpc_channel_credentials *crpc_channel_credentials_tls(const struct crpc_tls_client_options *options,
                                                              struct err *ret_err);
/* May be freed once the channels that use it are made (crpc_channel_options.credentials). Takes NULL. */
void crpc_channel_credentials_free(struct crpc_channel_credentials *credentials);

#endif
