/* What callers know an attempt by: a number that tells nothing of the lease's token, which is its worker's secret.
 * Pure. */
#ifndef EXPORT_ATTEMPT_NUMBER_H
#define EXPORT_ATTEMPT_NUMBER_H

#include <stdint.h>

/* Greater than 0, the same at every replica; different for other attempts but for a chance of one in 2^62. */
int64_t attempt_number(int64_t job_id, int64_t token);

#endif
