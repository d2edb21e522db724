/* Who calls: tokens of the server, and the logins of this user. docs/access.md tells how they belong together. */
#ifndef JOBLOG_ACCESS_H
#define JOBLOG_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "joblog/client.h"
#include "joblog/error.h"

JOBLOG_BEGIN_DECLS

/* A set of roles is a sum of these. */
enum joblog_role {
    JOBLOG_ROLE_ADMIN = 1,      /* everything, tokens included */
    JOBLOG_ROLE_DISPATCHER = 2, /* dispatch jobs, steer them, see them */
    JOBLOG_ROLE_WORKER = 4,     /* run jobs */
    JOBLOG_ROLE_VIEWER = 8,     /* see and watch jobs and statistics */
    JOBLOG_ROLE_EXPORTER = 16   /* start exports, see and download its own */
};
/* "admin" for JOBLOG_ROLE_ADMIN and so on; "" for what is no single role. Static. */
JOBLOG_API const char *joblog_role_name(unsigned role);
/* The role of a name; 0: there is none of this name. */
JOBLOG_API unsigned joblog_role_of(const char *name);

/* What a caller may do. Patterns ('*' stands for any number of bytes) narrow all roles but ADMIN: a job must fit one of
 * each list that is not empty. */
struct joblog_grant {
    unsigned roles;
    const char *const *queues, *const *job_names, *const *owners;
    size_t n_queues, n_job_names, n_owners;
    const char *owner; /* whose jobs and exports are its own; NULL or empty: the name of the token */
    bool own_only;     /* sees and steers only these */
    bool may_delegate; /* may name the user on whose behalf it calls (joblog_options.actor) */
};

struct joblog_token {
    const char *id, *name;
    struct joblog_grant grant;
    const char *creator, *revoker;                        /* revoker: "" while it is valid */
    int64_t create_us, expire_us, last_use_us, revoke_us; /* 0: never, not yet */
    const char *secret;                                   /* its text; only of a token that was just made, else "" */
};

/* Makes a token: name, for people and the record, printable ASCII without blanks, of one token at a time; ttl_ms 0:
 * valid for ever. Borrows all. Gives *ret_token (joblog_token_free). ALREADY_EXISTS (TOKEN_NAME_TAKEN). */
JOBLOG_API int joblog_create_token(struct joblog_client *client, const char *name, const struct joblog_grant *grant,
                                   int64_t ttl_ms, struct joblog_token **ret_token, struct joblog_error *error);
/* Takes NULL. Wipes the secret. */
JOBLOG_API void joblog_token_free(struct joblog_token *token);

struct joblog_tokens {
    struct joblog_token *tokens;
    size_t n_tokens;
    const char *next_page_token; /* "" on the last page */
};
/* page_token NULL: the first page. Gives *ret_tokens (joblog_tokens_free). */
JOBLOG_API int joblog_list_tokens(struct joblog_client *client, bool revoked, const char *page_token,
                                  struct joblog_tokens **ret_tokens, struct joblog_error *error);
JOBLOG_API void joblog_tokens_free(struct joblog_tokens *tokens); /* takes NULL */
/* NOT_FOUND when there is none with this id. */
JOBLOG_API int joblog_revoke_token(struct joblog_client *client, const char *id, struct joblog_error *error);

/* Who the server takes this client for. */
struct joblog_caller {
    const char *actor; /* "token:NAME" … */
    struct joblog_grant grant;
    int64_t expire_us; /* 0: never */
};
/* Gives *ret_caller (joblog_caller_free). UNAUTHENTICATED: for nobody. */
JOBLOG_API int joblog_who_am_i(struct joblog_client *client, struct joblog_caller **ret_caller,
                               struct joblog_error *error);
JOBLOG_API void joblog_caller_free(struct joblog_caller *caller); /* takes NULL */

/* ---- logins: kept for later clients of this user, in $XDG_CONFIG_HOME/joblog/logins.json, mode 0600 ---- */

/* The address that the client calls. Borrowed from it. */
JOBLOG_API const char *joblog_address(const struct joblog_client *client);
/* Keeps what this client was given by its options for its address, token included, and makes the address the one that
 * joblog_connect(NULL, …) uses. A token of token_file is kept as it is now. Files of TLS are kept by their absolute
 * paths. */
JOBLOG_API int joblog_login(const struct joblog_client *client, struct joblog_error *error);
/* Forgets the login for address (NULL: the present one). 1: forgotten, and *ret_address (may be NULL) tells which, up
 * to 255 bytes; 0: there was none. */
JOBLOG_API int joblog_logout(const char *address, char ret_address[256], struct joblog_error *error);

JOBLOG_END_DECLS

#endif
