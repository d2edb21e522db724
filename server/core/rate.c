/* See rate.h. */
#include "core/rate.h"

#include <stdbool.h>

/* Is the time before this report none of the work that is counted? A worker that reports 0 of 100 and then works is at
 * its work from the first report on, however often it repeats it. One that has counted or fetched something first says
 * so by two of these: nothing was done by then; this is another step; only now is it known how much there is. */
static bool begins(const struct job_rate *rate, const struct job_progress *last, const struct job_progress *now)
{
    bool idle = now->done == rate->begin_done;
    bool another = !span_eq(last->step, now->step);
    bool found = last->total <= 0 && now->total > 0;
    return idle + another + found >= 2;
}

int64_t job_rate_eta(struct job_rate *rate, const struct job_progress *last, const struct job_progress *now,
                     int64_t since_us, int64_t now_us)
{
    if (since_us > 0)
        *rate = (struct job_rate){since_us, 0};
    else if (!rate->begin_us || now->done < rate->begin_done || begins(rate, last, now))
        *rate = (struct job_rate){now_us, now->done};
    if (now->total <= 0 || now->done >= now->total || now->done <= rate->begin_done || now_us <= rate->begin_us)
        return 0;
    double speed = (double)(now->done - rate->begin_done) / (double)(now_us - rate->begin_us);
    double left = (double)(now->total - now->done) / speed;
    return left < 1e15 ? now_us + (int64_t)left : 0;
}
