/* Seals are SipHash-2-4-128: as OpenSSL makes it, for texts of any length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "auth/seal.h"

static void by_openssl(const uint8_t key[16], struct span text, uint8_t ret[16])
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    assert_non_null(mac);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t size = 16, len = 0;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_MAC_init(ctx, key, 16, params), 1);
    assert_int_equal(EVP_MAC_update(ctx, (const uint8_t *)text.data, text.len), 1);
    assert_int_equal(EVP_MAC_final(ctx, ret, &len, 16), 1);
    assert_int_equal(len, 16);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

static void test_seals(void **state)
{
    char text[200];
    (void)state;
    for (unsigned n = 0; n < sizeof text; n++) {
        uint8_t key[16], want[16];
        struct seal_key k;
        for (unsigned i = 0; i < 16; i++)
            key[i] = (uint8_t)(n * 31 + i * 17);
        memcpy(k.k, key, 16); /* the machines that this runs on are little-endian */
        text[n] = (char)(n * 7 + 128);
        by_openssl(key, span_of(text, n), want);
        struct seal seal = seal_make(&k, span_of(text, n));
        assert_memory_equal(seal.v, want, 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
