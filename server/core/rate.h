/* How fast a job goes, by what its worker reports; tells when it will be done. */
#ifndef CORE_RATE_H
#define CORE_RATE_H

#include <stdint.h>

#include "core/job.h"

/* Where the rate is counted from; zeroed: from the first report. */
struct job_rate {
    int64_t begin_us, begin_done;
};

/* A report has come. last: the one before, or a zeroed one; since_us: when what is counted began, as far as the worker
 * tells it (then with 0 done), or 0. Gives when the job will be done at the rate so far, or 0: nobody knows. */
int64_t job_rate_eta(struct job_rate *rate, const struct job_progress *last, const struct job_progress *now,
                     int64_t since_us, int64_t now_us);

#endif
