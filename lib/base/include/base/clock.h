/* The two clocks. Rules take `now` as an argument; only the edges read a clock. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Microseconds since 1970-01-01 UTC. */
int64_t clock_wall_us(void);
/* Monotonic; microseconds since some moment, and milliseconds. */
int64_t clock_mono_us(void);
int64_t clock_mono_ms(void);

#endif
