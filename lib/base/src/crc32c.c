/* CRC-32C: the processor's own instruction where it has one, a table of eight lanes otherwise. The way is chosen at the
 * first call. Any thread; no allocation.
 *
 * The instruction takes three cycles but can begin anew in each, so long runs are taken as three next to each other.
 * CRCs are linear: that of A followed by B is that of A moved over as many zeros as B has bytes, XOR that of B begun at
 * 0. The way goes back to V. Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel
 * 2011.
 *
 * Where there are carry-less products of 512 bits, long runs are folded instead: 256 bytes are multiplied by what they
 * are worth 256 bytes further on and added to the next ones, until 16 are left that have the CRC of all. The way goes
 * back to V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009. From
 * some 34 KiB on both ways are gone at once, each with its share. */
#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define CRC32C_POLY UINT32_C(0x82F63B78) /* reflected 0x1EDC6F41 */

#define STRIPE ((size_t)4096) /* bytes of each of the three runs */

static uint32_t lanes[8][256];
static uint32_t over_stripe[4][256]; /* a CRC moved over STRIPE zeros, by its bytes */
static bool has_instruction, has_products;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t by_table(uint32_t crc, const unsigned char *p, size_t len);

static void prepare_stripes(void)
{
    static const unsigned char zeros[STRIPE];
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t moved = by_table(UINT32_C(1) << bit, zeros, sizeof zeros);
        for (unsigned i = 0; i < 256; i++)
            if (i >> bit % 8 & 1)
                over_stripe[bit / 8][i] ^= moved;
    }
}

#if defined(__x86_64__)
enum { FOLD = 256 }; /* bytes that are folded at a time */

/* What 16 bytes are multiplied by to be worth the same so many bytes further on: their first half, their second. */
static uint64_t by_256[2], by_64[2], by_16[2];

/* x to the power n, modulo the polynomial; its bits reflected, as the data's are. */
static uint64_t power(unsigned n)
{
    uint32_t value = UINT32_C(1) << 31;
    while (n-- > 0)
        value = (value >> 1) ^ (CRC32C_POLY & (0 - (value & 1)));
    return (uint64_t)value << 1;
}

static void prepare_fold(uint64_t by[2], unsigned bytes)
{
    by[0] = power(8 * bytes + 32);
    by[1] = power(8 * bytes - 32);
}

static void prepare_folds(void)
{
    prepare_fold(by_256, 256);
    prepare_fold(by_64, 64);
    prepare_fold(by_16, 16);
}
#endif

static void prepare(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (CRC32C_POLY & (0 - (crc & 1)));
        lanes[0][i] = crc;
    }
    for (int lane = 1; lane < 8; lane++)
        for (int i = 0; i < 256; i++)
            lanes[lane][i] = (lanes[lane - 1][i] >> 8) ^ lanes[0][lanes[lane - 1][i] & 0xff];
    prepare_stripes();
#if defined(__x86_64__)
    __builtin_cpu_init();
    has_instruction = __builtin_cpu_supports("sse4.2");
    has_products = has_instruction && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("avx512f") &&
                   __builtin_cpu_supports("vpclmulqdq");
    prepare_folds();
#endif
}

static uint32_t by_table(uint32_t crc, const unsigned char *p, size_t len)
{
    while (len >= 8) {
        uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        crc = lanes[7][low & 0xff] ^ lanes[6][low >> 8 & 0xff] ^ lanes[5][low >> 16 & 0xff] ^ lanes[4][low >> 24] ^
              lanes[3][p[4]] ^ lanes[2][p[5]] ^ lanes[1][p[6]] ^ lanes[0][p[7]];
        p += 8;
        len -= 8;
    }
    while (len--)
        crc = (crc >> 8) ^ lanes[0][(crc ^ *p++) & 0xff];
    return crc;
}

#if defined(__x86_64__)
static uint32_t move_over_stripe(uint32_t crc)
{
    return over_stripe[0][crc & 0xff] ^ over_stripe[1][crc >> 8 & 0xff] ^ over_stripe[2][crc >> 16 & 0xff] ^
           over_stripe[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const unsigned char *p, size_t len)
{
    uint64_t wide = crc;
    for (; len >= 3 * STRIPE; p += 3 * STRIPE, len -= 3 * STRIPE) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < STRIPE; i += 8) {
            uint64_t words[3];
            memcpy(&words[0], p + i, 8);
            memcpy(&words[1], p + STRIPE + i, 8);
            memcpy(&words[2], p + 2 * STRIPE + i, 8);
            wide = __builtin_ia32_crc32di(wide, words[0]);
            second = __builtin_ia32_crc32di(second, words[1]);
            third = __builtin_ia32_crc32di(third, words[2]);
        }
        wide = move_over_stripe((uint32_t)wide) ^ second;
        wide = move_over_stripe((uint32_t)wide) ^ third;
    }
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        wide = __builtin_ia32_crc32di(wide, word);
        p += 8;
        len -= 8;
    }
    crc = (uint32_t)wide;
    while (len--)
        crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}
#endif

#if defined(__x86_64__)
#define WITH_PRODUCTS __attribute__((target("sse4.2,pclmul,avx512f,vpclmulqdq")))

/* Each 16 bytes of `value`, moved over as many bytes as `by` is for, added to those of `next`. */
WITH_PRODUCTS static inline __m512i fold_64(__m512i value, __m512i by, __m512i next)
{
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(value, by, 0x00),
                                     _mm512_clmulepi64_epi128(value, by, 0x11), next, 0x96 /* the sum of the three */);
}

WITH_PRODUCTS static inline __m128i fold_16(__m128i value, __m128i by, __m128i next)
{
    return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(value, by, 0x00), _mm_clmulepi64_si128(value, by, 0x11)),
                         next);
}

WITH_PRODUCTS static inline __m128i constant(const uint64_t by[2])
{
    return _mm_set_epi64x((long long)by[1], (long long)by[0]);
}

/* The four pieces of 64 bytes become one of 16, whose CRC begun at 0 is that of all. */
WITH_PRODUCTS static uint32_t end_of_folding(const __m512i piece[4])
{
    __m512i by = _mm512_broadcast_i32x4(constant(by_64));
    __m512i all = fold_64(fold_64(fold_64(piece[0], by, piece[1]), by, piece[2]), by, piece[3]);
    __m128i by_one = constant(by_16), value = _mm512_extracti32x4_epi32(all, 0);
    value = fold_16(value, by_one, _mm512_extracti32x4_epi32(all, 1));
    value = fold_16(value, by_one, _mm512_extracti32x4_epi32(all, 2));
    value = fold_16(value, by_one, _mm512_extracti32x4_epi32(all, 3));
    uint64_t crc = __builtin_ia32_crc32di(0, (uint64_t)_mm_cvtsi128_si64(value));
    return (uint32_t)__builtin_ia32_crc32di(crc, (uint64_t)_mm_extract_epi64(value, 1));
}

/* len: a multiple of FOLD, not 0. */
WITH_PRODUCTS static uint32_t by_products(uint32_t crc, const unsigned char *p, size_t len)
{
    __m512i by = _mm512_broadcast_i32x4(constant(by_256)), piece[4];
    for (int i = 0; i < 4; i++)
        piece[i] = _mm512_loadu_si512(p + 64 * (size_t)i);
    piece[0] = _mm512_xor_si512(piece[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
    for (size_t at = FOLD; at < len; at += FOLD)
        for (int i = 0; i < 4; i++)
            piece[i] = fold_64(piece[i], by, _mm512_loadu_si512(p + at + 64 * (size_t)i));
    return end_of_folding(piece);
}

/* Of each WOVEN bytes the first are folded, and the last three STRIPEs go to the instruction meanwhile: it is done by
 * other parts of the processor, which would have nothing to do. The loops are unrolled by word, as -O2 would not. */
enum { WOVEN_STEP = 48, WOVEN_STEPS = (int)STRIPE / WOVEN_STEP };
#define WOVEN_FOLDED ((size_t)FOLD * (WOVEN_STEPS + 1))
#define WOVEN        (WOVEN_FOLDED + 3 * STRIPE)

WITH_PRODUCTS static inline uint64_t by_words(uint64_t crc, const unsigned char *p, size_t len)
{
#pragma GCC unroll 6
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, 8);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    return crc;
}

WITH_PRODUCTS static uint32_t woven(uint32_t crc, const unsigned char *p)
{
    __m512i by = _mm512_broadcast_i32x4(constant(by_256)), piece[4];
    const unsigned char *run = p + WOVEN_FOLDED;
    uint64_t runs[3] = {0, 0, 0};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        piece[i] = _mm512_loadu_si512(p + 64 * (size_t)i);
    piece[0] = _mm512_xor_si512(piece[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
    for (int step = 0; step < WOVEN_STEPS; step++) {
        p += FOLD;
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            piece[i] = fold_64(piece[i], by, _mm512_loadu_si512(p + 64 * (size_t)i));
#pragma GCC unroll 3
        for (size_t i = 0; i < 3; i++)
            runs[i] = by_words(runs[i], run + i * STRIPE, WOVEN_STEP);
        run += WOVEN_STEP;
    }
    crc = end_of_folding(piece);
    for (size_t i = 0; i < 3; i++)
        crc = move_over_stripe(crc) ^
              (uint32_t)by_words(runs[i], run + i * STRIPE, STRIPE - (size_t)WOVEN_STEP * WOVEN_STEPS);
    return crc;
}
#endif

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    pthread_once(&once, prepare);
    return ~by_table(~crc, data, len);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    pthread_once(&once, prepare);
#if defined(__x86_64__)
    const unsigned char *rest = data;
    crc = ~crc;
    for (; has_products && len >= WOVEN; rest += WOVEN, len -= WOVEN)
        crc = woven(crc, rest);
    size_t folded = has_products ? len / FOLD * FOLD : 0;
    if (folded > 0)
        crc = by_products(crc, rest, folded);
    if (has_instruction)
        return ~by_instruction(crc, rest + folded, len - folded);
    crc = ~crc;
#endif
    return ~by_table(~crc, data, len);
}
