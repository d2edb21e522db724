/* The steps of WatchJobs with a real hub, each wait ended by hand: snapshot, mark, changes, and a client that goes away
 * at any wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_crpc.h"
#include "joblog/v1/job_log.pb-c.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

static struct service service;
static Joblog__V1__JobFilter filter;
static Joblog__V1__WatchJobsRequest request;
static struct crpc_call *present; /* NULL: none */

static int reset(void **state)
{
    (void)state;
    service.hub = hub_new();
    service.snapshot_max = 0;
    drain_init(&service.drain);
    joblog__v1__job_filter__init(&filter);
    joblog__v1__watch_jobs_request__init(&request);
    filter.batch = (char *)"b";
    request.filter = &filter;
    return service.hub ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    hub_free(service.hub);
    drain_done(&service.drain);
    return 0;
}

static int64_t rev(int transition)
{
    return (int64_t)transition << JOB_REVISION_SHIFT;
}

static struct job job_at(int64_t id, enum job_status status, int transition)
{
    return (struct job){
        .id = id, .name = SPAN_LIT("mail"), .batch = SPAN_LIT("b"), .status = status, .revision = rev(transition)};
}

static bool publish(int64_t id, enum job_status status, int transition)
{
    struct job job = job_at(id, status, transition);
    struct store_observer observer = service_observer(service.hub);
    if (!observer.wanted(observer.user, &job))
        return false;
    struct job_snapshot *snapshot = job_snapshot_new(&job);
    assert_non_null(snapshot);
    observer.changed(observer.user, snapshot, true);
    job_snapshot_unref(snapshot);
    fake_wake(present);
    return true;
}

static struct crpc_call *start(void)
{
    present =
        fake_call_start(&watch_jobs_handler, &service, &request.base, &joblog__v1__watch_jobs_response__descriptor);
    return present;
}

/* The store answers with a page. */
static void load(struct job *jobs, size_t n, bool more)
{
    assert_non_null(fake_store_cmd());
    assert_int_equal(fake_store_cmd()->op, STORE_LIST);
    struct store_list *list = (struct store_list *)fake_store_cmd();
    list->jobs = jobs;
    list->n_jobs = n;
    list->more = more;
    list->next_before_id = more ? jobs[n - 1].id : 0;
    fake_store_done(NULL);
}

static void expect_job(const struct crpc_call *call, size_t n, int64_t id, enum job_status status)
{
    assert_int_equal(call->n_sent, n);
    const Joblog__V1__WatchJobsResponse *m = (const Joblog__V1__WatchJobsResponse *)call->sent[n - 1];
    assert_int_equal(m->event_case, JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB);
    assert_int_equal(m->job->id, id);
    assert_int_equal(m->job->status, status);
}

static void expect_mark(const struct crpc_call *call, size_t n)
{
    assert_int_equal(call->n_sent, n);
    const Joblog__V1__WatchJobsResponse *m = (const Joblog__V1__WatchJobsResponse *)call->sent[n - 1];
    assert_int_equal(m->event_case, JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END);
}

static void expect_end(struct crpc_call *call, enum err_code code)
{
    assert_int_equal(call->wait, FAKE_OVER);
    assert_int_equal(call->status.code, code);
    fake_call_free(call);
    assert_false(publish(1, JOB_RUNNING, 9));
}

/* As many as may be are sent; one more, and the answer says what helps. */
static void more_jobs_than_a_watch_begins_with(void **state)
{
    (void)state;
    struct job most[] = {job_at(3, JOB_PENDING, 1), job_at(2, JOB_PENDING, 1)}, last = job_at(1, JOB_PENDING, 1);
    service.snapshot_max = 2;
    for (int more = 0; more < 2; more++) {
        struct crpc_call *call = start();
        load(most, 2, more);
        expect_job(call, 1, 3, JOB_PENDING);
        fake_send_done(call, true);
        expect_job(call, 2, 2, JOB_PENDING);
        fake_send_done(call, true);
        if (more) {
            load(&last, 1, false);
            assert_int_equal(call->n_sent, 2);
            assert_string_equal(call->status.reason, "WATCH_TOO_WIDE");
            assert_non_null(strstr(call->status.msg, "more than 2 jobs match"));
            assert_non_null(strstr(call->status.msg, "by status"));
            expect_end(call, ERR_RESOURCE_EXHAUSTED);
        } else {
            expect_mark(call, 3);
            fake_cancel(call);
            fake_send_done(call, true);
            expect_end(call, ERR_OK);
        }
    }
}

static void a_snapshot_of_two_pages_then_changes(void **state)
{
    (void)state;
    struct job first = job_at(3, JOB_PENDING, 1), second[] = {job_at(2, JOB_RUNNING, 2), job_at(1, JOB_PENDING, 1)};
    struct crpc_call *call = start();
    /* Without until_final the snapshot asks for what is not final. */
    assert_int_equal(((struct store_list *)fake_store_cmd())->filter.status_mask, 1 << JOB_PENDING | 1 << JOB_RUNNING);
    load(&first, 1, true);
    expect_job(call, 1, 3, JOB_PENDING);
    fake_send_done(call, true);
    assert_int_equal(((struct store_list *)fake_store_cmd())->before_id, 3);
    /* Job 2's change is committed before the page is read, and told before and after. */
    publish(2, JOB_RUNNING, 2);
    load(second, 2, false);
    expect_job(call, 2, 2, JOB_RUNNING);
    fake_send_done(call, true);
    expect_job(call, 3, 1, JOB_PENDING);
    fake_send_done(call, true);
    expect_mark(call, 4);
    publish(2, JOB_COMPLETED, 3);
    fake_send_done(call, true);
    /* The one that the snapshot showed is not sent again. */
    expect_job(call, 5, 2, JOB_COMPLETED);
    fake_send_done(call, true);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    drain_begin(&service.drain);
    fake_wake(call);
    assert_string_equal(call->status.reason, "SERVER_DRAINING");
    expect_end(call, ERR_UNAVAILABLE);
}

/* The store answers with what has changed since the point. */
static void changes(struct job *jobs, size_t n)
{
    assert_non_null(fake_store_cmd());
    assert_int_equal(fake_store_cmd()->op, STORE_CHANGES);
    struct store_changes *c = (struct store_changes *)fake_store_cmd();
    assert_true(span_eq(c->point, SPAN_LIT("2.0-7")));
    c->jobs = jobs;
    c->n_jobs = n;
    fake_store_done(NULL);
}

static void with_a_resume_point_only_changes_are_sent(void **state)
{
    (void)state;
    struct job other = job_at(9, JOB_PENDING, 1);
    other.batch = SPAN_LIT("another");
    struct job since[] = {job_at(1, JOB_RUNNING, 2), job_at(1, JOB_COMPLETED, 3), other, job_at(4, JOB_PENDING, 1)};
    request.resume_point = (char *)"2.0-7";
    struct crpc_call *call = start();
    publish(4, JOB_PENDING, 1); /* told while the changes are read: not twice */
    changes(since, 4);
    expect_job(call, 1, 1, JOB_RUNNING);
    fake_send_done(call, true);
    expect_job(call, 2, 1, JOB_COMPLETED);
    fake_send_done(call, true);
    expect_job(call, 3, 4, JOB_PENDING);
    fake_send_done(call, true);
    expect_mark(call, 4);
    const Joblog__V1__WatchJobsResponse *m = (const Joblog__V1__WatchJobsResponse *)call->sent[3];
    assert_string_equal(m->snapshot_end->resume_point, "1.0-1");
    fake_send_done(call, true);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    publish(4, JOB_RUNNING, 2);
    expect_job(call, 5, 4, JOB_RUNNING);
    fake_cancel(call);
    fake_send_done(call, false);
    expect_end(call, ERR_OK);
}

/* Who resumes a watch by status must still hear of a job that it saw before and that ceases to match. */
static void with_a_resume_point_and_statuses_what_matches_is_noted(void **state)
{
    (void)state;
    Joblog__V1__JobStatus status = JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING;
    struct job matching = job_at(3, JOB_PENDING, 1);
    filter.statuses = &status;
    filter.n_statuses = 1;
    request.resume_point = (char *)"2.0-7";
    struct crpc_call *call = start();
    load(&matching, 1, false);
    assert_int_equal(call->n_sent, 0);
    changes(NULL, 0);
    expect_mark(call, 1);
    fake_send_done(call, true);
    publish(3, JOB_RUNNING, 2);
    expect_job(call, 2, 3, JOB_RUNNING);
    fake_cancel(call);
    fake_send_done(call, false);
    expect_end(call, ERR_OK);
}

static void it_ends_when_all_is_final(void **state)
{
    (void)state;
    struct job jobs[] = {job_at(2, JOB_FAILED, 3), job_at(1, JOB_PENDING, 1)};
    request.until_final = true;
    struct crpc_call *call = start();
    assert_int_equal(((struct store_list *)fake_store_cmd())->filter.status_mask, 0);
    load(jobs, 2, false);
    fake_send_done(call, true);
    fake_send_done(call, true);
    expect_mark(call, 3);
    fake_send_done(call, true);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    /* A final job that is retried is open again. */
    publish(2, JOB_PENDING, 4);
    fake_send_done(call, true);
    publish(1, JOB_COMPLETED, 3);
    fake_send_done(call, true);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    publish(2, JOB_CANCELLED, 5);
    expect_job(call, 6, 2, JOB_CANCELLED);
    fake_send_done(call, true);
    expect_end(call, ERR_OK);
}

static void a_job_that_comes_during_the_snapshot_keeps_it_open(void **state)
{
    (void)state;
    request.until_final = true;
    struct crpc_call *call = start();
    publish(5, JOB_PENDING, 1);
    load(NULL, 0, false);
    expect_mark(call, 1);
    fake_send_done(call, true);
    expect_job(call, 2, 5, JOB_PENDING);
    fake_send_done(call, true);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    publish(5, JOB_CANCELLED, 2);
    fake_send_done(call, true);
    expect_end(call, ERR_OK);
}

static void only_final_statuses_need_no_snapshot(void **state)
{
    (void)state;
    Joblog__V1__JobStatus failed = JOBLOG__V1__JOB_STATUS__JOB_STATUS_FAILED;
    filter.statuses = &failed;
    filter.n_statuses = 1;
    struct crpc_call *call = start();
    assert_null(fake_store_cmd());
    expect_mark(call, 1);
    fake_send_done(call, true);
    publish(1, JOB_RUNNING, 2);
    assert_int_equal(call->n_sent, 1);
    publish(1, JOB_FAILED, 3);
    expect_job(call, 2, 1, JOB_FAILED);
    fake_send_done(call, true);
    fake_cancel(call);
    expect_end(call, ERR_OK);
}

/* "Every job that matched": also one that no longer does. */
static void a_job_that_leaves_the_statuses_is_followed_to_its_end(void **state)
{
    (void)state;
    Joblog__V1__JobStatus pending = JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING;
    struct job job = job_at(1, JOB_PENDING, 1);
    filter.statuses = &pending;
    filter.n_statuses = 1;
    request.until_final = true;
    struct crpc_call *call = start();
    assert_int_equal(((struct store_list *)fake_store_cmd())->filter.status_mask, 1 << JOB_PENDING);
    publish(2, JOB_RUNNING, 2); /* has never matched */
    load(&job, 1, false);
    expect_job(call, 1, 1, JOB_PENDING);
    fake_send_done(call, true);
    expect_mark(call, 2);
    fake_send_done(call, true);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    publish(1, JOB_RUNNING, 2);
    expect_job(call, 3, 1, JOB_RUNNING);
    fake_send_done(call, true);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    publish(2, JOB_COMPLETED, 3);
    assert_int_equal(call->n_sent, 3);
    publish(1, JOB_COMPLETED, 3);
    expect_job(call, 4, 1, JOB_COMPLETED);
    fake_send_done(call, true);
    expect_end(call, ERR_OK);
}

static void errors_of_the_store_end_it(void **state)
{
    (void)state;
    struct err err = {.code = ERR_UNAVAILABLE};
    struct crpc_call *call = start();
    fake_store_done(&err);
    expect_end(call, ERR_UNAVAILABLE);
    fake_store_refuse(ERR_RESOURCE_EXHAUSTED);
    expect_end(start(), ERR_RESOURCE_EXHAUSTED);
}

/* Goes through a whole watch; at wait number `at` (0: none) the client goes away. Gives the number of waits. */
static int drive(int at)
{
    struct job jobs[] = {job_at(2, JOB_PENDING, 1), job_at(1, JOB_PENDING, 1)};
    int waits = 0, pages = 0, changes = 0;
    bool gone = false;
    request.until_final = true;
    struct crpc_call *call = start();
    while (call->wait != FAKE_OVER) {
        enum fake_wait wait = call->wait;
        assert_true(waits < 50);
        if (++waits == at) {
            gone = true;
            fake_cancel(call);
            if (wait == FAKE_SIGNAL)
                continue;
        }
        if (wait == FAKE_EVENT) {
            load(&jobs[pages], 1, pages == 0);
            pages++;
        } else if (wait == FAKE_SEND) {
            fake_send_done(call, !gone);
        } else {
            changes++;
            publish(changes, JOB_CANCELLED, 2);
        }
    }
    expect_end(call, ERR_OK);
    return waits;
}

static void the_client_may_go_at_any_wait(void **state)
{
    (void)state;
    int waits = drive(0);
    assert_true(waits >= 9);
    for (int at = 1; at <= waits; at++)
        drive(at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_snapshot_of_two_pages_then_changes, reset, clean),
        cmocka_unit_test_setup_teardown(more_jobs_than_a_watch_begins_with, reset, clean),
        cmocka_unit_test_setup_teardown(with_a_resume_point_only_changes_are_sent, reset, clean),
        cmocka_unit_test_setup_teardown(with_a_resume_point_and_statuses_what_matches_is_noted, reset, clean),
        cmocka_unit_test_setup_teardown(it_ends_when_all_is_final, reset, clean),
        cmocka_unit_test_setup_teardown(a_job_that_comes_during_the_snapshot_keeps_it_open, reset, clean),
        cmocka_unit_test_setup_teardown(only_final_statuses_need_no_snapshot, reset, clean),
        cmocka_unit_test_setup_teardown(a_job_that_leaves_the_statuses_is_followed_to_its_end, reset, clean),
        cmocka_unit_test_setup_teardown(errors_of_the_store_end_it, reset, clean),
        cmocka_unit_test_setup_teardown(the_client_may_go_at_any_wait, reset, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
