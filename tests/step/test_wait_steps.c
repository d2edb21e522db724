/* The steps of WaitJob with a real hub, each wait ended by hand: what it answers, cancellation and failure at every
 * wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_crpc.h"
#include "joblog/v1/job_log.pb-c.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

enum { ID = 42 };

static struct service service;
static Joblog__V1__WaitJobRequest request;
static Google__Protobuf__Duration timeout;
static struct crpc_call *present; /* NULL: none */

static int reset(void **state)
{
    (void)state;
    service.hub = hub_new();
    drain_init(&service.drain);
    joblog__v1__wait_job_request__init(&request);
    google__protobuf__duration__init(&timeout);
    request.id = ID;
    return service.hub ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    hub_free(service.hub);
    drain_done(&service.drain);
    return 0;
}

static struct job job_at(enum job_status status, int transition)
{
    return (struct job){
        .id = ID, .name = SPAN_LIT("mail"), .status = status, .revision = (int64_t)transition << JOB_REVISION_SHIFT};
}

/* As the store does it. False: nobody watches. */
static bool publish(enum job_status status, int transition)
{
    struct job job = job_at(status, transition);
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
    present = fake_call_start(&wait_job_handler, &service, &request.base, &joblog__v1__job__descriptor);
    return present;
}

static void load(enum job_status status, int transition)
{
    assert_non_null(fake_store_cmd());
    assert_int_equal(fake_store_cmd()->op, STORE_GET);
    ((struct store_get *)fake_store_cmd())->job = job_at(status, transition);
    fake_store_done(NULL);
}

static void expect_end(struct crpc_call *call, enum err_code code)
{
    assert_int_equal(call->wait, FAKE_OVER);
    assert_int_equal(call->status.code, code);
    fake_call_free(call);
    assert_false(publish(JOB_RUNNING, 9)); /* it has left the hub */
}

static void expect_reply(struct crpc_call *call, enum job_status status)
{
    assert_non_null(call->reply);
    assert_int_equal(((const Joblog__V1__Job *)call->reply)->status, status);
    expect_end(call, ERR_OK);
}

static void it_answers_when_the_job_is_final(void **state)
{
    (void)state;
    struct crpc_call *call = start();
    load(JOB_COMPLETED, 3);
    expect_reply(call, JOB_COMPLETED);
    call = start();
    load(JOB_PENDING, 1);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    publish(JOB_RUNNING, 2);
    assert_null(fake_store_cmd());
    publish(JOB_FAILED, 3);
    load(JOB_FAILED, 3);
    expect_reply(call, JOB_FAILED);
    /* While the store is being read. */
    call = start();
    publish(JOB_COMPLETED, 5);
    load(JOB_RUNNING, 4);
    load(JOB_COMPLETED, 5);
    expect_reply(call, JOB_COMPLETED);
}

/* Somebody retries it before it is read: it is not final, and there is time left. */
static void a_retry_in_between_is_no_end(void **state)
{
    (void)state;
    struct crpc_call *call = start();
    load(JOB_RUNNING, 2);
    publish(JOB_FAILED, 3);
    load(JOB_PENDING, 4);
    assert_null(call->reply);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    publish(JOB_PENDING, 4);
    publish(JOB_RUNNING, 5);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    publish(JOB_COMPLETED, 6);
    load(JOB_COMPLETED, 6);
    expect_reply(call, JOB_COMPLETED);
}

static void once_the_time_is_over_it_answers_all_the_same(void **state)
{
    (void)state;
    request.timeout = &timeout;
    struct crpc_call *call = start();
    load(JOB_PENDING, 1);
    load(JOB_RUNNING, 2);
    expect_reply(call, JOB_RUNNING);
}

/* First and second read, and both waits for the hub. */
static void errors_end_it(void **state)
{
    (void)state;
    struct err err = {.code = ERR_NOT_FOUND};
    struct crpc_call *call = start();
    fake_store_done(&err);
    expect_end(call, ERR_NOT_FOUND);
    call = start();
    load(JOB_RUNNING, 2);
    publish(JOB_COMPLETED, 3);
    fake_store_done(&err);
    expect_end(call, ERR_NOT_FOUND);
    fake_store_refuse(ERR_RESOURCE_EXHAUSTED);
    expect_end(start(), ERR_RESOURCE_EXHAUSTED);
    call = start();
    load(JOB_RUNNING, 2);
    atomic_store(&call->identity.revoked, true);
    fake_pass(call);
    expect_end(call, ERR_UNAUTHENTICATED);
    call = start();
    load(JOB_RUNNING, 2);
    drain_begin(&service.drain);
    fake_wake(call);
    assert_string_equal(call->status.reason, "SERVER_DRAINING");
    expect_end(call, ERR_UNAVAILABLE);
}

static void the_client_may_go_at_any_wait(void **state)
{
    (void)state;
    struct crpc_call *call = start();
    fake_cancel(call);
    load(JOB_RUNNING, 2);
    expect_end(call, ERR_OK);
    call = start();
    load(JOB_RUNNING, 2);
    fake_cancel(call);
    expect_end(call, ERR_OK);
    call = start();
    load(JOB_RUNNING, 2);
    publish(JOB_COMPLETED, 3);
    fake_cancel(call);
    load(JOB_COMPLETED, 3);
    expect_end(call, ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_answers_when_the_job_is_final, reset, clean),
        cmocka_unit_test_setup_teardown(a_retry_in_between_is_no_end, reset, clean),
        cmocka_unit_test_setup_teardown(once_the_time_is_over_it_answers_all_the_same, reset, clean),
        cmocka_unit_test_setup_teardown(errors_end_it, reset, clean),
        cmocka_unit_test_setup_teardown(the_client_may_go_at_any_wait, reset, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
