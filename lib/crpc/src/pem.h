/* PEM files: certificates and keys, read whole and checked by OpenSSL before gRPC core sees them, since core only says
 * that something was wrong. Any thread; may block on the file system. */
#ifndef CRPC_SRC_PEM_H
#define CRPC_SRC_PEM_H

#include "base/err.h"

/* One file as an option names it. */
struct pem_file {
    const char *option; /* name of the option, for errors: "cert_file" */
    const char *path;
};

/* Gives the file's text, NUL-terminated (pem_free). 0; -ERR_NOT_FOUND, -ERR_PERMISSION_DENIED,
 * -ERR_INVALID_ARGUMENT (too large, binary), -ERR_RESOURCE_EXHAUSTED. */
int pem_read(struct pem_file file, char **ret_text, struct err *ret_err);
/* Overwrites it first: it may be a key. Takes NULL. */
void pem_free(char *text);

/* The chain and the key parse, are strong enough for the library, and belong together. 0 or -ERR_INVALID_ARGUMENT. */
int pem_check_pair(struct pem_file cert_file, const char *cert, struct pem_file key_file, const char *key,
                   struct err *ret_err);
/* There is at least one certificate, and none that does not parse. 0 or -ERR_INVALID_ARGUMENT. */
int pem_check_ca(struct pem_file file, const char *text, struct err *ret_err);

#endif
