/* Inside server/auth: who a client certificate is, by rules in a file. Many threads may identify while one refreshes.
 */
#ifndef AUTH_RULES_H
#define AUTH_RULES_H

#include "auth/auth.h"

struct rules;

/* Gives *ret (rules_free). 0, or -INVALID_ARGUMENT with the setting's name as field. */
int rules_new(const char *path, struct rules **ret, struct err *ret_err);
void rules_free(struct rules *rules); /* takes NULL */
/* As jwt_refresh: identities that the new rules would make otherwise become revoked. Takes NULL. */
void rules_refresh(struct rules *rules);
/* By the first rule that a name fits, rules for URIs before those for DNS names; of several names the first in the
 * certificate. Names that are not printable ASCII of at most 200 bytes fit none. As auth_identify. */
int rules_identify(struct rules *rules, const struct auth_evidence *evidence, struct identity **ret,
                   struct err *ret_err);

#endif
