/* Ends of time-outs that callers name, which may be as long as a number can be. Pure, any thread. */
#ifndef JOBLOG_DEADLINE_H
#define JOBLOG_DEADLINE_H

#include <stdint.h>

#include "base/clock.h"

/* clock_mono_ms() in that many milliseconds; INT64_MAX, which is never, when there is no such number. */
static inline int64_t deadline_in_ms(int64_t ms)
{
    int64_t at;
    return __builtin_add_overflow(clock_mono_ms(), ms, &at) ? INT64_MAX : at;
}

#endif
