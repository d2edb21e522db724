/* A connection that dies without a word, as behind a router that has forgotten it: libjoblog notices by itself and
 * comes again. Uses the public header only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <semaphore.h>
#include <string.h>

#include "lossy_relay.h"
#include "support/beside.h"
#include "support/client_fixture.h"

struct gate {
    sem_t entered, open;
};

static int handle_gate(struct joblog_context *context, void *user)
{
    struct gate *gate = user;
    (void)context;
    sem_post(&gate->entered);
    beside_await(&gate->open);
    return 0;
}

static int setup(void **state)
{
    static const char *const args[] = {"--lease-timeout-ms=15000", NULL};
    (void)state;
    return client_fixture_start(args);
}

/* The job has one attempt: were its lease lost it would be failed. */
static void a_worker_goes_on_with_its_job(void **state)
{
    struct joblog_options options = {
        .token_file = server_fixture_token_file(server), .keepalive_ms = 1000, .keepalive_timeout_ms = 1000};
    struct joblog_spec spec = {.job_name = "gate", .queue = "held"};
    struct lossy_relay *relay = lossy_relay_start(server_fixture_address(server));
    struct joblog_client *through = joblog_connect(lossy_relay_address(relay), &options, &error);
    struct joblog_job *job = NULL;
    struct beside b;
    struct gate gate;
    int64_t id = 0;

    (void)state;
    assert_non_null(through);
    sem_init(&gate.entered, 0, 0);
    sem_init(&gate.open, 0, 0);
    beside_make(&b, through, "held", 1, 0, false);
    assert_ok(joblog_worker_handle(b.worker, "gate", handle_gate, &gate, &error));
    beside_begin(&b);
    assert_ok(joblog_dispatch(client, &spec, &id, &error));
    beside_await(&gate.entered);
    lossy_relay_hold(relay);
    beside_await(&b.lost);
    beside_await(&b.ready);
    sem_post(&gate.open);
    assert_ok(joblog_wait(client, id, 30000, &job, &error));
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_int_equal(job->n_attempts, 1);
    joblog_job_free(job);
    beside_end(&b);
    joblog_close(through);
    lossy_relay_stop(relay);
}

static void bad_times_are_refused(void **state)
{
    (void)state;
    assert_null(joblog_connect(NULL, &(struct joblog_options){.keepalive_ms = -1}, &error));
    assert_string_equal(error.field, "keepalive_ms");
    assert_null(joblog_connect(NULL, &(struct joblog_options){.keepalive_timeout_ms = -1}, &error));
    assert_string_equal(error.field, "keepalive_timeout_ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_goes_on_with_its_job),
        cmocka_unit_test(bad_times_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, client_fixture_teardown);
}
