/* The steps of WatchJob with a real hub, each wait ended by hand: order, cancellation and failure at every wait. */
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
static Joblog__V1__WatchJobRequest request;
static struct crpc_call *present; /* NULL: none */

static int reset(void **state)
{
    (void)state;
    service.hub = hub_new();
    drain_init(&service.drain);
    joblog__v1__watch_job_request__init(&request);
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

static int64_t rev(int transition, int progress)
{
    return ((int64_t)transition << JOB_REVISION_SHIFT) + progress;
}

static struct job job_at(enum job_status status, int64_t revision)
{
    return (struct job){.id = ID, .name = SPAN_LIT("mail"), .status = status, .revision = revision};
}

/* As the store does it. */
static bool publish_job(const struct job *job)
{
    struct store_observer observer = service_observer(service.hub);
    if (!observer.wanted(observer.user, job))
        return false;
    struct job_snapshot *snapshot = job_snapshot_new(job);
    assert_non_null(snapshot);
    observer.changed(observer.user, snapshot, job->revision % rev(1, 0) == 0);
    job_snapshot_unref(snapshot);
    fake_wake(present);
    return true;
}

static bool publish(enum job_status status, int64_t revision)
{
    struct job job = job_at(status, revision);
    return publish_job(&job);
}

static struct crpc_call *start(void)
{
    present = fake_call_start(&watch_job_handler, &service, &request.base, &joblog__v1__watch_job_response__descriptor);
    return present;
}

static void load(enum job_status status, int64_t revision)
{
    assert_non_null(fake_store_cmd());
    assert_int_equal(fake_store_cmd()->op, STORE_GET);
    ((struct store_get *)fake_store_cmd())->job = job_at(status, revision);
    fake_store_done(NULL);
}

static void expect_sent(const struct crpc_call *call, size_t n, enum job_status status, int64_t revision)
{
    assert_int_equal(call->n_sent, n);
    const Joblog__V1__WatchJobResponse *m = (const Joblog__V1__WatchJobResponse *)call->sent[n - 1];
    assert_int_equal(m->job->status, status);
    assert_int_equal(m->job->revision, revision);
}

static void expect_end(struct crpc_call *call, enum err_code code)
{
    assert_int_equal(call->wait, FAKE_OVER);
    assert_int_equal(call->status.code, code);
    fake_call_free(call);
    /* It has left the hub. */
    assert_false(publish(JOB_RUNNING, rev(9, 0)));
}

static void a_watch_tells_all_and_ends(void **state)
{
    (void)state;
    struct crpc_call *call = start();
    load(JOB_PENDING, rev(1, 0));
    expect_sent(call, 1, JOB_PENDING, rev(1, 0));
    fake_send_done(call, true);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    publish(JOB_RUNNING, rev(2, 0));
    expect_sent(call, 2, JOB_RUNNING, rev(2, 0));
    /* While it sends, progress is conflated. */
    for (int i = 1; i <= 9; i++)
        publish(JOB_RUNNING, rev(2, i));
    assert_int_equal(call->n_sent, 2);
    fake_send_done(call, true);
    expect_sent(call, 3, JOB_RUNNING, rev(2, 9));
    publish(JOB_COMPLETED, rev(3, 0));
    fake_send_done(call, true);
    expect_sent(call, 4, JOB_COMPLETED, rev(3, 0));
    fake_send_done(call, true);
    expect_end(call, ERR_OK);
}

static void no_change_falls_between_hub_and_store(void **state)
{
    (void)state;
    struct crpc_call *call = start();
    /* The store is being read; the hub has been joined already. */
    assert_true(publish(JOB_RUNNING, rev(2, 0)));
    assert_true(publish(JOB_COMPLETED, rev(3, 0)));
    /* The read saw the first of the two. */
    load(JOB_RUNNING, rev(2, 0));
    expect_sent(call, 1, JOB_RUNNING, rev(2, 0));
    fake_send_done(call, true);
    expect_sent(call, 2, JOB_COMPLETED, rev(3, 0));
    fake_send_done(call, true);
    expect_end(call, ERR_OK);
}

static void what_was_seen_is_not_sent_again(void **state)
{
    (void)state;
    request.after_revision = rev(2, 0);
    struct crpc_call *call = start();
    load(JOB_RUNNING, rev(2, 0));
    assert_int_equal(call->n_sent, 0);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    publish(JOB_COMPLETED, rev(3, 0));
    expect_sent(call, 1, JOB_COMPLETED, rev(3, 0));
    fake_send_done(call, true);
    expect_end(call, ERR_OK);
    /* But a final state is. */
    request.after_revision = rev(3, 0);
    call = start();
    load(JOB_COMPLETED, rev(3, 0));
    expect_sent(call, 1, JOB_COMPLETED, rev(3, 0));
    fake_send_done(call, true);
    expect_end(call, ERR_OK);
}

static void a_full_watch_loads_transitions(void **state)
{
    (void)state;
    request.view = JOBLOG__V1__JOB_VIEW__JOB_VIEW_FULL;
    struct crpc_call *call = start();
    assert_true(((struct store_get *)fake_store_cmd())->full);
    load(JOB_PENDING, rev(1, 0));
    fake_send_done(call, true);
    publish(JOB_RUNNING, rev(2, 0));
    assert_int_equal(call->n_sent, 1);
    load(JOB_RUNNING, rev(2, 0));
    expect_sent(call, 2, JOB_RUNNING, rev(2, 0));
    fake_send_done(call, true);
    publish(JOB_RUNNING, rev(2, 1)); /* progress needs no load */
    assert_null(fake_store_cmd());
    expect_sent(call, 3, JOB_RUNNING, rev(2, 1));
    fake_send_done(call, true);
    publish(JOB_FAILED, rev(3, 0));
    load(JOB_FAILED, rev(3, 0));
    fake_send_done(call, true);
    expect_end(call, ERR_OK);
}

static void expect_history(const struct crpc_call *call, size_t n_attempts, bool ended, size_t n_transitions)
{
    const Joblog__V1__Job *job = ((const Joblog__V1__WatchJobResponse *)call->sent[call->n_sent - 1])->job;
    assert_int_equal(job->n_attempts, n_attempts);
    if (n_attempts > 0)
        assert_int_equal(job->attempts[n_attempts - 1]->end_time != NULL, ended);
    assert_int_equal(job->n_transitions, n_transitions);
}

/* Changes of status are not conflated, whatever the store knows already when it is asked. */
static void a_full_watch_sends_every_status(void **state)
{
    (void)state;
    static const struct attempt attempts[] = {{.number = 1,
                                               .start_us = 10,
                                               .end_us = 20,
                                               .outcome = ATTEMPT_FAILED,
                                               .error = {.type = SPAN_LIT("E"), .message = SPAN_LIT("m")}},
                                              {.number = 2, .start_us = 30, .outcome = ATTEMPT_RUNNING}};
    const struct transition transitions[] = {{rev(1, 0), 0, JOB_PENDING, 1, {0}, {0}, {0}},
                                             {rev(2, 0), JOB_PENDING, JOB_RUNNING, 10, {0}, {0}, {0}},
                                             {rev(3, 0), JOB_RUNNING, JOB_PENDING, 20, {0}, {0}, {0}},
                                             {rev(4, 0), JOB_PENDING, JOB_RUNNING, 30, {0}, {0}, {0}}};
    request.view = JOBLOG__V1__JOB_VIEW__JOB_VIEW_FULL;
    struct crpc_call *call = start();
    load(JOB_PENDING, rev(1, 0));
    fake_send_done(call, true);
    struct job now = job_at(JOB_RUNNING, rev(2, 0));
    now.attempt = 1;
    publish_job(&now);
    now = job_at(JOB_PENDING, rev(3, 0));
    now.attempt = 1;
    publish_job(&now);
    now = job_at(JOB_RUNNING, rev(4, 0));
    now.attempt = 2;
    publish_job(&now);
    /* The read of the first change sees them all. */
    now.attempts = attempts;
    now.n_attempts = 2;
    now.transitions = transitions;
    now.n_transitions = 4;
    for (int i = 2; i <= 4; i++) {
        assert_non_null(fake_store_cmd());
        ((struct store_get *)fake_store_cmd())->job = now;
        fake_store_done(NULL);
        expect_sent(call, (size_t)i, i == 3 ? JOB_PENDING : JOB_RUNNING, rev(i, 0));
        expect_history(call, i == 4 ? 2 : 1, i == 3, (size_t)i);
        fake_send_done(call, true);
    }
    publish(JOB_COMPLETED, rev(5, 0));
    load(JOB_COMPLETED, rev(5, 0));
    fake_send_done(call, true);
    expect_end(call, ERR_OK);
}

static void errors_of_the_store_end_it(void **state)
{
    (void)state;
    struct err err = {.code = ERR_NOT_FOUND};
    struct crpc_call *call = start();
    fake_store_done(&err);
    expect_end(call, ERR_NOT_FOUND);
    fake_store_refuse(ERR_RESOURCE_EXHAUSTED);
    expect_end(start(), ERR_RESOURCE_EXHAUSTED);
}

/* Nothing of it is sent, not even when it changes between the hub's watch and the store's answer. */
static void a_job_outside_of_the_scope_is_none(void **state)
{
    const struct job_scope own = {.bounded = true, .own_only = true, .own = SPAN_LIT("ana")};
    (void)state;
    fake_scope = &own;
    struct crpc_call *call = start();
    assert_ptr_equal(((struct store_get *)fake_store_cmd())->scope, &call->caller.scope);
    publish(JOB_RUNNING, rev(2, 0));
    load(JOB_RUNNING, rev(2, 0));
    assert_int_equal(call->n_sent, 0);
    assert_string_equal(call->status.msg, "there is no job 42");
    expect_end(call, ERR_NOT_FOUND);
    fake_scope = NULL;
}

static void it_ends_with_its_credentials(void **state)
{
    (void)state;
    for (int expired = 0; expired < 2; expired++) {
        struct crpc_call *call = start();
        load(JOB_PENDING, rev(1, 0));
        fake_send_done(call, true);
        fake_pass(call);
        assert_int_equal(call->wait, FAKE_SIGNAL);
        if (expired)
            call->identity.expire_us = 1;
        else
            atomic_store(&call->identity.revoked, true);
        fake_pass(call);
        assert_string_equal(call->status.reason, "CREDENTIALS_ENDED");
        expect_end(call, ERR_UNAUTHENTICATED);
    }
}

static void a_drain_wakes_it(void **state)
{
    (void)state;
    struct crpc_call *call = start();
    load(JOB_PENDING, rev(1, 0));
    fake_send_done(call, true);
    assert_int_equal(call->wait, FAKE_SIGNAL);
    drain_begin(&service.drain);
    fake_wake(call);
    assert_string_equal(call->status.reason, "SERVER_DRAINING");
    expect_end(call, ERR_UNAVAILABLE);
}

static void too_slow_a_reader_is_cut_off(void **state)
{
    (void)state;
    struct crpc_call *call = start();
    load(JOB_PENDING, rev(1, 0));
    for (int i = 2; i < HUB_BACKLOG_MAX + 4; i++)
        publish(JOB_RUNNING, rev(i, 0));
    fake_send_done(call, true);
    assert_string_equal(call->status.reason, "WATCH_TOO_SLOW");
    expect_end(call, ERR_ABORTED);
}

/* Goes through a whole watch; before wait number `at` ends (0: none) the client goes away, and from then on every send
 * fails. Gives the number of waits. */
static int drive(bool full, int at)
{
    static const struct {
        enum job_status status;
        int transition, progress;
    } life[] = {{JOB_PENDING, 1, 0}, {JOB_RUNNING, 2, 0}, {JOB_RUNNING, 2, 1}, {JOB_COMPLETED, 3, 0}};
    size_t stage = 0;
    int waits = 0;
    bool gone = false;
    request.view = full ? JOBLOG__V1__JOB_VIEW__JOB_VIEW_FULL : JOBLOG__V1__JOB_VIEW__JOB_VIEW_BASIC;
    struct crpc_call *call = start();
    while (call->wait != FAKE_OVER) {
        assert_true(waits < 50);
        enum fake_wait wait = call->wait;
        if (++waits == at) {
            gone = true;
            fake_cancel(call);
            if (wait == FAKE_SIGNAL)
                continue;
        }
        if (wait == FAKE_EVENT)
            load(life[stage].status, rev(life[stage].transition, life[stage].progress));
        else if (wait == FAKE_SEND)
            fake_send_done(call, !gone);
        else {
            stage++;
            publish(life[stage].status, rev(life[stage].transition, life[stage].progress));
        }
    }
    expect_end(call, ERR_OK);
    return waits;
}

static void the_client_may_go_at_any_wait(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        int waits = drive(full, 0);
        assert_true(waits >= 8);
        for (int at = 1; at <= waits; at++)
            drive(full, at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_watch_tells_all_and_ends, reset, clean),
        cmocka_unit_test_setup_teardown(no_change_falls_between_hub_and_store, reset, clean),
        cmocka_unit_test_setup_teardown(what_was_seen_is_not_sent_again, reset, clean),
        cmocka_unit_test_setup_teardown(a_full_watch_loads_transitions, reset, clean),
        cmocka_unit_test_setup_teardown(a_full_watch_sends_every_status, reset, clean),
        cmocka_unit_test_setup_teardown(errors_of_the_store_end_it, reset, clean),
        cmocka_unit_test_setup_teardown(a_job_outside_of_the_scope_is_none, reset, clean),
        cmocka_unit_test_setup_teardown(it_ends_with_its_credentials, reset, clean),
        cmocka_unit_test_setup_teardown(a_drain_wakes_it, reset, clean),
        cmocka_unit_test_setup_teardown(too_slow_a_reader_is_cut_off, reset, clean),
        cmocka_unit_test_setup_teardown(the_client_may_go_at_any_wait, reset, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
