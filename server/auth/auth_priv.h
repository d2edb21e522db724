/* Inside server/auth: its parts, and how it asks the store. */
#ifndef AUTH_AUTH_PRIV_H
#define AUTH_AUTH_PRIV_H

#include <pthread.h>

#include "auth/auth.h"
#include "auth/jwt.h"
#include "auth/rules.h"
#include "auth/tokens.h"

struct auth {
    struct store *store;
    struct identity *everybody; /* authentication is off: what all are; else NULL */
    struct tokens tokens;
    struct failures failures;
    struct jwt *jwt;     /* NULL: JWTs are not taken */
    struct rules *rules; /* NULL: certificates are not taken */
    /* of the thread */
    int64_t version;
    int64_t told_us, loaded_us; /* monotonic: when uses were told, tokens loaded last */
    bool failing;               /* the database did not answer; said once */
    _Atomic int64_t fresh_us;   /* monotonic: the database answered */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping, hurry;
    atomic_bool asked; /* somebody came with an unknown token */
};

/* Submits cmd and waits for its end. 0, or -code. Not on a worker thread. */
int ask_store(struct store *store, struct store_cmd *cmd, struct err *ret_err);

/* Makes sure that path holds a token and that the database knows it for an administrator's. 0, or -code with a text for
 * the operator. */
int admin_token_ensure(struct store *store, const char *path, struct err *ret_err);

#endif
