/* The steps of DispatchJob, each wait ended by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_crpc.h"
#include "joblog/v1/job_log.pb-c.h"
#include "rpc/handlers.h"
#include "rpc/service.h"

static struct service service;
static Joblog__V1__JobSpec spec;
static Joblog__V1__DispatchJobRequest request;

static int reset(void **state)
{
    (void)state;
    joblog__v1__job_spec__init(&spec);
    joblog__v1__dispatch_job_request__init(&request);
    spec.job_name = (char *)"mail";
    request.job = &spec;
    return 0;
}

static struct crpc_call *start(void)
{
    return fake_call_start(&dispatch_job_handler, &service, &request.base, &joblog__v1__job__descriptor);
}

static struct dispatch_item *item(void)
{
    struct store_cmd *cmd = fake_store_cmd();
    assert_non_null(cmd);
    assert_int_equal(cmd->op, STORE_DISPATCH);
    return ((struct store_dispatch *)cmd)->items;
}

static void expect_end(struct crpc_call *call, enum err_code code, const char *steps)
{
    assert_int_equal(call->wait, FAKE_OVER);
    assert_int_equal(call->status.code, code);
    assert_string_equal(fake_steps(call), steps);
    assert_true((call->reply != NULL) == (code == ERR_OK));
    fake_call_free(call);
}

static void the_answer_follows_the_commit(void **state)
{
    (void)state;
    struct crpc_call *call = start();
    assert_int_equal(call->wait, FAKE_EVENT);
    assert_null(call->reply);
    struct dispatch_item *i = item();
    /* Texts are the request's own: nothing was copied on the way. */
    assert_ptr_equal(i->job.name.data, spec.job_name);
    assert_true(span_eq(i->job.queue, SPAN_LIT("default")));
    assert_true(span_eq(i->job.payload, SPAN_LIT("{}")));
    assert_int_equal(i->job.retry.max_attempts, 1);
    i->job.id = 77;
    i->job.revision = 5;
    fake_store_done(NULL);
    const Joblog__V1__Job *job = (const Joblog__V1__Job *)call->reply;
    assert_int_equal(job->id, 77);
    assert_int_equal(job->revision, 5);
    assert_string_equal(job->job_name, "mail");
    expect_end(call, ERR_OK, "start committed");
}

static void a_bad_request_never_reaches_the_store(void **state)
{
    (void)state;
    spec.job_name = (char *)"";
    struct crpc_call *call = start();
    assert_null(fake_store_cmd());
    assert_string_equal(call->status.field, "job.job_name");
    expect_end(call, ERR_INVALID_ARGUMENT, "start");
}

static void a_full_store_ends_the_call(void **state)
{
    (void)state;
    fake_store_refuse(ERR_RESOURCE_EXHAUSTED);
    expect_end(start(), ERR_RESOURCE_EXHAUSTED, "start");
}

static void a_failed_batch_ends_the_call(void **state)
{
    (void)state;
    struct err err = {.code = ERR_UNAVAILABLE};
    struct crpc_call *call = start();
    fake_store_done(&err);
    expect_end(call, ERR_UNAVAILABLE, "start committed");
}

static void an_item_has_an_outcome_of_its_own(void **state)
{
    (void)state;
    struct crpc_call *call = start();
    err_set(&item()->err, ERR_ALREADY_EXISTS, "REQUEST_ID_REUSED", "used before");
    fake_store_done(NULL);
    expect_end(call, ERR_ALREADY_EXISTS, "start committed");
}

/* A replay; err: of the load. */
static void replay(const struct err *err, bool cancel_before_commit, bool cancel_before_load)
{
    request.request_id = (char *)"r";
    struct crpc_call *call = start();
    item()->replayed = true;
    item()->job.id = 12;
    if (cancel_before_commit)
        fake_cancel(call);
    fake_store_done(NULL);
    assert_int_equal(call->wait, FAKE_EVENT);
    assert_int_equal(fake_store_cmd()->op, STORE_GET);
    struct store_get *get = (struct store_get *)fake_store_cmd();
    assert_int_equal(get->id, 12);
    if (cancel_before_load)
        fake_cancel(call);
    get->job = (struct job){.id = 12, .name = SPAN_LIT("mail"), .status = JOB_RUNNING};
    fake_store_done(err);
    expect_end(call, err ? err->code : ERR_OK, "start committed loaded");
}

static void a_replay_loads_the_job(void **state)
{
    (void)state;
    struct err err = {.code = ERR_NOT_FOUND};
    replay(NULL, false, false);
    replay(&err, false, false);
}

static void a_client_that_goes_away_leaves_nothing_behind(void **state)
{
    (void)state;
    /* The commit goes on, and the call ends only after it. */
    struct crpc_call *call = start();
    fake_cancel(call);
    assert_int_equal(call->wait, FAKE_EVENT);
    fake_store_done(NULL);
    expect_end(call, ERR_OK, "start committed");
    replay(NULL, true, false);
    replay(NULL, false, true);
}

static void equal_requests_have_equal_hashes(void **state)
{
    (void)state;
    Joblog__V1__JobSpec__LabelsEntry a = JOBLOG__V1__JOB_SPEC__LABELS_ENTRY__INIT, b = a, *labels[2];
    uint8_t hashes[3][16];
    a.key = (char *)"a";
    b.key = (char *)"b";
    spec.labels = labels;
    spec.n_labels = 2;
    request.request_id = (char *)"r";
    for (int i = 0; i < 3; i++) {
        labels[0] = i == 0 ? &a : &b;
        labels[1] = i == 0 ? &b : &a;
        if (i == 2)
            spec.priority = 1;
        struct crpc_call *call = start();
        memcpy(hashes[i], item()->body_hash, 16);
        fake_store_done(NULL);
        fake_call_free(call);
    }
    assert_memory_equal(hashes[0], hashes[1], 16);
    assert_memory_not_equal(hashes[0], hashes[2], 16);
}

static void a_job_outside_of_the_scope_never_reaches_the_store(void **state)
{
    static const struct span queues[] = {SPAN_LIT("other")};
    const struct job_scope narrow = {.bounded = true, .queues = queues, .n_queues = 1},
                           own = {.bounded = true, .own_only = true, .own = SPAN_LIT("ana")};
    (void)state;
    fake_scope = &narrow;
    struct crpc_call *call = start();
    assert_null(fake_store_cmd());
    assert_string_equal(call->status.field, "job.queue");
    expect_end(call, ERR_PERMISSION_DENIED, "start");
    fake_scope = &own;
    call = start();
    assert_true(span_eq(item()->job.owner, SPAN_LIT("ana")));
    assert_true(span_eq(item()->job.creator, SPAN_LIT("test")));
    fake_store_done(NULL);
    fake_call_free(call);
    fake_scope = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_answer_follows_the_commit, reset),
        cmocka_unit_test_setup(a_bad_request_never_reaches_the_store, reset),
        cmocka_unit_test_setup(a_full_store_ends_the_call, reset),
        cmocka_unit_test_setup(a_failed_batch_ends_the_call, reset),
        cmocka_unit_test_setup(an_item_has_an_outcome_of_its_own, reset),
        cmocka_unit_test_setup(a_replay_loads_the_job, reset),
        cmocka_unit_test_setup(a_client_that_goes_away_leaves_nothing_behind, reset),
        cmocka_unit_test_setup(a_job_outside_of_the_scope_never_reaches_the_store, reset),
        cmocka_unit_test_setup(equal_requests_have_equal_hashes, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
