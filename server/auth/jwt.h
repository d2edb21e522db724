/* Inside server/auth: JSON Web Tokens (RFC 7519, with the cares of RFC 8725). Many threads may identify while one
 * refreshes. */
#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include "auth/auth.h"
#include "auth/failures.h"

struct jwt;

enum {
    JWT_MAX_BYTES = 8192, /* what gRPC lets through as metadata by default */
    JWT_LEEWAY_S = 30     /* clocks differ */
};

/* Reads the keys. Gives *ret (jwt_free). 0, or -INVALID_ARGUMENT with the setting's name as field. */
int jwt_new(const struct auth_jwt_options *options, struct jwt **ret, struct err *ret_err);
void jwt_free(struct jwt *jwt); /* takes NULL */
/* Reads the file of keys anew if it has changed; one that cannot be used leaves the old ones in force. Identities whose
 * key is gone become revoked. Takes NULL. */
void jwt_refresh(struct jwt *jwt);
/* As auth_identify. */
/* failures: of addresses whose signatures were wrong too often no further one is checked, RESOURCE_EXHAUSTED; what is
 * known already is good all the while. NULL: no bound. */
int jwt_identify(struct jwt *jwt, struct span text, struct failures *failures, struct span address,
                 struct identity **ret, struct err *ret_err);

#endif
