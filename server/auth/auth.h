/* Who is it? From what a call brings (a bearer token or a JWT, a client certificate, a unix socket) to a struct
 * identity.
 *
 * Everything needed is in memory: tokens are read from the database when they change (a thread of auth polls, so a
 * token made or revoked on another replica counts within seconds), keys and rules from their files. auth_identify
 * therefore never waits, and may be called on a server's worker thread. Knows nothing of gRPC. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "core/identity.h"
#include "store/access.h"

struct auth;

/* JWTs are taken when jwks_file is set; issuer and audience must be then. */
struct auth_jwt_options {
    const char *jwks_file; /* a JWK set (RFC 7517), read again when it changes */
    const char *issuer, *audience;
    /* Names of claims, or JSON pointers (RFC 6901) to them when they begin with '/'. NULL: the default. */
    const char *roles_claim; /* "joblog_roles": an array of names of roles, or a text with blanks between them */
    const char *scope_claim; /* "joblog_scope": an object with queues, job_names, owners, own_only, may_delegate */
    const char *owner_claim; /* "sub": a text */
};

struct auth_options {
    struct store *store; /* kept until auth_stop */
    bool off;            /* whoever calls may do everything */
    /* An administrator's token: made when there is no such file, and known to the database from then on. NULL: none. */
    const char *admin_token_file;
    struct auth_jwt_options jwt;
    const char *certificate_rules; /* a file, docs/access.md has its form; NULL: certificates are nobody */
};

/* Reads everything once, makes the administrator's token if need be, starts the thread. Copies options. NULL and
 * *ret_err, a text for the operator, INVALID_ARGUMENT and the setting in its field when a setting is at fault. */
struct auth *auth_new(const struct auth_options *options, struct err *ret_err);
/* Ends the thread and writes when tokens were used last. auth_identify works on. Before store_close. Takes NULL. */
void auth_stop(struct auth *auth);
/* After auth_stop, when nobody calls auth_identify any more. Identities may outlive it. Takes NULL. */
void auth_free(struct auth *auth);

/* What a call brought. Empty parts: nothing. */
struct auth_evidence {
    struct span bearer;                  /* of "authorization: Bearer …": an opaque token or a JWT */
    const struct span *uris, *dns_names; /* subject alternative names of a verified client certificate */
    size_t n_uris, n_dns_names;
    struct span address; /* whence it comes, without a port: wrong JWTs count against it. Empty: they do not count */
};

/* Gives *ret (identity_unref). A bearer counts before a certificate; one that is wrong is refused even when a
 * certificate is there. 0, or -UNAUTHENTICATED and *ret_err, whose text does not tell why a token was not taken beyond
 * "expired" (of one that was genuine) or "not valid"; or -RESOURCE_EXHAUSTED. */
int auth_identify(struct auth *auth, const struct auth_evidence *evidence, struct identity **ret, struct err *ret_err);

/* The database answered not long ago. Any thread. */
bool auth_is_fresh(const struct auth *auth);
/* Whoever calls may do everything. */
bool auth_is_off(const struct auth *auth);

/* ---- tokens, for AccessService; any thread ---- */

enum { TOKEN_TEXT_LEN = 64, TOKEN_ID_AT = 4 };

/* "jlt_" ID "_" SECRET: 16 hex digits, 43 letters of base64url that are 256 random bits. */
struct token_text {
    char text[TOKEN_TEXT_LEN + 1];
    char id[TOKEN_ID_LEN + 1];
    uint8_t hash[TOKEN_HASH_LEN]; /* SHA-256 of text */
};

/* 0, or -INTERNAL: no random bytes. */
int token_make(struct token_text *ret, struct err *ret_err);
/* False: not of this form. */
bool token_parse(struct span text, struct token_text *ret);
/* The token was committed to the database: here it counts at once. Out of memory: it counts a second later. Both take
 * NULL. */
void auth_token_made(struct auth *auth, const struct token_info *token);
void auth_token_revoked(struct auth *auth, struct span id);

#endif
