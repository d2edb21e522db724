/* The rules of a job's life; see life.h. Pure. */
#include "core/life.h"

#include <inttypes.h>
#include <math.h>

bool job_transition_allowed(int from, int to)
{
#define TRANSITION_ALLOWED(a, b)                                                                                       \
    if (from == (a) && to == (b))                                                                                      \
        return true;
    JOB_TRANSITIONS(TRANSITION_ALLOWED)
#undef TRANSITION_ALLOWED
    return false;
}

int job_transition_check(int64_t id, int from, int to, struct err *ret_err)
{
    static const char *const what[JOB_STATUS_COUNT] = {
        [JOB_PENDING] = "put back to pending", [JOB_RUNNING] = "started",
        [JOB_COMPLETED] = "completed",         [JOB_FAILED] = "failed",
        [JOB_CANCELLED] = "cancelled",
    };
    const char *is = job_status_name(from);
    const char *done = to > 0 && to < JOB_STATUS_COUNT ? what[to] : "changed";

    if (job_transition_allowed(from, to))
        return 0;
    return err_set(ret_err, ERR_FAILED_PRECONDITION, "JOB_TRANSITION_REFUSED", "job %" PRId64 " %s %s: cannot be %s",
                   id, from == JOB_FAILED ? "has" : "is", is ? is : "unknown", done);
}

enum job_status job_after_attempt(const struct job *job, const struct attempt_end *end, int64_t now_us, double random,
                                  int64_t *ret_run_us)
{
    *ret_run_us = 0;
    if (end->outcome == ATTEMPT_COMPLETED)
        return JOB_COMPLETED;
    if (end->outcome == ATTEMPT_CANCELLED || job->cancel.time_us != 0)
        return JOB_CANCELLED;
    if (end->outcome == ATTEMPT_RELEASED) {
        *ret_run_us = now_us + end->delay_us;
        return JOB_PENDING;
    }
    if (end->no_retry || job->attempts_left <= 0)
        return JOB_FAILED;
    /* A lost attempt has waited for the lease time-out already. */
    *ret_run_us = now_us;
    if (end->outcome == ATTEMPT_FAILED)
        *ret_run_us += retry_delay_jittered_us(&job->retry, job->attempt, random);
    return JOB_PENDING;
}

int64_t retry_delay_us(const struct retry_policy *policy, int32_t attempt)
{
    double delay = (double)policy->initial_backoff_us;
    double most = (double)policy->max_backoff_us;
    size_t place = attempt > 1 ? (size_t)attempt - 1 : 0;

    if (policy->backoff == BACKOFF_LIST && policy->n_delays > 0)
        return policy->delays_us[place < policy->n_delays ? place : policy->n_delays - 1];
    if (policy->backoff == BACKOFF_FIXED)
        return policy->initial_backoff_us;
    if (policy->backoff == BACKOFF_LINEAR)
        delay *= (double)(place + 1);
    else if (attempt > 1 && policy->multiplier > 1)
        delay *= pow(policy->multiplier, attempt - 1);
    if (!(delay < most)) /* also when it overflowed */
        delay = most;
    return delay > 0 ? (int64_t)delay : 0;
}

int64_t retry_delay_jittered_us(const struct retry_policy *policy, int32_t attempt, double random)
{
    double delay = (double)retry_delay_us(policy, attempt);

    delay *= 1 + policy->jitter * (2 * random - 1);
    return delay > 0 ? (int64_t)delay : 0;
}
