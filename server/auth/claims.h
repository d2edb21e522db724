/* Inside server/auth: what a JWT claims, as an identity. Any thread. */
#ifndef AUTH_CLAIMS_H
#define AUTH_CLAIMS_H

#include <jansson.h>

#include "auth/auth.h"

enum claims_verdict { CLAIMS_GOOD, CLAIMS_WRONG, CLAIMS_EXPIRED, CLAIMS_NO_MEMORY };

/* Checks issuer, audience, exp, nbf and the shape of all that is used. Gives *ret (identity_unref) when good.
 * options: without NULLs. */
enum claims_verdict claims_read(const struct auth_jwt_options *options, const json_t *claims, int64_t now_us,
                                struct identity **ret);

/* ---- shared with the rules for certificates ---- */

enum {
    SCOPE_LIST_MAX = 64,  /* patterns in one list: each is tried for each job looked at */
    SCOPE_TEXT_MAX = 200, /* as long as the names that they stand for */
};

struct scope {
    struct span queues[SCOPE_LIST_MAX], job_names[SCOPE_LIST_MAX], owners[SCOPE_LIST_MAX];
    size_t n_queues, n_job_names, n_owners;
    bool own_only, may_delegate;
};

/* Texts borrow from object. False: it is of another shape. */
bool scope_read(const json_t *object, struct scope *ret);
/* An array of names of roles, or a text with blanks between them. Names that are no roles are passed over unless
 * strict. False: of another shape. */
bool roles_read(const json_t *value, bool strict, unsigned *ret);
/* A text without control characters, from 1 to SCOPE_TEXT_MAX bytes. */
bool text_read(const json_t *value, struct span *ret);

#endif
