/* Calls that an interceptor makes wait: posted later, at once, too late, never needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crpc/async.h"
#include "echo_server.h"

enum { TURNS = 64, CLIENT_MS = 20000 };

/* What the interceptors and the test tell each other. */
struct gate {
    pthread_mutex_t mu;
    pthread_cond_t changed;
    struct tag *tags[TURNS]; /* held, in order */
    unsigned n_held, n_second, n_after;
    enum err_code code; /* of the last after() */
    bool at_once;
    unsigned n_workers;
    const struct crpc_call *call; /* the last that was held */
    int64_t left_ms;              /* of its time, as the last call that passed it by saw it */
};

static void bump(struct gate *g, unsigned *counter)
{
    pthread_mutex_lock(&g->mu);
    (*counter)++;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mu);
}

static void wait_until(struct gate *g, const unsigned *counter, unsigned n)
{
    pthread_mutex_lock(&g->mu);
    while (*counter < n)
        pthread_cond_wait(&g->changed, &g->mu);
    pthread_mutex_unlock(&g->mu);
}

static unsigned now(struct gate *g, const unsigned *counter)
{
    pthread_mutex_lock(&g->mu);
    unsigned n = *counter;
    pthread_mutex_unlock(&g->mu);
    return n;
}

static struct tag *tag_of(struct gate *g, unsigned i)
{
    wait_until(g, &g->n_held, i + 1);
    pthread_mutex_lock(&g->mu);
    struct tag *tag = g->tags[i];
    pthread_mutex_unlock(&g->mu);
    return tag;
}

static int hold(struct crpc_call *call, void *user, struct err *ret_err)
{
    struct gate *g = user;
    (void)ret_err;
    struct tag *tag = crpc_call_hold(call);
    assert_non_null(tag);
    if (crpc_call_metadata(call, "x-pass").len > 0) { /* asked for, not used */
        pthread_mutex_lock(&g->mu);
        g->left_ms = g->call && g->n_workers == 1 ? crpc_call_time_left_ms(g->call) : 0;
        pthread_mutex_unlock(&g->mu);
        return 0;
    }
    if (g->at_once)
        tag_post(tag, true);
    pthread_mutex_lock(&g->mu);
    g->tags[g->n_held % TURNS] = tag;
    g->call = call;
    pthread_mutex_unlock(&g->mu);
    bump(g, &g->n_held);
    return CRPC_HELD;
}

static void hold_after(struct crpc_call *call, void *user, const struct err *status, int64_t duration_us)
{
    struct gate *g = user;
    (void)call;
    assert_true(duration_us >= 0);
    pthread_mutex_lock(&g->mu);
    g->code = status->code;
    pthread_mutex_unlock(&g->mu);
    bump(g, &g->n_after);
}

/* Comes only after the turn. */
static int second(struct crpc_call *call, void *user, struct err *ret_err)
{
    struct gate *g = user;
    bump(g, &g->n_second);
    if (crpc_call_metadata(call, "x-refuse").len > 0)
        return err_set(ret_err, ERR_PERMISSION_DENIED, "REFUSED", "refused");
    return 0;
}

struct fixture {
    struct gate gate;
    struct crpc_interceptor interceptors[2];
    struct echo echo;
    struct crpc_loop *loop;
    unsigned n_answers;
    enum err_code codes[TURNS];
};

static void start_with(struct fixture *f, bool at_once, unsigned n_workers)
{
    *f = (struct fixture){.gate = {.mu = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}};
    f->gate.at_once = at_once;
    f->gate.n_workers = n_workers;
    f->interceptors[0] = (struct crpc_interceptor){hold, hold_after, &f->gate};
    f->interceptors[1] = (struct crpc_interceptor){second, NULL, &f->gate};
    echo_start(
        &f->echo,
        &(struct crpc_server_options){.n_workers = n_workers, .interceptors = f->interceptors, .n_interceptors = 2},
        NULL);
    f->loop = crpc_loop_new();
    assert_non_null(f->loop);
}

static void start(struct fixture *f, bool at_once)
{
    start_with(f, at_once, 2);
}

static void stop(struct fixture *f)
{
    crpc_loop_free(f->loop);
    echo_stop(&f->echo, 10000);
}

static void answered(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct fixture *f = user;
    (void)response;
    f->codes[f->n_answers++ % TURNS] = status->code;
}

/* key: metadata that the interceptors look at, or NULL. */
static void say(struct fixture *f, const char *key, int64_t timeout_ms)
{
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    struct crpc_metadata md = {key, SPAN_LIT("yes")};
    struct crpc_call_options o = {.timeout_ms = timeout_ms, .metadata = key ? &md : NULL, .n_metadata = key ? 1 : 0};
    assert_int_equal(crpc_unary_start(f->echo.channel, f->loop,
                                      &crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SAY], &o, &q.base,
                                      answered, f, NULL),
                     0);
}

static void answers(struct fixture *f, unsigned n)
{
    while (f->n_answers < n)
        crpc_loop_run(f->loop, -1);
}

static void test_turns_in_any_order(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, false);
    for (int i = 0; i < 10; i++)
        say(&f, NULL, CLIENT_MS);
    while (now(&f.gate, &f.gate.n_held) < 10) /* the client sends as its loop runs */
        crpc_loop_run(f.loop, 1);
    assert_int_equal(echo_said(&f.echo), 0);
    assert_int_equal(now(&f.gate, &f.gate.n_second), 0);
    say(&f, "x-pass", CLIENT_MS); /* goes by those that wait */
    answers(&f, 1);
    for (unsigned i = 10; i > 0; i--) {
        tag_post(tag_of(&f.gate, i - 1), true);
        answers(&f, 12 - i);
    }
    for (unsigned i = 0; i < f.n_answers; i++)
        assert_int_equal(f.codes[i], ERR_OK);
    assert_int_equal(echo_said(&f.echo), 11);
    wait_until(&f.gate, &f.gate.n_after, 11);
    stop(&f);
}

static void test_posted_at_once(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, true);
    for (int i = 0; i < 50; i++)
        say(&f, NULL, CLIENT_MS);
    answers(&f, 50);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(f.codes[i], ERR_OK);
    assert_int_equal(echo_said(&f.echo), 50);
    stop(&f);
}

static void test_refused_afterwards(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, true);
    say(&f, "x-refuse", CLIENT_MS);
    answers(&f, 1);
    assert_int_equal(f.codes[0], ERR_PERMISSION_DENIED);
    wait_until(&f.gate, &f.gate.n_after, 1); /* of the first, whose before ran */
    assert_int_equal(f.gate.code, ERR_PERMISSION_DENIED);
    assert_int_equal(echo_said(&f.echo), 0);
    stop(&f);
}

static void defer(struct fixture *f, int64_t timeout_ms)
{
    Crpc__Test__V1__DeferRequest q = CRPC__TEST__V1__DEFER_REQUEST__INIT;
    assert_int_equal(
        crpc_unary_start(f->echo.channel, f->loop, &crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_DEFER],
                         &(struct crpc_call_options){.timeout_ms = timeout_ms}, &q.base, answered, f, NULL),
        0);
}

/* Its deadline passes while it waits: no handler sees it, and after() is told. The one learns of the end with its
 * status, the other at once. */
static void too_late(void (*call)(struct fixture *f))
{
    struct fixture f;
    unsigned passed = 0;
    start_with(&f, false, 1);
    call(&f);
    answers(&f, 1);
    assert_int_equal(f.codes[0], ERR_DEADLINE_EXCEEDED);
    do { /* the server's deadline is a little later than the client's; calls on the same worker see it pass */
        say(&f, "x-pass", CLIENT_MS);
        answers(&f, 1 + ++passed);
        wait_until(&f.gate, &f.gate.n_after, passed); /* and no more: it is held for as long as the interceptor says */
    } while (f.gate.left_ms > 0);
    assert_int_equal(now(&f.gate, &f.gate.n_after), passed);
    tag_post(tag_of(&f.gate, 0), true);
    wait_until(&f.gate, &f.gate.n_after, passed + 1);
    assert_int_equal(f.gate.code, ERR_DEADLINE_EXCEEDED);
    assert_int_equal(now(&f.gate, &f.gate.n_second), passed);
    assert_int_equal(echo_said(&f.echo) + echo_read(&f.echo, &f.echo.n_tags), passed);
    stop(&f);
}

static void say_briefly(struct fixture *f)
{
    say(f, NULL, 300);
}

static void defer_briefly(struct fixture *f)
{
    defer(f, 300);
}

static void test_too_late(void **state)
{
    (void)state;
    too_late(say_briefly);
    too_late(defer_briefly);
}

/* Very many wait: all are given their turn, and all is freed. */
static void test_many(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, false);
    for (int i = 0; i < TURNS; i++)
        say(&f, NULL, CLIENT_MS);
    while (now(&f.gate, &f.gate.n_held) < TURNS)
        crpc_loop_run(f.loop, 1);
    for (unsigned i = 0; i < TURNS; i++)
        tag_post(tag_of(&f.gate, i), true);
    answers(&f, TURNS);
    for (unsigned i = 0; i < TURNS; i++)
        assert_int_equal(f.codes[i], ERR_OK);
    wait_until(&f.gate, &f.gate.n_after, TURNS);
    stop(&f);
}

struct drain {
    struct crpc_server *server;
    pthread_t thread;
};

static void *drain_main(void *arg)
{
    crpc_server_drain(((struct drain *)arg)->server, 0);
    return NULL;
}

/* The server is drained, and its grace is over, while calls are held: it waits for their turns. */
static void test_held_during_drain(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, false);
    for (int i = 0; i < 8; i++)
        defer(&f, CLIENT_MS);
    while (now(&f.gate, &f.gate.n_held) < 8)
        crpc_loop_run(f.loop, 1);
    struct drain drain = {.server = f.echo.server};
    pthread_create(&drain.thread, NULL, drain_main, &drain);
    answers(&f, 8); /* cancelled */
    for (unsigned i = 0; i < 8; i++)
        assert_int_not_equal(f.codes[i], ERR_OK);
    assert_int_equal(now(&f.gate, &f.gate.n_after), 0);
    for (unsigned i = 0; i < 8; i++)
        tag_post(tag_of(&f.gate, i), true);
    pthread_join(drain.thread, NULL);
    assert_int_equal(now(&f.gate, &f.gate.n_after), 8); /* whether they learnt of the cancel before their turn or not */
    crpc_loop_free(f.loop);
    echo_stop(&f.echo, 0);
}

/* What waits takes memory: where there is none left, a call is refused when its turn comes, and its request is dropped
 * at once. */
static void test_memory_of_those_that_wait(void **state)
{
    (void)state;
    enum { LEN = 100000 };
    struct fixture f;
    start(&f, false);
    crpc_loop_free(f.loop);
    echo_stop(&f.echo, 0);
    struct crpc_server_options o = {.max_decoded_bytes = 250000, .interceptors = f.interceptors, .n_interceptors = 2};
    echo_start(&f.echo, &o, NULL);
    f.loop = crpc_loop_new();
    char *note = malloc(LEN + 1);
    memset(note, 'x', LEN);
    note[LEN] = '\0';
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    q.text = note;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            crpc_unary_start(f.echo.channel, f.loop, &crpc_test_v1_echo_service.methods[CRPC_TEST_V1_ECHO_SERVICE_SAY],
                             &(struct crpc_call_options){.timeout_ms = CLIENT_MS}, &q.base, answered, &f, NULL),
            0);
        while (now(&f.gate, &f.gate.n_held) <= (unsigned)i)
            crpc_loop_run(f.loop, 1);
    }
    assert_in_range(crpc_server_decoded_bytes(f.echo.server), 2 * LEN, 2 * LEN + 1000);
    tag_post(tag_of(&f.gate, 2), true);
    answers(&f, 1);
    assert_int_equal(f.codes[0], ERR_RESOURCE_EXHAUSTED);
    tag_post(tag_of(&f.gate, 0), true);
    answers(&f, 2);
    tag_post(tag_of(&f.gate, 1), true);
    answers(&f, 3);
    assert_int_equal(f.codes[1], ERR_OK);
    assert_int_equal(f.codes[2], ERR_OK);
    wait_until(&f.gate, &f.gate.n_after, 3);
    free(note);
    stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns_in_any_order),
        cmocka_unit_test(test_posted_at_once),
        cmocka_unit_test(test_refused_afterwards),
        cmocka_unit_test(test_too_late),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_held_during_drain),
        cmocka_unit_test(test_memory_of_those_that_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
