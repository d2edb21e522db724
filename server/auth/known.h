/* Inside server/auth: identities of JWTs that were verified and of certificates that fitted a rule, so that each is
 * worked out once and can be told when the key or the rule that it stands on is gone. Many threads. */
#ifndef AUTH_KNOWN_H
#define AUTH_KNOWN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/identity.h"

enum {
    KNOWN_KEY_LEN = 32, /* SHA-256 of the token or of the name */
    /* More than calls at a time by default (max-calls): what a live stream stands on is never forgotten. */
    KNOWN_MAX = 65536,
    /* From this many on, those that nobody uses are swept out. */
    KNOWN_SWEEP = 8192
};

struct known_entry;

struct known {
    pthread_mutex_t lock;
    struct known_entry *by_key; /* uthash */
    size_t sweep_at;
};

void known_init(struct known *known);
void known_done(struct known *known);
/* Gives the identity, or NULL. */
struct identity *known_find(struct known *known, const uint8_t key[KNOWN_KEY_LEN]);
/* Takes identity and gives one that is in: that, or another one of this key which came first. basis: what it stands on,
 * an address or number that known_drop is asked about. NULL: out of memory, or KNOWN_MAX are in use. */
struct identity *known_add(struct known *known, const uint8_t key[KNOWN_KEY_LEN], uint64_t basis,
                           struct identity *identity);
/* Forgets those whose basis does not stand any more; they become revoked. */
void known_drop(struct known *known, bool (*stands)(void *user, uint64_t basis), void *user);

#endif
