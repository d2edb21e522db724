/* Inside server/auth: making a struct identity. Any thread. */
#ifndef AUTH_MAKE_H
#define AUTH_MAKE_H

#include "core/identity.h"

/* What an identity is made from; borrowed. */
struct identity_spec {
    struct span actor_kind; /* put before actor: "token:" */
    struct span actor, owner;
    unsigned roles;
    const struct span *queues, *job_names, *owners;
    size_t n_queues, n_job_names, n_owners;
    bool own_only, may_delegate;
    int64_t expire_us;
};

/* Copies all into one piece of memory. One reference (identity_unref). NULL: out of memory. */
struct identity *identity_make(const struct identity_spec *spec);

#endif
