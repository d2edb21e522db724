/* Rights where no single job is named: bulk cancels and retries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/calls.h"
#include "support/rights_rig.h"

#define PENDING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
#define CANCELLED JOBLOG__V1__JOB_STATUS__JOB_STATUS_CANCELLED

static struct crpc_channel *admin, *mine;

static int setup(void **state)
{
    static const struct identity root = {.owner = SPAN_LIT("root"), .roles = ROLE_ADMIN};
    static const struct identity me = {.owner = SPAN_LIT("me"), .roles = ROLE_DISPATCHER, .own_only = true};
    if (rig_start(state) != 0)
        return -1;
    rig_caller("admin", &root);
    rig_caller("me", &me);
    admin = rig_channel("admin", NULL);
    mine = rig_channel("me", NULL);
    return 0;
}

static int teardown(void **state)
{
    crpc_channel_free(admin);
    crpc_channel_free(mine);
    return rig_stop(state);
}

static int64_t dispatch(const char *owner)
{
    Joblog__V1__JobSpec spec = spec_of("mail", "q");
    spec.owner = (char *)owner;
    return must_dispatch(admin, &spec);
}

static void expect_outcome(Joblog__V1__BulkOutcome *o, int matched, int changed)
{
    assert_non_null(o);
    assert_int_equal(o->matched, matched);
    assert_int_equal(o->changed, changed);
    assert_int_equal(o->refused, 0);
    crpc_message_free(&o->base);
}

/* By a filter that names them all, a caller of some owner's jobs cancels and retries those, and no others. */
static void many_are_steered_within_the_scope_only(void **state)
{
    int64_t ids[] = {dispatch("me"), dispatch("somebody")};
    struct err err = ERR_NONE;
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    Joblog__V1__JobStatus cancelled = CANCELLED;
    Joblog__V1__CancelJobsRequest cancel = JOBLOG__V1__CANCEL_JOBS_REQUEST__INIT;
    Joblog__V1__RetryJobsRequest retry = JOBLOG__V1__RETRY_JOBS_REQUEST__INIT;
    Joblog__V1__BulkOutcome *o = NULL;
    (void)state;
    cancel.filter = retry.filter = &filter;
    filter.ids = ids;
    filter.n_ids = 2;
    joblog_v1_job_log_service_cancel_jobs(mine, NULL, &cancel, &o, &err);
    expect_outcome(o, 1, 1);
    assert_int_equal(must_status(admin, ids[0]), CANCELLED);
    assert_int_equal(must_status(admin, ids[1]), PENDING);
    job_free(call_cancel(admin, ids[1], "", &err));
    filter.statuses = &cancelled;
    filter.n_statuses = 1;
    o = NULL;
    joblog_v1_job_log_service_retry_jobs(mine, NULL, &retry, &o, &err);
    expect_outcome(o, 1, 1);
    assert_int_equal(must_status(admin, ids[0]), PENDING);
    assert_int_equal(must_status(admin, ids[1]), CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_are_steered_within_the_scope_only),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
