/* CRC-32C: the processor's own instruction where it has one, a table of eight lanes otherwise. The way is chosen at the
 * first call. Any thread; no allocation. */
#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define CRC32C_POLY UINT32_C(0x82F63B78) /* reflected 0x1EDC6F41 */

static uint32_t lanes[8][256];
static bool has_instruction;
static pthread_once_t once = PTHREAD_ONCE_INIT;

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
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t crc, const unsigned char *p, size_t len)
{
    uint64_t wide = crc;
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
