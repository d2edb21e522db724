/* The rules of a job's life: which transitions there are, what follows an attempt. Pure; the SQL mirrors them and a
 * test holds the two against each other. */
#ifndef CORE_LIFE_H
#define CORE_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "core/job.h"

/* The one table. (from, to) */
#define JOB_TRANSITIONS(X)                                                                                             \
    X(JOB_PENDING, JOB_RUNNING)                                                                                        \
    X(JOB_PENDING, JOB_CANCELLED)                                                                                      \
    X(JOB_RUNNING, JOB_COMPLETED)                                                                                      \
    X(JOB_RUNNING, JOB_FAILED)                                                                                         \
    X(JOB_RUNNING, JOB_CANCELLED)                                                                                      \
    X(JOB_RUNNING, JOB_PENDING)                                                                                        \
    X(JOB_FAILED, JOB_PENDING)                                                                                         \
    X(JOB_CANCELLED, JOB_PENDING)

bool job_transition_allowed(int from, int to);
/* 0, or FAILED_PRECONDITION (reason JOB_TRANSITION_REFUSED) with a text such as "job 42 is completed: cannot be
 * cancelled". */
int job_transition_check(int64_t id, int from, int to, struct err *ret_err);

/* How an attempt ended, as reported. */
struct attempt_end {
    enum attempt_outcome outcome; /* not RUNNING */
    bool no_retry;
    int64_t delay_us; /* of RELEASED: it runs again only after that */
};

/* What becomes of a running job. *ret_run_us: when it may run again, if PENDING. random: uniform in [0, 1). An attempt
 * that was RELEASED gives the job back at once and does not count; LOST or FAILED with a cancel requested ends it as
 * CANCELLED. */
enum job_status job_after_attempt(const struct job *job, const struct attempt_end *end, int64_t now_us, double random,
                                  int64_t *ret_run_us);

/* Delay before the attempt that follows attempt number n (1 is the first), without jitter, and with. */
int64_t retry_delay_us(const struct retry_policy *policy, int32_t attempt);
int64_t retry_delay_jittered_us(const struct retry_policy *policy, int32_t attempt, double random);

#endif
