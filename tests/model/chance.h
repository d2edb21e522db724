/* Decisions that follow from a seed: the same seed and the same question give the same answer. */
#ifndef MODEL_CHANCE_H
#define MODEL_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

/* splitmix64's mixing step (Steele, Lea, Flood 2014). */
static inline uint64_t chance_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* For decisions about a thing: the seed with the thing's own numbers. */
static inline uint64_t chance_of(uint64_t seed, uint64_t a, uint64_t b)
{
    return chance_mix(chance_mix(chance_mix(seed) ^ a) ^ b);
}

/* A row of decisions; the state is the row's. */
static inline uint64_t chance_next(uint64_t *state)
{
    return chance_mix(++*state);
}

/* Below n, which is above 0. */
static inline int chance_below(uint64_t *state, int n)
{
    return (int)(chance_next(state) % (uint64_t)n);
}

static inline bool chance_percent(uint64_t *state, int percent)
{
    return chance_below(state, 100) < percent;
}

#endif
