/* Making ids and reading time from them; see id.h. Pure; an id_maker belongs to one thread. */
#include "core/id.h"

#include <stddef.h>

enum { SEQUENCE_MASK = (1 << ID_SEQUENCE_BITS) - 1, REPLICA_MASK = (1 << ID_REPLICA_BITS) - 1 };

int64_t id_make(struct id_maker *maker, int64_t now_us)
{
    int64_t ms = (now_us - ID_EPOCH_US) / 1000;

    if (ms > maker->last_ms) {
        maker->last_ms = ms;
        maker->sequence = 0;
    } else if (maker->sequence < SEQUENCE_MASK) {
        maker->sequence++;
    } else {
        /* The millisecond is used up, or the clock stepped back: run ahead of the clock. */
        maker->last_ms++;
        maker->sequence = 0;
    }
    return maker->last_ms << ID_TIME_SHIFT | (int64_t)(maker->replica & REPLICA_MASK) << ID_SEQUENCE_BITS |
           (int64_t)maker->sequence;
}

int64_t id_time_us(int64_t id)
{
    return (id >> ID_TIME_SHIFT) * 1000 + ID_EPOCH_US;
}

int64_t id_floor(int64_t time_us)
{
    int64_t us = time_us - ID_EPOCH_US;

    if (us <= 0)
        return 0;
    int64_t ms = us / 1000;
    return ms >= INT64_C(1) << 41 ? INT64_MAX : ms << ID_TIME_SHIFT;
}
