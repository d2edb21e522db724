/* joblog_run_logged with a request id, over two joblogd on one database: whoever comes with it, at once or later, one
 * runs the work; and whoever loses an answer goes on. Leases last as long as the heartbeat time-out of the job. Uses
 * the public header only; threads stand for processes, each with a client of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <joblog/joblog.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lossy_relay.h"
#include "support/beside.h"
#include "support/pg_fixture.h"
#include "support/server_fixture.h"

enum { PATIENCE_S = 60, LONG_MS = 60000, SHORT_MS = 1000 };

static struct server_fixture *servers[2];
static struct joblog_client *clients[2]; /* of one replica each */
static struct joblog_error error;

static struct joblog_client *client_to(const char *address)
{
    struct joblog_options options = {.token_file = server_fixture_token_file(servers[0]), .timeout_ms = LONG_MS};
    struct joblog_client *c = joblog_connect(address, &options, &error);
    if (!c)
        fail_msg("%s: %s", address, error.message);
    return c;
}

static int setup(void **state)
{
    (void)state;
    const char *uri = pg_fixture_start();
    for (int i = 0; i < 2; i++) {
        servers[i] = uri ? server_fixture_start(&(struct server_fixture_options){.database = uri}) : NULL;
        if (!servers[i])
            return -1;
        clients[i] = client_to(server_fixture_address(servers[i]));
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    int code = 0;
    for (int i = 0; i < 2; i++) {
        joblog_close(clients[i]);
        code |= servers[i] ? server_fixture_stop(servers[i]) : -1;
        server_fixture_free(servers[i]);
    }
    pg_fixture_stop();
    return code;
}

/* False when it was not posted in time. */
static bool await(sem_t *sem)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    while (sem_timedwait(sem, &until) != 0)
        if (errno != EINTR)
            return false;
    return true;
}

/* One who comes to do the work of a request id. */
struct comer {
    struct joblog_client *client;
    const char *request_id, *queue;
    int64_t lease_ms;
    int max_attempts;
    sem_t *hold; /* the callback returns when it is posted; NULL: at once */
    sem_t begun, *done;
    pthread_t thread;
    /* out */
    atomic_int runs;
    atomic_bool over;
    bool held_too_long;
    int code;
    struct joblog_job *job;
    struct joblog_error error;
};

static int work(struct joblog_context *context, void *user)
{
    struct comer *c = user;
    (void)context;
    atomic_fetch_add(&c->runs, 1);
    sem_post(&c->begun);
    c->held_too_long = c->hold && !await(c->hold);
    return joblog_job_set_result(context, "{\"rows\": 7}", NULL);
}

static void *come(void *user)
{
    struct comer *c = user;
    struct joblog_spec spec = {.job_name = "nightly",
                               .queue = c->queue,
                               .request_id = c->request_id,
                               .max_attempts = c->max_attempts,
                               .heartbeat_timeout_ms = c->lease_ms,
                               .initial_backoff_ms = 1};
    c->code = joblog_run_logged(c->client, &spec, work, c, &c->job, &c->error);
    atomic_store(&c->over, true);
    if (c->done)
        sem_post(c->done);
    return NULL;
}

static void comer_make(struct comer *c, struct joblog_client *client, const char *request_id, int64_t lease_ms)
{
    *c = (struct comer){.client = client, .request_id = request_id, .queue = request_id, .lease_ms = lease_ms};
    sem_init(&c->begun, 0, 0);
}

static void comer_begin(struct comer *c, sem_t *done)
{
    c->done = done;
    assert_int_equal(pthread_create(&c->thread, NULL, come, c), 0);
}

/* Comes to work that is another's. */
static void expect_not_run(const struct comer *like, int code, enum joblog_code error_code, enum joblog_status status)
{
    struct comer c;
    comer_make(&c, clients[1], like->request_id, like->lease_ms);
    c.max_attempts = like->max_attempts;
    come(&c);
    if (c.code != code)
        fail_msg("%d: %s %s", c.code, joblog_code_name(c.error.code), c.error.message);
    assert_int_equal(c.error.code, error_code);
    assert_string_equal(c.error.reason, error_code == JOBLOG_ALREADY_EXISTS ? "REQUEST_ID_IN_USE" : "");
    assert_int_equal(c.runs, 0);
    assert_non_null(c.job);
    assert_int_equal(c.job->status, status);
    joblog_job_free(c.job);
}

/* Two at the same moment, of one process and of two: one runs, and the other, which comes back while it runs, is told
 * of that. Afterwards there is nothing to do for anybody. */
static void one_of_two_runs(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        char request_id[32];
        sem_t hold, done;
        snprintf(request_id, sizeof request_id, "nightly-%d", round);
        sem_init(&hold, 0, 0);
        sem_init(&done, 0, 0);
        struct comer two[2];
        for (int i = 0; i < 2; i++) {
            comer_make(&two[i], clients[round % 2 ? i : 0], request_id, LONG_MS);
            two[i].hold = &hold;
            comer_begin(&two[i], &done);
        }
        assert_true(await(&done));
        struct comer *loser = &two[!two[0].over], *winner = &two[two[0].over];
        assert_int_equal(loser->code, -JOBLOG_ALREADY_EXISTS);
        assert_int_equal(loser->error.code, JOBLOG_ALREADY_EXISTS);
        assert_string_equal(loser->error.reason, "REQUEST_ID_IN_USE");
        assert_int_equal(loser->job->status, JOBLOG_RUNNING);
        assert_true(await(&winner->begun));
        sem_post(&hold);
        assert_true(await(&done));
        for (int i = 0; i < 2; i++)
            pthread_join(two[i].thread, NULL);
        assert_int_equal(winner->code, 0);
        assert_int_equal(winner->job->status, JOBLOG_COMPLETED);
        assert_int_equal(winner->job->id, loser->job->id);
        assert_int_equal(winner->job->n_attempts, 1);
        assert_int_equal(two[0].runs + two[1].runs, 1);
        expect_not_run(winner, 0, JOBLOG_OK, JOBLOG_COMPLETED);
        joblog_job_free(loser->job);
        joblog_job_free(winner->job);
    }
}

/* Waits for a job in the queue, and gives its id. */
static int64_t await_job(const char *queue)
{
    const struct joblog_filter filter = {.queues = &queue, .n_queues = 1};
    struct joblog_watch *watch = joblog_watch_jobs(clients[0], &filter, false, &error);
    const struct joblog_job *job = NULL;
    if (!watch || joblog_watch_next(watch, &job, &error) != 1)
        fail_msg("%s", error.message);
    int64_t id = job ? job->id : 0;
    joblog_watch_free(watch);
    return id;
}

/* A comer whose start is carried out by the one replica, and the answer of it does not come through. */
struct unanswered {
    struct comer comer;
    struct lossy_relay *relay;
    sem_t done;
    int64_t id; /* of the job */
};

static void begin_unanswered(struct unanswered *u, const char *request_id, int64_t lease_ms, int max_attempts)
{
    struct joblog_queue *queues = NULL;
    size_t n = 0;
    *u = (struct unanswered){.relay = lossy_relay_start(server_fixture_address(servers[0]))};
    assert_non_null(u->relay);
    comer_make(&u->comer, client_to(lossy_relay_address(u->relay)), request_id, lease_ms);
    u->comer.max_attempts = max_attempts;
    sem_init(&u->done, 0, 0);
    if (joblog_list_queues(u->comer.client, NULL, 0, &queues, &n, &error) < 0) /* now the connection stands */
        fail_msg("%s", error.message);
    joblog_queues_free(queues);
    lossy_relay_swallow(u->relay);
    comer_begin(&u->comer, &u->done);
    u->id = await_job(request_id);
}

/* It comes through to the other replica now, and its call ends. */
static void end_unanswered(struct unanswered *u)
{
    lossy_relay_cut(u->relay, server_fixture_address(servers[1]));
    assert_true(await(&u->done));
    pthread_join(u->comer.thread, NULL);
    joblog_close(u->comer.client);
    lossy_relay_stop(u->relay);
}

static void await_status(int64_t id, enum joblog_status status)
{
    const struct joblog_job *job = NULL;
    struct joblog_watch *watch = joblog_watch_job(clients[0], id, 0, &error);
    assert_non_null(watch);
    while (joblog_watch_next(watch, &job, &error) == 1 && job->status != status)
        ;
    assert_int_equal(error.code, JOBLOG_OK);
    assert_int_equal(job ? job->status : 0, status);
    joblog_watch_free(watch);
}

/* The same run asks again, at another replica, and gets its lease; nobody else does. */
static void a_lost_answer_is_made_good(void **state)
{
    (void)state;
    struct unanswered u;
    begin_unanswered(&u, "lost-answer", LONG_MS, 1);
    expect_not_run(&u.comer, -JOBLOG_ALREADY_EXISTS, JOBLOG_ALREADY_EXISTS, JOBLOG_RUNNING);
    assert_int_equal(u.comer.runs, 0);
    end_unanswered(&u);
    assert_int_equal(u.comer.error.code, JOBLOG_OK);
    assert_int_equal(u.comer.code, 0);
    assert_int_equal(u.comer.runs, 1);
    assert_int_equal(u.comer.job->id, u.id);
    assert_int_equal(u.comer.job->n_attempts, 1);
    expect_not_run(&u.comer, 0, JOBLOG_OK, JOBLOG_COMPLETED);
    joblog_job_free(u.comer.job);
}

/* Nothing is heard of who began it, until its lease is lost: nobody runs it in its place, nor does it itself. */
static void work_of_a_dead_run_has_failed(void **state)
{
    (void)state;
    struct unanswered u;
    begin_unanswered(&u, "dead", SHORT_MS, 1);
    await_status(u.id, JOBLOG_FAILED);
    expect_not_run(&u.comer, -1, JOBLOG_OK, JOBLOG_FAILED);
    end_unanswered(&u);
    assert_int_equal(u.comer.code, -JOBLOG_FAILED_PRECONDITION);
    assert_string_equal(u.comer.error.reason, "LEASE_LOST");
    assert_null(u.comer.job);
    assert_int_equal(u.comer.runs, 0);
}

static int handle(struct joblog_context *context, void *user)
{
    (void)user;
    return joblog_job_set_result(context, "{\"by\": \"a worker\"}", NULL);
}

/* With attempts left it is a worker's. */
static void work_of_a_dead_run_waits_for_a_worker(void **state)
{
    (void)state;
    struct unanswered u;
    struct beside b;
    struct joblog_job *job = NULL;
    begin_unanswered(&u, "handed-over", SHORT_MS, 2);
    await_status(u.id, JOBLOG_PENDING);
    expect_not_run(&u.comer, -JOBLOG_ALREADY_EXISTS, JOBLOG_ALREADY_EXISTS, JOBLOG_PENDING);
    beside_make(&b, clients[0], "handed-over", 1, 0, false);
    assert_int_equal(joblog_worker_handle(b.worker, NULL, handle, NULL, &error), 0);
    beside_begin(&b);
    assert_int_equal(joblog_wait(clients[0], u.id, LONG_MS, &job, &error), 0);
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_int_equal(job->n_attempts, 2);
    joblog_job_free(job);
    expect_not_run(&u.comer, 0, JOBLOG_OK, JOBLOG_COMPLETED);
    end_unanswered(&u);
    assert_int_equal(u.comer.code, -JOBLOG_FAILED_PRECONDITION);
    assert_string_equal(u.comer.error.reason, "LEASE_LOST");
    assert_int_equal(u.comer.runs, 0);
    beside_end(&b);
}

/* Who may run work, but not look at jobs, gets the job as its start told of it. */
static void rights_of_a_worker_are_enough(void **state)
{
    (void)state;
    const struct joblog_grant grant = {.roles = JOBLOG_ROLE_WORKER};
    struct joblog_token *token = NULL;
    struct comer c;
    if (joblog_create_token(clients[0], "runs-only", &grant, 0, &token, &error) < 0)
        fail_msg("%s", error.message);
    struct joblog_options options = {.token = token->secret};
    struct joblog_client *client = joblog_connect(server_fixture_address(servers[0]), &options, &error);
    assert_non_null(client);
    for (int i = 0; i < 2; i++) {
        comer_make(&c, client, "runs-only", LONG_MS);
        come(&c);
        if (c.code < 0)
            fail_msg("%s: %s", joblog_code_name(c.error.code), c.error.message);
        assert_int_equal(c.runs, i == 0);
        assert_int_equal(c.job->status, JOBLOG_COMPLETED);
        assert_string_equal(c.job->result, i == 0 ? "" : "{\"rows\": 7}");
        joblog_job_free(c.job);
    }
    joblog_close(client);
    joblog_token_free(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_two_runs),
        cmocka_unit_test(a_lost_answer_is_made_good),
        cmocka_unit_test(work_of_a_dead_run_has_failed),
        cmocka_unit_test(work_of_a_dead_run_waits_for_a_worker),
        cmocka_unit_test(rights_of_a_worker_are_enough),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
