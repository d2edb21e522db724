/* With which token, and over which kind of connection, a client calls: what the caller gave, else what is found
 * (docs/access.md has the order). Settled when the client is made; a token's file is read again when it changes. */
#ifndef CREDENTIALS_H
#define CREDENTIALS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/err.h"
#include "crpc/client.h"
#include "joblog/client.h"

/* "Bearer TOKEN", counted: calls under way may still need one that was replaced. */
struct bearer {
    atomic_int refs;
    size_t len;
    char text[];
};

struct credentials {
    char *address;
    bool tls;
    char *ca_file, *cert_file, *key_file, *server_name; /* NULL: none */
    char *token_file;                                   /* NULL: the token is fixed, or there is none */
    pthread_mutex_t lock;                               /* of what follows */
    struct bearer *bearer;                              /* NULL: none */
    struct stat seen;                                   /* of token_file */
};

/* 0, then credentials_done; or -code and nothing to undo. */
int credentials_find(struct credentials *ret, const char *address, const struct joblog_options *options,
                     struct err *ret_err);
void credentials_done(struct credentials *credentials);

/* The options of one call, with the token in its metadata. */
struct call_options {
    struct crpc_call_options options;
    struct crpc_metadata metadata;
    struct bearer *bearer;
};
/* Any thread. timeout_ms as of crpc_call_options. */
void call_options_init(struct call_options *ret, struct credentials *credentials, int64_t timeout_ms);
/* After the call was started. */
void call_options_done(struct call_options *options);

/* ---- parts, in files of their own ---- */

/* Where a login is kept: in found.c, as the rest about files. */
struct login {
    char *token, *ca_file, *cert_file, *key_file, *server_name; /* NULL: none */
    bool tls;
};
void login_done(struct login *login);
/* The login for address. 1: found; 0: none; or -code. */
int logins_find(const char *address, struct login *ret, struct err *ret_err);
/* The server that was logged in to last. Gives *ret (mem_free). 1, 0 or -code. */
int logins_current(char **ret, struct err *ret_err);

/* The file with the token of a server that this user runs on this machine, if one does run on address now. Gives the
 * path (mem_free), or NULL. */
char *found_token_file(const char *address);
/* A token's text from a file, without blanks and line ends around it. Gives *ret (mem_free). *ret_seen: as it was. */
int token_file_read(const char *path, char **ret, struct stat *ret_seen, struct err *ret_err);
/* Could others on the way read along? False for unix sockets and this machine. */
bool address_is_remote(const char *address);

#endif
