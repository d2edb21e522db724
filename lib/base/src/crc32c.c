/* CRC-32C: the processor's own instruction where it has one, a table of eight lanes otherwise. The way is chosen at the
 * first call. Any thread; no allocation.
 *
 * The instruction takes three cycles but can begin anew in each, so long runs are taken as three next to each other.
 * CRCs are linear: that of A followed by B is that of A moved over as many zeros as B has bytes, XOR that of B begun at
 * 0. The way goes back to V. Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel
 * 2011. */
#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define CRC32C_POLY UINT32_C(0x82F63B78) /* reflected 0x1EDC6F41 */

#define STRIPE ((size_t)4096) /* bytes of each of the three runs */

static uint32_t lanes[8][256];
static uint32_t over_stripe[4][256]; /* a CRC moved over STRIPE zeros, by its bytes */
static bool has_instruction;
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

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t len)
{
    pthread_once(&once, prepare);
    return ~by_table(~crc, data, len);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    pthread_once(&once, prepare);
#if defined(__x86_64__)
    if (has_instruction)
        return ~by_instruction(~crc, data, len);
#endif
    return ~by_table(~crc, data, len);
}
