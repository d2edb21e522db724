/* Commands of the store about tokens. Reader threads run them; each that writes is one statement, committed before
 * done. */
#ifndef STORE_ACCESS_H
#define STORE_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

enum {
    TOKEN_ID_LEN = 16,   /* hex digits */
    TOKEN_HASH_LEN = 32, /* SHA-256 */
    TOKENS_MAX = 100000, /* that live: every replica holds all of them in memory, some hundred bytes each */
};

struct token_info {
    struct span id, hash;
    struct span name; /* of one token that lives, at a time */
    unsigned roles;   /* of enum role */
    const struct span *queues, *job_names, *owners;
    size_t n_queues, n_job_names, n_owners;
    struct span owner;
    bool own_only, may_delegate;
    struct span creator;
    int64_t create_us, expire_us; /* expire_us 0: never */
    int64_t last_use_us;          /* 0: not yet */
    struct span revoker;
    int64_t revoke_us; /* 0: not revoked */
};

/* Safe to repeat with the same id. ALREADY_EXISTS (reason TOKEN_NAME_TAKEN), RESOURCE_EXHAUSTED (TOO_MANY_TOKENS). */
struct store_token_create {
    struct store_cmd cmd;
    struct token_info token; /* without what happens later */
};

/* NOT_FOUND (reason TOKEN_NOT_FOUND). One that is revoked already stays as it is. */
struct store_token_revoke {
    struct store_cmd cmd;
    struct span id, actor;
    int64_t now_us;
};

/* A page in the order of ids. */
struct store_token_list {
    struct store_cmd cmd;
    struct span after_id; /* empty: from the first */
    int32_t limit;
    bool revoked; /* these too */
    struct arena *arena;
    /* out */
    struct token_info *tokens;
    size_t n_tokens;
    bool more;
};

/* All that live at now_us, unless nothing has changed since version. */
struct store_token_load {
    struct store_cmd cmd;
    int64_t version; /* in: of the last load, 0: none; out: of this one */
    int64_t now_us;
    struct arena *arena;
    /* out */
    bool changed;
    struct token_info *tokens;
    size_t n_tokens;
};

/* Writes when tokens were used last, and forgets those that ended before purge_us. */
struct store_token_used {
    struct store_cmd cmd;
    const struct span *ids;
    const int64_t *times_us;
    size_t n;
    int64_t purge_us;
};

#endif
