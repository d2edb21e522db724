/* See seal.h. */
#include "auth/seal.h"

#include <endian.h>
#include <string.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void rounds(struct sip *s, int n)
{
    while (n-- > 0) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 = rotate(s->v2, 32);
    }
}

static inline void take(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

/* Up to eight bytes, the first one lowest. */
static inline uint64_t word_of(const char *bytes, size_t n)
{
    uint64_t word = 0;
    if (n > 0)
        memcpy(&word, bytes, n);
    return le64toh(word);
}

struct seal seal_make(const struct seal_key *key, struct span text)
{
    struct sip s = {key->k[0] ^ UINT64_C(0x736f6d6570736575), key->k[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
                    key->k[0] ^ UINT64_C(0x6c7967656e657261), key->k[1] ^ UINT64_C(0x7465646279746573)};
    struct seal seal;
    size_t whole = text.len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        take(&s, word_of(text.data + i, 8));
    take(&s, word_of(text.data + whole, text.len - whole) | (uint64_t)text.len << 56);
    s.v2 ^= 0xee;
    rounds(&s, 4);
    seal.v[0] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    s.v1 ^= 0xdd;
    rounds(&s, 4);
    seal.v[1] = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    return seal;
}
