/* Who is it? From what a call brings (a bearer token or a JWT, a client certificate, a unix socket) to a struct
 * identity.
 *
 * Everything needed is in memory: tokens are read from the database when they change (a thread of auth polls, so a
 * token made or revoked on another replica counts within seconds), keys from the JWKS file. auth_identify therefore
 * never waits, and may be called on a server's worker thread. Knows nothing of gRPC. */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "core/identity.h"

struct auth;

/* What a call brought. Empty parts: nothing. */
struct auth_evidence {
    struct span bearer;                  /* of "authorization: Bearer …": an opaque token or a JWT */
    const struct span *uris, *dns_names; /* subject alternative names of a verified client certificate */
    size_t n_uris, n_dns_names;
};

/* Gives *ret (identity_unref). A bearer counts before a certificate; one that is wrong is refused even when a
 * certificate is there. 0, or -UNAUTHENTICATED and *ret_err, whose text does not tell why a token was not taken beyond
 * "expired" (of one that was genuine) or "not valid"; or -RESOURCE_EXHAUSTED. */
int auth_identify(struct auth *auth, const struct auth_evidence *evidence, struct identity **ret, struct err *ret_err);

#endif
