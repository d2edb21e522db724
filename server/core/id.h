/* 63-bit, time-ordered ids: 41 bits of milliseconds since 2024-01-01 UTC, 8 bits of replica, 14 bits of sequence.
 * Made by the server before the insert, so that a batch whose commit was cut off is sent again with the same ids. */
#ifndef CORE_ID_H
#define CORE_ID_H

#include <stdint.h>

enum { ID_REPLICA_BITS = 8, ID_SEQUENCE_BITS = 14, ID_TIME_SHIFT = ID_REPLICA_BITS + ID_SEQUENCE_BITS };
#define ID_EPOCH_US INT64_C(1704067200000000)

/* One for each replica and thread. Starts zeroed but for replica (0 to 255). */
struct id_maker {
    int64_t last_ms;
    uint32_t sequence;
    uint32_t replica;
};

/* Larger than every id this maker gave before, even when the clock steps back or a millisecond overflows. */
int64_t id_make(struct id_maker *maker, int64_t now_us);
/* When it was made, to the millisecond. */
int64_t id_time_us(int64_t id);
/* Smallest id that could be made at or after a time; 0 for times before the epoch. */
int64_t id_floor(int64_t time_us);

#endif
