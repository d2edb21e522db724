/* UTF-8 (RFC 3629). Pure, any thread. What is not well-formed is never repaired here: callers refuse or replace it. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed sequence at p, of which `left` bytes (at least one) may be read; 0 when there is none. A
 * NUL counts as none: no text here holds one. */
static inline size_t utf8_len(const uint8_t *p, size_t left)
{
    uint8_t a = p[0];
    if (a < 0x80)
        return a != 0;
    if (a < 0xc2)
        return 0;
    if (a < 0xe0)
        return left >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
    if (a < 0xf0) {
        uint8_t low = a == 0xe0 ? 0xa0 : 0x80;
        uint8_t high = a == 0xed ? 0x9f : 0xbf; /* no surrogates */
        return left >= 3 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 ? 3 : 0;
    }
    if (a < 0xf5) {
        uint8_t low = a == 0xf0 ? 0x90 : 0x80;
        uint8_t high = a == 0xf4 ? 0x8f : 0xbf; /* up to U+10FFFF */
        return left >= 4 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 && (p[3] & 0xc0) == 0x80 ? 4 : 0;
    }
    return 0;
}

#endif
