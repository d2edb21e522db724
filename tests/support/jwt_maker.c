/* See jwt_maker.h. */
#include "support/jwt_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

enum { PART_MAX = 32768 };

EVP_PKEY *jwt_key_new(const char *kind)
{
    EVP_PKEY *key = strcmp(kind, "RS256") == 0   ? EVP_RSA_gen(2048)
                    : strcmp(kind, "ES256") == 0 ? EVP_EC_gen("P-256")
                                                 : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(key);
    return key;
}

static char *encode(const unsigned char *bytes, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned held = 0, n = 0;
    for (size_t i = 0; i < len; i++) {
        held = held << 8 | bytes[i];
        for (n += 8; n >= 6; n -= 6)
            *out++ = digits[held >> (n - 6) & 63];
    }
    if (n > 0)
        *out++ = digits[held << (6 - n) & 63];
    *out = '\0';
    return out;
}

/* A number in len bytes (0: as many as it needs). */
static void number(EVP_PKEY *key, const char *name, int len, char *out)
{
    unsigned char bytes[1024];
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
    int size = len ? len : BN_num_bytes(n);
    assert_int_equal(BN_bn2binpad(n, bytes, size), size);
    encode(bytes, (size_t)size, out);
    BN_free(n);
}

static void write_key(FILE *f, EVP_PKEY *key, const char *kid)
{
    char a[2048], b[2048];
    fprintf(f, "{\"kid\": \"%s\", \"use\": \"sig\", ", kid);
    if (EVP_PKEY_is_a(key, "RSA")) {
        number(key, OSSL_PKEY_PARAM_RSA_N, 0, a);
        number(key, OSSL_PKEY_PARAM_RSA_E, 0, b);
        fprintf(f, "\"kty\": \"RSA\", \"n\": \"%s\", \"e\": \"%s\"}", a, b);
    } else if (EVP_PKEY_is_a(key, "EC")) {
        number(key, OSSL_PKEY_PARAM_EC_PUB_X, 32, a);
        number(key, OSSL_PKEY_PARAM_EC_PUB_Y, 32, b);
        fprintf(f, "\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"%s\", \"y\": \"%s\"}", a, b);
    } else {
        unsigned char raw[32];
        size_t len = sizeof raw;
        assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
        encode(raw, len, a);
        fprintf(f, "\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"alg\": \"EdDSA\", \"x\": \"%s\"}", a);
    }
}

void jwks_write(const char *path, EVP_PKEY *const *keys, const char *const *kids, size_t n)
{
    char temporary[512];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *f = fopen(temporary, "we");
    assert_non_null(f);
    fputs("{\"keys\": [{\"kty\": \"oct\", \"k\": \"AAAA\", \"kid\": \"a secret that does not belong here\"}", f);
    for (size_t i = 0; i < n; i++) {
        fputs(",\n ", f);
        write_key(f, keys[i], kids[i]);
    }
    fputs("]}\n", f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(temporary, path), 0);
}

/* DER to the two numbers of JOSE. */
static size_t join(unsigned char *signature, size_t len)
{
    const unsigned char *at = signature;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    unsigned char both[64];
    assert_non_null(sig);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), both, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), both + 32, 32), 32);
    ECDSA_SIG_free(sig);
    memcpy(signature, both, sizeof both);
    return sizeof both;
}

/* What a server that lets the token choose the algorithm would take: the public key as the secret. */
static size_t hmac(EVP_PKEY *key, const char *text, unsigned char *signature)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    unsigned len = 0;
    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    long pem_len = BIO_get_mem_data(bio, &pem);
    assert_non_null(HMAC(EVP_sha256(), pem, (int)pem_len, (const unsigned char *)text, strlen(text), signature, &len));
    BIO_free(bio);
    return len;
}

const char *jwt_make(const char *kind, EVP_PKEY *key, const char *header, const char *claims)
{
    static char text[3 * PART_MAX];
    unsigned char signature[1024];
    size_t len = sizeof signature;
    assert_true(strlen(header) < PART_MAX / 2 && strlen(claims) < PART_MAX / 2);
    char *end = encode((const unsigned char *)header, strlen(header), text);
    *end++ = '.';
    end = encode((const unsigned char *)claims, strlen(claims), end);
    if (!key) {
        len = 0;
    } else if (strcmp(kind, "HS256") == 0) {
        len = hmac(key, text, signature);
    } else {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        const EVP_MD *md = strcmp(kind, "EdDSA") == 0 ? NULL : EVP_sha256();
        assert_int_equal(EVP_DigestSignInit(ctx, NULL, md, NULL, key), 1);
        assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const unsigned char *)text, strlen(text)), 1);
        EVP_MD_CTX_free(ctx);
        if (strcmp(kind, "ES256") == 0)
            len = join(signature, len);
    }
    *end++ = '.';
    encode(signature, len, end);
    return text;
}
