/* Inside server/auth: a JSON Web Key set (RFC 7517): the public keys that JWTs may be signed with. Constant once made.
 */
#ifndef AUTH_JWKS_H
#define AUTH_JWKS_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

/* RFC 7518 and RFC 8037. What is not here is refused: "none", and every HS*, whose key would be no secret here. */
enum jwt_algorithm { JWT_RS256, JWT_ES256, JWT_EDDSA, JWT_ALGORITHMS };
extern const char *const jwt_algorithm_names[JWT_ALGORITHMS];

struct jwk {
    char *kid; /* "" for none */
    enum jwt_algorithm algorithm;
    EVP_PKEY *key;
    uint64_t print; /* first bytes of the key's SHA-256 */
};

struct jwks {
    struct jwk *keys;
    size_t n;
};

enum { JWKS_MAX = 64 }; /* issuers hold a few at a time */

/* Keys for other uses or of other kinds are passed over. *ret is jwks_done afterwards. 0, or -code with a text for the
 * operator; a set without a single key of use is an error. */
int jwks_parse(struct span text, struct jwks *ret, struct err *ret_err);
void jwks_done(struct jwks *jwks);
/* The key for a header: of this kid and algorithm; without a kid the only one of the algorithm. NULL: there is none. */
const struct jwk *jwks_find(const struct jwks *jwks, struct span kid, enum jwt_algorithm algorithm);
/* Is it the signature of the text? For ES256 the two numbers of 32 bytes, as RFC 7518 has them. */
bool jwk_verify(const struct jwk *key, struct span text, struct span signature);

/* base64url without padding into out, which has room for 3 / 4 of it. Length, or -1: it is none. */
long base64url_decode(struct span text, char *out);

#endif
