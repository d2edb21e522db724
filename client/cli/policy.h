/* How people write a job's unique key and back-off, in options and in lines of JSON. Any thread. */
#ifndef JOBLOG_CLI_POLICY_H
#define JOBLOG_CLI_POLICY_H

#include <stdbool.h>

#include <joblog/joblog.h>

/* Each fills its part of the spec; false: it is none of the words. */

/* "not-final", "pending", or a time such as "10m". */
bool policy_read_unique_for(const char *text, struct joblog_spec *spec);
/* "reject", "use", "replace" or "merge". */
bool policy_read_on_conflict(const char *text, struct joblog_spec *spec);
/* "exponential", "linear" or "fixed". */
bool policy_read_backoff(const char *text, struct joblog_spec *spec);

#endif
