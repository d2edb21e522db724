/* Steps that wait for other threads: events, signals, timers; many posts at once; cancels meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "echo_server.h"

typedef Crpc__Test__V1__DeferRequest defer_request;
typedef Crpc__Test__V1__DeferResponse defer_response;

#define WAIT(name) CRPC__TEST__V1__DEFER_REQUEST__WAIT__WAIT_##name

/* One call on a thread of its own. */
struct waiting {
    struct echo *e;
    defer_request request;
    int64_t timeout_ms;
    int rc;
    bool persist; /* which method */
    bool ok, cancelled;
    pthread_t thread;
};

static void *wait_main(void *arg)
{
    struct waiting *w = arg;
    defer_response *r = NULL;
    struct err err = ERR_NONE;
    struct crpc_call_options o = {.timeout_ms = w->timeout_ms};
    w->rc = w->persist ? crpc_test_v1_echo_service_persist(w->e->channel, &o, &w->request, &r, &err)
                       : crpc_test_v1_echo_service_defer(w->e->channel, &o, &w->request, &r, &err);
    if (w->rc == 0) {
        w->ok = r->ok;
        w->cancelled = r->cancelled;
        crpc_message_free(&r->base);
    }
    return NULL;
}

static void wait_start(struct waiting *w, struct echo *e, int wait, int ms)
{
    *w = (struct waiting){.e = e, .request = CRPC__TEST__V1__DEFER_REQUEST__INIT};
    w->request.wait = (Crpc__Test__V1__DeferRequest__Wait)wait;
    w->request.ms = ms;
    pthread_create(&w->thread, NULL, wait_main, w);
}

static void test_event(void **state)
{
    struct echo *e = *state;
    struct waiting w;
    for (unsigned i = 0; i < 50; i++) {
        wait_start(&w, e, WAIT(EVENT), 0);
        echo_wait_tags(e, i + 1);
        assert_true(echo_post(e, i, i % 2, true));
        pthread_join(w.thread, NULL);
        assert_int_equal(w.rc, 0);
        assert_int_equal(w.ok, i % 2);
    }
}

static void test_signal(void **state)
{
    struct echo *e = *state;
    struct waiting w;
    wait_start(&w, e, WAIT(SIGNAL), 0);
    echo_wait_tags(e, 1);
    for (int i = 0; i < 10; i++) /* as often as one likes */
        echo_post(e, 0, true, false);
    pthread_join(w.thread, NULL);
    assert_int_equal(w.rc, 0);
}

static void test_timer_runs_out(void **state)
{
    struct waiting w;
    int64_t start = clock_mono_ms();
    wait_start(&w, *state, WAIT(TIME), 60);
    pthread_join(w.thread, NULL);
    assert_int_equal(w.rc, 0);
    assert_true(clock_mono_ms() - start >= 59);
    wait_start(&w, *state, WAIT(TIME), 0);
    pthread_join(w.thread, NULL);
    assert_int_equal(w.rc, 0);
}

static void test_signal_before_timer(void **state)
{
    struct echo *e = *state;
    struct waiting w;
    wait_start(&w, e, WAIT(TIME), 3600 * 1000);
    echo_wait_tags(e, 1);
    assert_true(echo_post(e, 0, true, false));
    pthread_join(w.thread, NULL);
    assert_int_equal(w.rc, 0);
}

static void test_cancel_with_timer(void **state)
{
    struct echo *e = *state;
    defer_request q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    defer_response *r = NULL;
    struct err err = ERR_NONE;
    q.wait = WAIT(TIME);
    q.ms = 3600 * 1000;
    struct crpc_call_options o = {.timeout_ms = 200};
    assert_int_equal(crpc_test_v1_echo_service_defer(e->channel, &o, &q, &r, &err), -ERR_DEADLINE_EXCEEDED);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 1);
}

/* The deadline passes; the call stays until its event has come. */
static void test_event_after_cancel(void **state)
{
    struct echo *e = *state;
    defer_request q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    defer_response *r = NULL;
    struct err err = ERR_NONE;
    q.wait = WAIT(EVENT);
    struct crpc_call_options o = {.timeout_ms = 200};
    assert_int_equal(crpc_test_v1_echo_service_defer(e->channel, &o, &q, &r, &err), -ERR_DEADLINE_EXCEEDED);
    echo_wait_gone(e, 1);
    assert_int_equal(crpc_server_calls(e->server), 1);
    assert_int_equal(e->n_done, 0);
    assert_true(echo_post(e, 0, true, true));
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 1);
}

/* A handler that ignores cancels goes on to its end. */
static void test_ignored_cancel(void **state)
{
    struct echo *e = *state;
    defer_request q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    defer_response *r = NULL;
    struct err err = ERR_NONE;
    struct crpc_call_options o = {.timeout_ms = 100};
    assert_int_equal(crpc_test_v1_echo_service_persist(e->channel, &o, &q, &r, &err), -ERR_DEADLINE_EXCEEDED);
    echo_wait_tags(e, 1);
    assert_int_equal(crpc_server_calls(e->server), 1);
    assert_int_equal(e->n_done, 0);
    assert_true(echo_post(e, 0, true, true));
    echo_wait_done(e, 1);
}

static void test_heeded_post(void **state)
{
    struct echo *e = *state;
    defer_request q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    struct waiting w = {.e = e, .request = q, .persist = true};
    pthread_create(&w.thread, NULL, wait_main, &w);
    echo_wait_tags(e, 1);
    assert_true(echo_post(e, 0, true, true));
    pthread_join(w.thread, NULL);
    assert_int_equal(w.rc, 0);
    assert_true(w.ok);
    assert_false(w.cancelled);
    echo_wait_done(e, 1);
    assert_int_equal(e->n_cancelled, 0);
}

/* ---- many at once, from several threads ---- */

enum { MANY = 400, POSTERS = 4 };

struct poster {
    struct echo *e;
    unsigned first;
    bool once;
};

static void *post_main(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = p->first; i < MANY; i += POSTERS)
        echo_post(p->e, i, true, p->once);
    return NULL;
}

static void count_ok(void *user, const ProtobufCMessage *response, const struct err *status)
{
    *(int *)user += status->code == ERR_OK && response;
}

static void many(struct echo *e, int wait, bool once)
{
    struct crpc_loop *loop = crpc_loop_new();
    defer_request q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    int ok = 0;
    q.wait = (Crpc__Test__V1__DeferRequest__Wait)wait;
    q.ms = 3600 * 1000;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(crpc_test_v1_echo_service_defer_start(e->channel, loop, NULL, &q, count_ok, &ok, NULL), 0);
    /* The calls leave only while somebody polls their queue. */
    while (crpc_server_calls(e->server) < MANY)
        crpc_loop_run(loop, 1);
    echo_wait_tags(e, MANY);
    pthread_t threads[POSTERS];
    struct poster posters[POSTERS];
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){e, i, once};
        pthread_create(&threads[i], NULL, post_main, &posters[i]);
    }
    while (crpc_loop_run(loop, 20000) > 0)
        ;
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(ok, MANY);
    crpc_loop_free(loop);
}

static void test_many(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 3; workers += 2) {
        struct echo e;
        echo_start(&e, &(struct crpc_server_options){.n_workers = workers}, NULL);
        many(&e, WAIT(EVENT), true);
        echo_stop(&e, 10000);
        echo_start(&e, &(struct crpc_server_options){.n_workers = workers}, NULL);
        many(&e, WAIT(SIGNAL), false);
        echo_stop(&e, 10000);
        echo_start(&e, &(struct crpc_server_options){.n_workers = workers}, NULL);
        many(&e, WAIT(TIME), false);
        echo_stop(&e, 10000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_event),
        T(test_signal),
        T(test_timer_runs_out),
        T(test_signal_before_timer),
        T(test_event_after_cancel),
        T(test_cancel_with_timer),
        T(test_ignored_cancel),
        T(test_heeded_post),
#undef T
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
