/* Who calls, and what it may do at most. Made by server/auth, read by the rights (core/rights.h) and by the audit
 * trail. Unchanging but for `revoked`, counted, shared between threads. */
#ifndef CORE_IDENTITY_H
#define CORE_IDENTITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* A set of roles is a mask of these. */
enum role {
    ROLE_ADMIN = 1,      /* everything, tokens included */
    ROLE_DISPATCHER = 2, /* dispatch jobs, steer them, see them */
    ROLE_WORKER = 4,     /* run jobs */
    ROLE_VIEWER = 8,     /* see and watch jobs and statistics */
    ROLE_EXPORTER = 16   /* start exports, see and download its own */
};
enum { ROLE_COUNT = 5 };

struct identity {
    struct span actor; /* in the audit trail: "token:NAME", "spiffe://…", "dns:HOST", "jwt:SUBJECT", "local" */
    struct span owner; /* whose jobs and exports are its own; and what it makes belongs to it */
    unsigned roles;    /* of enum role */
    /* Narrow all roles but ROLE_ADMIN: a job must fit one of each list that is not empty. A pattern is a text in which
     * each '*' stands for any number of bytes. */
    const struct span *queues, *job_names, *owners;
    size_t n_queues, n_job_names, n_owners;
    bool own_only;       /* sees and steers only jobs whose owner is its own */
    bool may_delegate;   /* may name, by metadata "joblog-actor", the user on whose behalf it calls */
    int64_t expire_us;   /* 0: never */
    atomic_bool revoked; /* set later than it was made: streams look at it again and again */
    /* private to who made it */
    atomic_int refs;
    void (*free)(struct identity *identity);
};

static inline struct identity *identity_ref(struct identity *identity)
{
    atomic_fetch_add_explicit(&identity->refs, 1, memory_order_relaxed);
    return identity;
}

/* Takes NULL. */
static inline void identity_unref(struct identity *identity)
{
    if (identity && atomic_fetch_sub_explicit(&identity->refs, 1, memory_order_acq_rel) == 1)
        identity->free(identity);
}

/* Neither revoked nor expired. */
static inline bool identity_is_valid(const struct identity *identity, int64_t now_us)
{
    return !atomic_load_explicit(&identity->revoked, memory_order_relaxed) &&
           (identity->expire_us == 0 || now_us < identity->expire_us);
}

#endif
