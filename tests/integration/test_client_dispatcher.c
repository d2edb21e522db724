/* joblog_dispatcher against a real joblogd: many threads, callbacks that add, back-pressure, a server that dies, is
 * away or says nothing. Public header only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/client_fixture.h"

/* ---- outcomes ---- */

struct answer {
    struct joblog_outcome outcome; /* its texts below */
    char message[256], reason[64], field[64];
    int n; /* how often it came */
};

static void keep(void *user, const struct joblog_outcome *outcome)
{
    struct answer *a = user;
    a->outcome = *outcome;
    snprintf(a->message, sizeof a->message, "%s", outcome->message);
    snprintf(a->reason, sizeof a->reason, "%s", outcome->reason);
    snprintf(a->field, sizeof a->field, "%s", outcome->field);
    a->n++;
}

static void test_each_job_has_its_answer(void **state)
{
    (void)state;
    struct joblog_dispatcher *d = client_fixture_dispatcher(client, 0);
    struct joblog_label label = {"tenant", "acme"};
    struct joblog_spec specs[] = {
        {.job_name = "one", .queue = "each", .request_id = "each-1", .labels = &label, .n_labels = 1},
        {.job_name = "", .queue = "each"},
        {.job_name = "three", .queue = "each", .payload = "{\"n\": 3}", .unique_key = "k"},
        {.job_name = "three", .queue = "each", .unique_key = "k", .on_conflict = JOBLOG_CONFLICT_USE_EXISTING},
        {.job_name = "three", .queue = "each", .unique_key = "k"},
        {.job_name = "six", .queue = "each", .payload = "{"},
    };
    enum { N = sizeof specs / sizeof specs[0] };
    struct answer answers[N + 1] = {{.n = 0}};
    for (int i = 0; i < N; i++)
        assert_int_equal(joblog_dispatcher_add(d, &specs[i], keep, &answers[i], &error), 0);
    assert_int_equal(joblog_dispatcher_add(d, &specs[0], NULL, NULL, &error), 0); /* nobody asks */
    joblog_dispatcher_flush(d);
    for (int i = 0; i < N; i++)
        assert_int_equal(answers[i].n, 1);
    assert_int_equal(answers[0].outcome.code, JOBLOG_OK);
    assert_true(answers[0].outcome.id > 0);
    assert_string_equal(answers[0].message, "");
    assert_int_equal(answers[1].outcome.code, JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(answers[1].field, "job.job_name");
    assert_true(answers[1].outcome.id == 0);
    assert_int_equal(answers[2].outcome.code, JOBLOG_OK);
    assert_true(answers[3].outcome.existing);
    assert_true(answers[3].outcome.id == answers[2].outcome.id);
    assert_int_equal(answers[4].outcome.code, JOBLOG_ALREADY_EXISTS);
    assert_string_equal(answers[5].field, "job.payload");

    int64_t id = 0;
    specs[0].request_id = "each-1";
    assert_int_equal(joblog_dispatcher_dispatch(d, &specs[0], &id, &error), 0); /* the one of then */
    assert_true(id == answers[0].outcome.id);
    assert_int_equal(joblog_dispatcher_dispatch(d, &specs[1], &id, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "job.job_name");
    struct joblog_job *job = NULL;
    assert_int_equal(joblog_get(client, answers[0].outcome.id, &job, &error), 0);
    assert_int_equal(job->n_labels, 1);
    assert_string_equal(job->labels[0].value, "acme");
    assert_string_equal(job->request_id, "each-1");
    joblog_job_free(job);
    assert_int_equal(joblog_get(client, answers[2].outcome.id, &job, &error), 0);
    assert_int_equal(strlen(job->request_id), 36); /* one that the library made: a UUID of version 7 */
    assert_true(job->request_id[14] == '7' && strchr("89ab", job->request_id[19]));
    joblog_job_free(job);
    joblog_dispatcher_free(d);
    joblog_dispatcher_free(NULL);
}

/* ---- many at once ---- */

enum { THREADS = 16, JOBS = 200 };

struct thread {
    struct joblog_dispatcher *dispatcher;
    pthread_t thread;
    int64_t ids[JOBS];
    int n_failed;
};

static void *dispatch_some(void *user)
{
    struct thread *t = user;
    struct joblog_spec spec = {.job_name = "threads", .queue = "threads"};
    for (int i = 0; i < JOBS; i++)
        t->n_failed += joblog_dispatcher_dispatch(t->dispatcher, &spec, &t->ids[i], NULL) != 0;
    return NULL;
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void test_threads_share_a_stream(void **state)
{
    (void)state;
    struct joblog_dispatcher *d = client_fixture_dispatcher(client, 5); /* most of them wait for room */
    static struct thread threads[THREADS];
    static int64_t ids[THREADS][JOBS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.dispatcher = d};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, dispatch_some, &threads[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        assert_int_equal(threads[i].n_failed, 0);
        memcpy(ids[i], threads[i].ids, sizeof ids[i]);
    }
    int64_t *all = &ids[0][0];
    qsort(all, sizeof ids / sizeof *all, sizeof *all, compare);
    for (size_t i = 1; i < sizeof ids / sizeof *all; i++)
        assert_true(all[i - 1] < all[i]);
    assert_int_equal(client_fixture_waiting("threads"), THREADS * JOBS);
    joblog_dispatcher_free(d);
}

enum { CHAIN = 300 };

struct chain {
    struct joblog_dispatcher *dispatcher;
    sem_t over;
    int n, n_failed, refused;
};

/* Adds the next one, and may not wait. */
static void go_on(void *user, const struct joblog_outcome *outcome)
{
    struct chain *c = user;
    struct joblog_spec spec = {.job_name = "chain", .queue = "chain"};
    c->n_failed += outcome->code != JOBLOG_OK;
    if (++c->n < CHAIN) {
        c->refused += joblog_dispatcher_dispatch(c->dispatcher, &spec, NULL, NULL) == -JOBLOG_FAILED_PRECONDITION;
        c->n_failed += joblog_dispatcher_add(c->dispatcher, &spec, go_on, c, NULL) != 0;
    }
    if (c->n == CHAIN || c->n_failed > 0)
        sem_post(&c->over);
}

static void test_callbacks_add(void **state)
{
    (void)state;
    struct chain c = {.dispatcher = client_fixture_dispatcher(client, 1)};
    struct joblog_spec spec = {.job_name = "chain", .queue = "chain"};
    sem_init(&c.over, 0, 0);
    assert_int_equal(joblog_dispatcher_add(c.dispatcher, &spec, go_on, &c, &error), 0);
    sem_wait(&c.over);
    joblog_dispatcher_free(c.dispatcher);
    sem_destroy(&c.over);
    assert_int_equal(c.n_failed, 0);
    assert_int_equal(c.n, CHAIN);
    assert_int_equal(c.refused, CHAIN - 1);
    assert_int_equal(client_fixture_waiting("chain"), CHAIN);
}

/* ---- what goes wrong ---- */

enum { MANY = 10000 };

struct count {
    atomic_int ok, other;
};

static void count(void *user, const struct joblog_outcome *outcome)
{
    struct count *c = user;
    atomic_fetch_add(outcome->code == JOBLOG_OK ? &c->ok : &c->other, 1);
}

static void *add_many(void *user)
{
    struct thread *t = user;
    static struct count counted;
    struct joblog_spec spec = {.job_name = "cut", .queue = "cut"};
    for (int i = 0; i < MANY; i++)
        t->n_failed += joblog_dispatcher_add(t->dispatcher, &spec, count, &counted, NULL) != 0;
    joblog_dispatcher_flush(t->dispatcher);
    t->ids[0] = atomic_load(&counted.ok);
    t->n_failed += atomic_load(&counted.other);
    return NULL;
}

/* The server dies under the stream and comes back: every job is there, and once. */
static void test_nothing_is_lost_or_twice_over_a_cut(void **state)
{
    (void)state;
    static struct thread t;
    t.dispatcher = client_fixture_dispatcher(client, 1000);
    assert_int_equal(pthread_create(&t.thread, NULL, add_many, &t), 0);
    client_fixture_await_job("cut");
    server_fixture_kill(server);
    assert_true(server_fixture_restart(server));
    pthread_join(t.thread, NULL);
    assert_int_equal(t.n_failed, 0);
    assert_int_equal(t.ids[0], MANY);
    assert_int_equal(client_fixture_waiting("cut"), MANY);
    joblog_dispatcher_free(t.dispatcher);
}

/* What the server would refuse a whole message for does not get into one. */
static void test_a_job_that_spoils_no_others(void **state)
{
    (void)state;
    struct joblog_dispatcher *d = client_fixture_dispatcher(client, 0);
    struct joblog_label label = {"tenant", "\xc3("};
    struct joblog_spec good = {.job_name = "good", .queue = "spoilt"}, bad = good, big = good, labelled = good;
    static char payload[5 << 20];
    memset(payload, ' ', sizeof payload - 1);
    bad.payload = "{\"name\": \"\xff\"}";
    big.payload = payload;
    labelled.labels = &label;
    labelled.n_labels = 1;
    struct answer answers[4] = {{.n = 0}}, never = {.n = 0};
    assert_int_equal(joblog_dispatcher_add(d, &good, keep, &answers[0], &error), 0);
    assert_int_equal(joblog_dispatcher_add(d, &bad, keep, &never, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "job.payload");
    assert_int_equal(joblog_dispatcher_add(d, &good, keep, &answers[1], &error), 0);
    assert_int_equal(joblog_dispatcher_add(d, &labelled, keep, &never, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "job.labels[0].value");
    assert_int_equal(joblog_dispatcher_add(d, &good, keep, &answers[2], &error), 0);
    assert_int_equal(joblog_dispatcher_dispatch(d, &big, NULL, &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "job");
    assert_int_equal(joblog_dispatcher_add(d, &good, keep, &answers[3], &error), 0);
    joblog_dispatcher_free(d);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(answers[i].n, 1);
        assert_int_equal(answers[i].outcome.code, JOBLOG_OK);
    }
    assert_int_equal(never.n, 0);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void note_time(void *user, const struct joblog_outcome *outcome)
{
    int64_t *at = user;
    (void)outcome;
    *at = now_ms();
}

/* Time for tries begins when a job has room, not when its turn to wait for room came. */
static void test_the_wait_for_room_costs_no_time(void **state)
{
    (void)state;
    enum { TIMEOUT_MS = 500 };
    struct joblog_options options = {.timeout_ms = TIMEOUT_MS};
    struct joblog_spec spec = {.job_name = "one", .queue = "room"};
    int64_t first = 0, second = 0;
    server_fixture_kill(server);
    struct joblog_client *c = joblog_connect(server_fixture_address(server), &options, &error);
    assert_non_null(c);
    struct joblog_dispatcher *d = client_fixture_dispatcher(c, 1);
    assert_int_equal(joblog_dispatcher_add(d, &spec, note_time, &first, &error), 0);
    assert_int_equal(joblog_dispatcher_add(d, &spec, note_time, &second, &error), 0); /* after the first has failed */
    joblog_dispatcher_free(d);
    joblog_close(c);
    assert_true(second - first >= TIMEOUT_MS);
    assert_true(server_fixture_restart(server));
}

static void assert_all_fail(const char *address, const struct joblog_options *options, int code, int or_code)
{
    struct joblog_client *c = joblog_connect(address, options, &error);
    assert_non_null(c);
    struct joblog_dispatcher *d = client_fixture_dispatcher(c, 0);
    struct joblog_spec spec = {.job_name = "one", .queue = "fails"};
    struct answer answers[3] = {{.n = 0}};
    for (int i = 0; i < 3; i++)
        assert_int_equal(joblog_dispatcher_add(d, &spec, keep, &answers[i], &error), 0);
    assert_true(joblog_dispatcher_dispatch(d, &spec, NULL, &error) < 0);
    assert_true((int)error.code == code || (int)error.code == or_code);
    assert_string_not_equal(error.message, "");
    joblog_dispatcher_free(d);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(answers[i].n, 1);
        assert_true(answers[i].outcome.code == code || answers[i].outcome.code == or_code);
        assert_string_not_equal(answers[i].message, "");
    }
    joblog_close(c);
}

static void test_credentials_that_are_wrong(void **state)
{
    (void)state;
    struct joblog_options options = {.token = "jlt_nobody"};
    assert_all_fail(server_fixture_address(server), &options, JOBLOG_UNAUTHENTICATED, JOBLOG_UNAUTHENTICATED);
}

static void test_a_server_that_is_away(void **state)
{
    (void)state;
    struct joblog_options patient = {.timeout_ms = 300}, hasty = {.timeout_ms = 60000, .no_retry = true};
    server_fixture_kill(server);
    assert_all_fail(server_fixture_address(server), &patient, JOBLOG_UNAVAILABLE, JOBLOG_DEADLINE_EXCEEDED);
    assert_all_fail(server_fixture_address(server), &hasty, JOBLOG_UNAVAILABLE, JOBLOG_UNAVAILABLE);
    assert_true(server_fixture_restart(server));
}

/* It takes connections, and that is all. */
static void test_a_server_that_says_nothing(void **state)
{
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    char address[32];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", ntohs(at.sin_port));
    struct joblog_options retries = {.timeout_ms = 300, .no_token = true}, once = retries;
    once.no_retry = true;
    assert_all_fail(address, &retries, JOBLOG_UNAVAILABLE, JOBLOG_DEADLINE_EXCEEDED);
    assert_all_fail(address, &once, JOBLOG_UNAVAILABLE, JOBLOG_DEADLINE_EXCEEDED);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_job_has_its_answer),
        cmocka_unit_test(test_threads_share_a_stream),
        cmocka_unit_test(test_callbacks_add),
        cmocka_unit_test(test_nothing_is_lost_or_twice_over_a_cut),
        cmocka_unit_test(test_a_job_that_spoils_no_others),
        cmocka_unit_test(test_the_wait_for_room_costs_no_time),
        cmocka_unit_test(test_credentials_that_are_wrong),
        cmocka_unit_test(test_a_server_that_is_away),
        cmocka_unit_test(test_a_server_that_says_nothing),
    };
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
