/* Keys, JWK sets and JWTs that a test makes for itself, good and bad ones. Each fails the test on an error. One thread.
 */
#ifndef SUPPORT_JWT_MAKER_H
#define SUPPORT_JWT_MAKER_H

#include <openssl/evp.h>

/* kind: "RS256", "ES256" or "EdDSA". EVP_PKEY_free. */
EVP_PKEY *jwt_key_new(const char *kind);
/* Writes {"keys": […]} of n keys with their kids to path, by a rename. */
void jwks_write(const char *path, EVP_PKEY *const *keys, const char *const *kids, size_t n);

/* base64url(header) "." base64url(claims) "." base64url(signature by key, as kind says). key NULL: an empty signature.
 * kind "HS256": an HMAC with the PEM text of the public key. In a static buffer, which the next call overwrites. */
const char *jwt_make(const char *kind, EVP_PKEY *key, const char *header, const char *claims);

#endif
