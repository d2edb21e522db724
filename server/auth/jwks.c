/* See jwks.h. Keys and signatures are OpenSSL's work; here is only what RFC 7517 and 7518 wrap around them. */
#include "auth/jwks.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/alloc.h"

const char *const jwt_algorithm_names[JWT_ALGORITHMS] = {"RS256", "ES256", "EdDSA"};

enum {
    RSA_MIN_BITS = 2048, /* RFC 7518, 3.3 */
    RSA_MAX_BITS = 8192, /* a longer one would make each check a burden */
    PART_MAX = RSA_MAX_BITS / 8,
    P256_BYTES = 32,
    ES256_BYTES = 64, /* two numbers of the curve */
    ED25519_BYTES = 32
};

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long base64url_decode(struct span text, char *out)
{
    unsigned held = 0, bits = 0;
    long n = 0;
    if (text.len % 4 == 1)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        int d = digit(text.data[i]);
        if (d < 0)
            return -1;
        held = held << 6 | (unsigned)d;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (char)(held >> bits & 255);
        }
    }
    /* One text for one value: bits left over are zero. */
    return (held & ((1u << bits) - 1)) == 0 ? n : -1;
}

/* The bytes of a member, or -1. */
static long member_bytes(const json_t *jwk, const char *name, unsigned char *out)
{
    const json_t *value = json_object_get(jwk, name);
    struct span text = span_of(json_string_value(value), json_string_length(value));
    if (!text.data || text.len == 0 || text.len > PART_MAX * 4 / 3 + 2)
        return -1;
    return base64url_decode(text, (char *)out);
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = build ? OSSL_PARAM_BLD_to_param(build) : NULL;
    if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        key = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
    unsigned char n[PART_MAX + 4], e[PART_MAX + 4];
    long n_len = member_bytes(jwk, "n", n), e_len = member_bytes(jwk, "e", e);
    if (n_len <= 0 || e_len <= 0 || e_len > 8)
        return NULL;
    BIGNUM *bn_n = BN_bin2bn(n, (int)n_len, NULL), *bn_e = BN_bin2bn(e, (int)e_len, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build && bn_n && bn_e && BN_num_bits(bn_n) >= RSA_MIN_BITS && BN_num_bits(bn_n) <= RSA_MAX_BITS &&
        BN_is_odd(bn_e) && !BN_is_one(bn_e) && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e))
        key = key_from("RSA", build);
    OSSL_PARAM_BLD_free(build);
    BN_free(bn_n);
    BN_free(bn_e);
    return key;
}

static EVP_PKEY *p256_key(const json_t *jwk)
{
    unsigned char x[PART_MAX + 4], y[PART_MAX + 4], point[1 + 2 * P256_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    const char *curve = json_string_value(json_object_get(jwk, "crv"));
    if (!curve || strcmp(curve, "P-256") != 0 || member_bytes(jwk, "x", x) != P256_BYTES ||
        member_bytes(jwk, "y", y) != P256_BYTES)
        return NULL;
    memcpy(point + 1, x, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y, P256_BYTES);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point))
        key = key_from("EC", build); /* a point beside the curve is refused */
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *ed25519_key(const json_t *jwk)
{
    unsigned char x[PART_MAX + 4];
    const char *curve = json_string_value(json_object_get(jwk, "crv"));
    if (!curve || strcmp(curve, "Ed25519") != 0 || member_bytes(jwk, "x", x) != ED25519_BYTES)
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, ED25519_BYTES);
}

static uint64_t print_of(EVP_PKEY *key)
{
    unsigned char *der = NULL, hash[SHA256_DIGEST_LENGTH] = {0};
    uint64_t print;
    int len = i2d_PUBKEY(key, &der);
    if (len > 0)
        SHA256(der, (size_t)len, hash);
    OPENSSL_free(der);
    memcpy(&print, hash, sizeof print);
    return print;
}

static bool member_is(const json_t *jwk, const char *name, const char *value)
{
    const json_t *member = json_object_get(jwk, name);
    return !member || (json_is_string(member) && strcmp(json_string_value(member), value) == 0);
}

/* 1: taken; 0: not for us; -1: out of memory. */
static int read_key(const json_t *jwk, struct jwk *ret)
{
    const char *type = json_string_value(json_object_get(jwk, "kty"));
    const json_t *kid = json_object_get(jwk, "kid");
    struct jwk k = {0};
    if (!type || !member_is(jwk, "use", "sig") || (kid && !json_is_string(kid)))
        return 0;
    if (strcmp(type, "RSA") == 0 && (k.key = rsa_key(jwk)))
        k.algorithm = JWT_RS256;
    else if (strcmp(type, "EC") == 0 && (k.key = p256_key(jwk)))
        k.algorithm = JWT_ES256;
    else if (strcmp(type, "OKP") == 0 && (k.key = ed25519_key(jwk)))
        k.algorithm = JWT_EDDSA;
    if (!k.key)
        return 0;
    if (!member_is(jwk, "alg", jwt_algorithm_names[k.algorithm])) {
        EVP_PKEY_free(k.key);
        return 0;
    }
    if (!(k.kid = mem_strdup(kid ? json_string_value(kid) : ""))) {
        EVP_PKEY_free(k.key);
        return -1;
    }
    k.print = print_of(k.key);
    *ret = k;
    return 1;
}

int jwks_parse(struct span text, struct jwks *ret, struct err *ret_err)
{
    struct jwks set = {0};
    json_error_t problem;
    json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &problem), *keys, *jwk;
    size_t i;
    int rc = 0;
    if (!root)
        return err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "not JSON: %.100s, line %d", problem.text, problem.line);
    keys = json_object_get(root, "keys");
    if (!json_is_array(keys) || json_array_size(keys) > JWKS_MAX)
        rc = err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "no JWK set: \"keys\" must be an array of at most %d",
                     JWKS_MAX);
    else if (!(set.keys = mem_zalloc((json_array_size(keys) + 1) * sizeof *set.keys)))
        rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    json_array_foreach(keys, i, jwk)
    {
        int got = rc == 0 ? read_key(jwk, &set.keys[set.n]) : 0;
        if (got < 0)
            rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        set.n += got > 0;
    }
    if (rc == 0 && set.n == 0)
        rc = err_set(ret_err, ERR_INVALID_ARGUMENT, NULL,
                     "no key of use: RSA of %d to %d bits, EC P-256 or OKP Ed25519, for signatures", RSA_MIN_BITS,
                     RSA_MAX_BITS);
    json_decref(root);
    if (rc != 0)
        jwks_done(&set);
    else
        *ret = set;
    return rc;
}

void jwks_done(struct jwks *set)
{
    for (size_t i = 0; i < set->n; i++) {
        EVP_PKEY_free(set->keys[i].key);
        mem_free(set->keys[i].kid);
    }
    mem_free(set->keys);
    *set = (struct jwks){0};
}

const struct jwk *jwks_find(const struct jwks *set, struct span kid, enum jwt_algorithm algorithm)
{
    const struct jwk *found = NULL;
    for (size_t i = 0; i < set->n; i++) {
        const struct jwk *k = &set->keys[i];
        if (k->algorithm != algorithm || (kid.len > 0 && !span_eq(kid, span_str(k->kid))))
            continue;
        if (found)
            return NULL; /* two could be meant: guessing would let one key stand for another */
        found = k;
    }
    return found;
}

/* ECDSA signatures travel as two numbers in JOSE, as DER in OpenSSL. */
static unsigned char *der_of(struct span signature, int *ret_len)
{
    unsigned char *der = NULL;
    const unsigned char *bytes = (const unsigned char *)signature.data;
    ECDSA_SIG *sig = signature.len == ES256_BYTES ? ECDSA_SIG_new() : NULL;
    BIGNUM *r = sig ? BN_bin2bn(bytes, P256_BYTES, NULL) : NULL;
    BIGNUM *s = sig ? BN_bin2bn(bytes + P256_BYTES, P256_BYTES, NULL) : NULL;
    if (r && s && ECDSA_SIG_set0(sig, r, s)) {
        *ret_len = i2d_ECDSA_SIG(sig, &der);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return der;
}

bool jwk_verify(const struct jwk *k, struct span text, struct span signature)
{
    unsigned char *der = NULL;
    const unsigned char *bytes = (const unsigned char *)signature.data;
    int len = (int)signature.len;
    if (k->algorithm == JWT_ES256) {
        if (!(der = der_of(signature, &len)) || len <= 0)
            return false;
        bytes = der;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx &&
                EVP_DigestVerifyInit(ctx, NULL, k->algorithm == JWT_EDDSA ? NULL : EVP_sha256(), NULL, k->key) == 1 &&
                EVP_DigestVerify(ctx, bytes, (size_t)len, (const unsigned char *)text.data, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    return good;
}
