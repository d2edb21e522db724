/* CRC-32C against the vectors of RFC 3720, and its two ways against each other. No I/O. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"

static void check(const void *data, size_t len, uint32_t want)
{
    assert_int_equal(crc32c(0, data, len), want);
    assert_int_equal(crc32c_portable(0, data, len), want);
}

static void rfc_3720_vectors(void **state)
{
    (void)state;
    unsigned char b[32];
    memset(b, 0, sizeof b);
    check(b, sizeof b, 0x8a9136aa);
    memset(b, 0xff, sizeof b);
    check(b, sizeof b, 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        b[i] = (unsigned char)i;
    check(b, sizeof b, 0x46dd794e);
    for (int i = 0; i < 32; i++)
        b[i] = (unsigned char)(31 - i);
    check(b, sizeof b, 0x113fdb5c);
    static const unsigned char read_command[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};
    check(read_command, sizeof read_command, 0xd9963a56);
    check("123456789", 9, 0xe3069283);
    check("", 0, 0);
}

static void pieces_and_offsets(void **state)
{
    (void)state;
    unsigned char data[300];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 131 + 7);
    uint32_t whole = crc32c_portable(0, data, sizeof data);
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, sizeof data - cut), whole);
        assert_int_equal(crc32c(0, data + cut, sizeof data - cut), crc32c_portable(0, data + cut, sizeof data - cut));
    }
}

static void fill(unsigned char *data, size_t len, uint32_t x)
{
    for (size_t i = 0; i < len; i++) {
        x = x * 1103515245 + 12345;
        data[i] = (unsigned char)(x >> 16);
    }
}

/* Long runs are taken in three parts at once where the processor has the instruction. */
static void long_runs(void **state)
{
    enum { BLOCK = 3 * 4096 };
    static unsigned char data[3 * BLOCK + 100];
    (void)state;
    fill(data, sizeof data, 12345);
    for (size_t blocks = 1; blocks <= 3; blocks++)
        for (size_t len = blocks * BLOCK - 9; len <= blocks * BLOCK + 9; len++)
            for (size_t from = 0; from < 9; from += 4)
                assert_int_equal(crc32c(from ? 77 : 0, data + from, len),
                                 crc32c_portable(from ? 77 : 0, data + from, len));
}

/* Of 256 bytes on they are folded where the processor can do that; of each length some are left over. */
static void every_length(void **state)
{
    static unsigned char data[2100];
    (void)state;
    fill(data, sizeof data, 54321);
    for (size_t len = 0; len <= 2048; len++)
        for (size_t from = 0; from < 3; from++)
            assert_int_equal(crc32c((uint32_t)len, data + from, len), crc32c_portable((uint32_t)len, data + from, len));
}

/* Of 34304 bytes on a part is folded and the rest goes to the instruction at the same time. */
static void woven_runs(void **state)
{
    enum { WOVEN = 86 * 256 + 3 * 4096 };
    static unsigned char data[3 * WOVEN + 300];
    (void)state;
    fill(data, sizeof data, 999);
    for (size_t blocks = 1; blocks <= 3; blocks++)
        for (size_t len = blocks * WOVEN - 9; len <= blocks * WOVEN + 265; len += len % 16 < 9 ? 1 : 7)
            assert_int_equal(crc32c((uint32_t)len, data + len % 5, len),
                             crc32c_portable((uint32_t)len, data + len % 5, len));
    uint32_t right = crc32c(0, data, WOVEN);
    for (size_t at = 0; at < WOVEN; at += 257) {
        data[at] ^= 16;
        assert_int_not_equal(crc32c(0, data, WOVEN), right);
        data[at] ^= 16;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rfc_3720_vectors), cmocka_unit_test(pieces_and_offsets),
                                       cmocka_unit_test(long_runs), cmocka_unit_test(every_length),
                                       cmocka_unit_test(woven_runs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
