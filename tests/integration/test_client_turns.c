/* The threads of libjoblog's worker take turns at reading and running; against a real joblogd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "support/beside.h"
#include "support/client_fixture.h"

static int64_t dispatch(const char *queue, const char *name)
{
    struct joblog_spec spec = {.job_name = name, .queue = queue};
    int64_t id = 0;
    assert_ok(joblog_dispatch(client, &spec, &id, &error));
    return id;
}

static int handle_short(struct joblog_context *context, void *user)
{
    (void)context;
    (void)user;
    return 0;
}

static int handle_until_cancelled(struct joblog_context *context, void *user)
{
    sem_post(user);
    return joblog_job_wait_cancelled(context, 30000) ? -1 : 0;
}

struct turns {
    atomic_int inside, most, n;
    sem_t done;
};

enum { TURNS = 200 };

static int handle_turn(struct joblog_context *context, void *user)
{
    struct turns *t = user;
    int inside = atomic_fetch_add(&t->inside, 1) + 1, most = atomic_load(&t->most);
    (void)context;
    while (inside > most && !atomic_compare_exchange_weak(&t->most, &most, inside)) {
    }
    sched_yield();
    atomic_fetch_sub(&t->inside, 1);
    if (atomic_fetch_add(&t->n, 1) + 1 == TURNS)
        sem_post(&t->done);
    return 0;
}

/* With hooks the thread of a job waits for the answer to its end, too. */
static void no_more_at_once_than_asked_for(const char *queue, int concurrency, bool hooks)
{
    struct turns t = {0};
    struct beside b;
    sem_init(&t.done, 0, 0);
    beside_make(&b, client, queue, concurrency, 10, hooks);
    assert_ok(joblog_worker_handle(b.worker, NULL, handle_turn, &t, &error));
    beside_begin(&b);
    for (int i = 0; i < TURNS; i++)
        dispatch(queue, "turn");
    beside_await(&t.done);
    assert_in_range(atomic_load(&t.most), 1, concurrency);
    beside_end(&b);
}

static void test_no_more_handlers_at_once_than_asked_for(void **state)
{
    (void)state;
    no_more_at_once_than_asked_for("turns.one", 1, false);
    no_more_at_once_than_asked_for("turns.one.hooks", 1, true);
    no_more_at_once_than_asked_for("turns.three", 3, false);
    no_more_at_once_than_asked_for("turns.three.hooks", 3, true);
}

/* As many long jobs as the worker runs at once: one thread is left, and it reads. */
static void test_cancels_are_heard_by_a_busy_worker(void **state)
{
    enum { LONG = 3, SHORT = 20 };
    struct beside b;
    sem_t entered;
    int64_t longs[LONG], last = 0;
    (void)state;
    sem_init(&entered, 0, 0);
    for (int i = 0; i < LONG; i++) /* they are read together */
        longs[i] = dispatch("busy", "long");
    for (int i = 0; i < SHORT; i++)
        last = dispatch("busy", "short");
    beside_make(&b, client, "busy", LONG, SHORT, true);
    assert_ok(joblog_worker_handle(b.worker, "long", handle_until_cancelled, &entered, &error));
    assert_ok(joblog_worker_handle(b.worker, "short", handle_short, NULL, &error));
    beside_begin(&b);
    for (int i = 0; i < LONG; i++)
        beside_await(&entered);
    for (int i = 0; i < LONG; i++) {
        assert_ok(joblog_cancel(client, longs[i], "no more", NULL, &error));
        struct joblog_job *job = client_fixture_wait(longs[i]);
        assert_int_equal(job->status, JOBLOG_STATUS_CANCELLED);
        joblog_job_free(job);
    }
    joblog_job_free(client_fixture_wait(last));
    beside_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_more_handlers_at_once_than_asked_for),
        cmocka_unit_test(test_cancels_are_heard_by_a_busy_worker),
    };
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
