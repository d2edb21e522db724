/* ListWorkers, DrainWorkers and PauseWorkers over two replicas; and a worker that takes no notice of what it is sent.
 * Leases run out after two seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/calls.h"
#include "support/replicas.h"
#include "support/server_fixture.h"

#define PENDING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
#define RUNNING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING
#define COMPLETED JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED

enum { LEASE_MS = 2000 };

static struct replicas replicas;
static struct crpc_channel *a, *b;

static int setup(void **state)
{
    static const char *const args[] = {"--lease-timeout-ms=2000", NULL};
    (void)state;
    int rc = replicas_start(&replicas, args);
    a = replicas.channels[0];
    b = replicas.channels[1];
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    return replicas_stop(&replicas);
}

static Joblog__V1__ListWorkersResponse *list(const Joblog__V1__ListWorkersRequest *request)
{
    Joblog__V1__ListWorkersResponse *response = NULL;
    struct err err = ERR_NONE;
    if (joblog_v1_worker_service_list_workers(a, NULL, request, &response, &err) != 0)
        fail_msg("list: %s", err.msg);
    return response;
}

static Joblog__V1__ListWorkersResponse *list_queue(const char *queue)
{
    Joblog__V1__ListWorkersRequest request = JOBLOG__V1__LIST_WORKERS_REQUEST__INIT;
    request.queue = (char *)queue;
    return list(&request);
}

static int drain(Joblog__V1__DrainWorkersRequest *request, size_t *ret_n, struct err *ret_err)
{
    Joblog__V1__DrainWorkersResponse *response = NULL;
    int rc = joblog_v1_worker_service_drain_workers(a, NULL, request, &response, ret_err);
    if (rc == 0) {
        *ret_n = response->n_session_ids;
        crpc_message_free(&response->base);
    }
    return rc;
}

static void workers_of_all_replicas_are_listed(void **state)
{
    (void)state;
    struct test_worker *one = worker_open(a, "one", "list", 3), *two = worker_open(b, "two", "list", 0);
    worker_keep_alive(one);
    worker_keep_alive(two);
    Joblog__V1__JobSpec spec = spec_of("job", "list");
    int64_t id = must_dispatch(a, &spec);
    struct test_lease lease = worker_lease(one);
    Joblog__V1__ListWorkersResponse *l = list_queue("list");
    assert_int_equal(l->n_workers, 2);
    assert_string_equal(l->next_page_token, "");
    for (size_t i = 0; i < 2; i++) {
        const Joblog__V1__Worker *w = l->workers[i];
        bool is_one = w->session_id == worker_session_id(one);
        assert_true(is_one || w->session_id == worker_session_id(two));
        assert_string_equal(w->name, is_one ? "one" : "two");
        assert_int_equal(w->n_queues, 1);
        assert_string_equal(w->queues[0], "list");
        assert_int_equal(w->n_job_names, 0);
        assert_int_equal(w->running_count, is_one ? 1 : 0);
        assert_int_equal(w->n_running_job_ids, is_one ? 1 : 0);
        assert_true(!is_one || w->running_job_ids[0] == id);
        assert_true(w->start_time->seconds <= clock_wall_us() / 1000000);
        assert_in_range(w->last_seen_time->seconds, clock_wall_us() / 1000000 - 60, clock_wall_us() / 1000000 + 1);
        assert_null(w->drain_request);
    }
    assert_int_not_equal(l->workers[0]->replica, l->workers[1]->replica);
    crpc_message_free(&l->base);

    /* Page by page, and by name. */
    Joblog__V1__ListWorkersRequest request = JOBLOG__V1__LIST_WORKERS_REQUEST__INIT;
    request.queue = (char *)"list";
    request.page_size = 1;
    l = list(&request);
    assert_int_equal(l->n_workers, 1);
    char token[32];
    snprintf(token, sizeof token, "%s", l->next_page_token);
    int64_t first = l->workers[0]->session_id;
    crpc_message_free(&l->base);
    request.page_token = token;
    l = list(&request);
    assert_int_equal(l->n_workers, 1);
    assert_true(l->workers[0]->session_id > first);
    assert_string_equal(l->next_page_token, "");
    crpc_message_free(&l->base);
    request = (Joblog__V1__ListWorkersRequest)JOBLOG__V1__LIST_WORKERS_REQUEST__INIT;
    request.name = (char *)"two";
    l = list(&request);
    assert_int_equal(l->n_workers, 1);
    crpc_message_free(&l->base);

    worker_complete(one, lease, "");
    worker_draining(one);
    worker_draining(two);
    assert_int_equal(worker_end(one, true, NULL), ERR_OK);
    assert_int_equal(worker_end(two, true, NULL), ERR_OK);
    l = list_queue("list");
    assert_int_equal(l->n_workers, 0);
    crpc_message_free(&l->base);
}

/* Asked through the other replica: told, gets nothing more, its job ends well, and its stream with OK. */
static void a_worker_is_drained_from_afar(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    size_t n = 0;
    struct test_worker *w = worker_open(b, "far", "drain", 5), *other = worker_open(b, "stays", "drain", 0);
    Joblog__V1__JobSpec spec = spec_of("job", "drain");
    int64_t id = must_dispatch(b, &spec);
    struct test_lease lease = worker_lease(w);
    worker_keep_alive(w);
    worker_keep_alive(other);
    Joblog__V1__DrainWorkersRequest request = JOBLOG__V1__DRAIN_WORKERS_REQUEST__INIT;
    request.name = (char *)"far";
    request.reason = (char *)"new version";
    assert_int_equal(drain(&request, &n, &err), 0);
    assert_int_equal(n, 1);
    worker_drain(w);
    Joblog__V1__ListWorkersResponse *l = list_queue("drain");
    assert_int_equal(l->n_workers, 2);
    for (size_t i = 0; i < 2; i++) {
        bool far = strcmp(l->workers[i]->name, "far") == 0;
        assert_true(far == (l->workers[i]->drain_request != NULL));
        assert_true(!far || strcmp(l->workers[i]->drain_request->reason, "new version") == 0);
    }
    crpc_message_free(&l->base);
    int64_t late = must_dispatch(b, &spec);
    assert_int_equal(worker_answer(w, worker_complete(w, lease, ""), NULL), 0);
    assert_int_equal(worker_leases_read(w), 0);
    assert_int_equal(must_status(a, id), COMPLETED);
    assert_int_equal(must_status(a, late), PENDING);
    assert_int_equal(worker_end(w, false, NULL), ERR_OK);
    worker_credit(other, 1);
    lease = worker_lease(other);
    assert_int_equal(lease.job_id, late);
    assert_int_equal(worker_answer(other, worker_complete(other, lease, ""), NULL), 0);
    worker_end(other, true, NULL);
}

static void pause_by_name(const char *name, const char *reason, size_t n)
{
    Joblog__V1__PauseWorkersRequest request = JOBLOG__V1__PAUSE_WORKERS_REQUEST__INIT;
    Joblog__V1__PauseWorkersResponse *response = NULL;
    request.name = (char *)name;
    request.reason = (char *)reason;
    assert_int_equal(joblog_v1_worker_service_pause_workers(a, NULL, &request, &response, NULL), 0);
    assert_int_equal(response->n_session_ids, n);
    crpc_message_free(&response->base);
}

static void resume_session(int64_t session, size_t n)
{
    Joblog__V1__ResumeWorkersRequest request = JOBLOG__V1__RESUME_WORKERS_REQUEST__INIT;
    Joblog__V1__ResumeWorkersResponse *response = NULL;
    request.session_ids = &session;
    request.n_session_ids = 1;
    assert_int_equal(joblog_v1_worker_service_resume_workers(a, NULL, &request, &response, NULL), 0);
    assert_int_equal(response->n_session_ids, n);
    crpc_message_free(&response->base);
}

/* Through the other replica: what runs goes on, nothing new comes whatever credit there is, also over a new stream. */
static void a_worker_is_paused_and_goes_on(void **state)
{
    (void)state;
    struct test_worker *w = worker_open(b, "ill", "pause", 5);
    worker_keep_alive(w);
    Joblog__V1__JobSpec spec = spec_of("job", "pause");
    int64_t before = must_dispatch(b, &spec);
    struct test_lease lease = worker_lease(w);
    pause_by_name("ill", "looks ill", 1);
    pause_by_name("ill", "again", 1); /* the first one stands */
    worker_paused(w, true);
    int64_t later = must_dispatch(b, &spec);
    assert_int_equal(worker_answer(w, worker_complete(w, lease, ""), NULL), 0);
    assert_int_equal(must_status(a, before), COMPLETED);
    Joblog__V1__ListWorkersResponse *l = list_queue("pause");
    assert_int_equal(l->n_workers, 1);
    assert_non_null(l->workers[0]->pause_request);
    assert_string_equal(l->workers[0]->pause_request->reason, "looks ill");
    assert_non_null(l->workers[0]->pause_request->time);
    crpc_message_free(&l->base);
    worker_cut(w);
    w = worker_open(a, "ill", "pause", 0); /* at another replica */
    worker_keep_alive(w);
    worker_paused(w, true);
    worker_credit(w, 5);
    int64_t more = must_dispatch(a, &spec);
    for (int i = 0; i < 20; i++)
        assert_int_equal(must_status(a, more), PENDING);
    assert_int_equal(worker_leases_read(w), 0);
    resume_session(worker_session_id(w), 1);
    worker_paused(w, false);
    for (int i = 0; i < 2; i++) {
        lease = worker_lease(w);
        assert_true(lease.job_id == later || lease.job_id == more);
        assert_int_equal(worker_answer(w, worker_complete(w, lease, ""), NULL), 0);
    }
    resume_session(worker_session_id(w), 0); /* it is not paused any more */
    l = list_queue("pause");
    assert_null(l->workers[l->n_workers - 1]->pause_request);
    crpc_message_free(&l->base);
    worker_end(w, true, NULL);
    pause_by_name("nobody", "", 0);
}

static void own_workers_are(bool paused)
{
    Joblog__V1__ListWorkersResponse *l = list_queue("joblog.exports");
    assert_true(l->n_workers >= 2);
    for (size_t i = 0; i < l->n_workers; i++) {
        assert_null(l->workers[i]->drain_request);
        assert_true(paused == (l->workers[i]->pause_request != NULL));
    }
    crpc_message_free(&l->base);
}

static void pause_workers(Joblog__V1__PauseWorkersRequest request, size_t n)
{
    Joblog__V1__PauseWorkersResponse *response = NULL;
    assert_int_equal(joblog_v1_worker_service_pause_workers(a, NULL, &request, &response, NULL), 0);
    assert_int_equal(response->n_session_ids, n);
    crpc_message_free(&response->base);
}

/* Who means the workers of a host does not mean joblogd, which makes exports there. */
static void the_servers_own_workers_are_not_those_of_a_host(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    size_t n = 0;
    int64_t sessions[64];
    const char *queue = "own";
    Joblog__V1__ListWorkersResponse *l = list_queue("joblog.exports");
    Joblog__V1__WorkerHello hello = JOBLOG__V1__WORKER_HELLO__INIT;
    Joblog__V1__PauseWorkersRequest by_host = JOBLOG__V1__PAUSE_WORKERS_REQUEST__INIT, by_session = by_host;
    Joblog__V1__DrainWorkersRequest drain_host = JOBLOG__V1__DRAIN_WORKERS_REQUEST__INIT;
    assert_in_range(l->n_workers, 2, 64);
    hello.name = (char *)"own";
    hello.queues = (char **)&queue;
    hello.n_queues = 1;
    hello.host = by_host.host = drain_host.host = l->workers[0]->host;
    struct test_worker *w = worker_open_as(b, &hello, 0);
    worker_keep_alive(w);
    pause_workers(by_host, 1);
    worker_paused(w, true);
    own_workers_are(false);
    assert_int_equal(drain(&drain_host, &n, &err), 0);
    assert_int_equal(n, 1);
    worker_drain(w);
    assert_int_equal(worker_end(w, true, NULL), ERR_OK);
    own_workers_are(false);
    for (n = 0; n < l->n_workers; n++)
        sessions[n] = l->workers[n]->session_id;
    by_session.session_ids = sessions;
    by_session.n_session_ids = n;
    pause_workers(by_session, n);
    own_workers_are(true);
    for (size_t i = 0; i < n; i++)
        resume_session(sessions[i], 1);
    own_workers_are(false);
    crpc_message_free(&l->base);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    size_t n = 0;
    Joblog__V1__DrainWorkersRequest all = JOBLOG__V1__DRAIN_WORKERS_REQUEST__INIT;
    assert_int_equal(drain(&all, &n, &err), -ERR_INVALID_ARGUMENT);
    Joblog__V1__PauseWorkersRequest pause_all = JOBLOG__V1__PAUSE_WORKERS_REQUEST__INIT;
    Joblog__V1__PauseWorkersResponse *paused = NULL;
    assert_int_equal(joblog_v1_worker_service_pause_workers(a, NULL, &pause_all, &paused, &err), -ERR_INVALID_ARGUMENT);
    Joblog__V1__ResumeWorkersRequest resume_all = JOBLOG__V1__RESUME_WORKERS_REQUEST__INIT;
    Joblog__V1__ResumeWorkersResponse *resumed = NULL;
    assert_int_equal(joblog_v1_worker_service_resume_workers(a, NULL, &resume_all, &resumed, &err),
                     -ERR_INVALID_ARGUMENT);
    int64_t none = 1;
    all.session_ids = &none;
    all.n_session_ids = 1;
    assert_int_equal(drain(&all, &n, &err), 0);
    assert_int_equal(n, 0);
    Joblog__V1__ListWorkersRequest request = JOBLOG__V1__LIST_WORKERS_REQUEST__INIT;
    Joblog__V1__ListWorkersResponse *response = NULL;
    request.page_token = (char *)"-3";
    assert_int_equal(joblog_v1_worker_service_list_workers(a, NULL, &request, &response, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "page_token");
    request.page_token = (char *)"";
    request.page_size = -1;
    assert_int_equal(joblog_v1_worker_service_list_workers(a, NULL, &request, &response, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "page_size");
}

enum { CREDIT = 2, MUCH = 40 };

/* The deaf worker, which reads nothing from now on, has its credit of leases, no more, and loses them in time to one
 * that works. */
static void loses_its_leases(struct test_worker *deaf, const char *queue, const char *payload, int credit)
{
    enum { MORE = 3, SLACK_MS = 60000 }; /* for a machine that is busy */
    Joblog__V1__JobSpec spec = spec_of("job", queue);
    spec.payload = (char *)payload;
    Joblog__V1__RetryPolicy policy = JOBLOG__V1__RETRY_POLICY__INIT;
    Google__Protobuf__Duration backoff = GOOGLE__PROTOBUF__DURATION__INIT;
    backoff.nanos = 1000000;
    policy.max_attempts = 2;
    policy.initial_backoff = &backoff;
    spec.retry_policy = &policy;
    int n = credit + MORE;
    int64_t ids[MUCH + MORE], start = clock_mono_ms();
    int running = 0;
    for (int i = 0; i < n; i++)
        ids[i] = must_dispatch(a, &spec);
    for (int i = 0; i < n; i++)
        running += must_status(a, ids[i]) == RUNNING;
    assert_true(running <= credit);
    struct test_worker *well = worker_open(b, "well", queue, 1); /* one by one: a lease is short on a busy machine */
    worker_keep_alive(well);
    int second = 0;
    for (int i = 0; i < n; i++) {
        struct test_lease lease = worker_lease(well);
        second += lease.job->attempt == 2;
        assert_int_equal(worker_answer(well, worker_complete(well, lease, ""), NULL), 0);
        worker_credit(well, 1);
    }
    assert_int_equal(second, credit);
    assert_in_range(clock_mono_ms() - start, LEASE_MS - 1000, LEASE_MS + 1000 + SLACK_MS);
    for (int i = 0; i < n; i++)
        assert_int_equal(must_status(a, ids[i]), COMPLETED);
    worker_end(well, true, NULL);
    worker_cut(deaf);
}

/* It says nothing, but keeps the connection. */
static void a_deaf_worker_gets_its_credit_and_loses_it(void **state)
{
    (void)state;
    loses_its_leases(worker_open(a, "deaf", "deaf", CREDIT), "deaf", "{}", CREDIT);
}

static struct test_worker *open_confirming(const char *queue, int32_t credit)
{
    Joblog__V1__WorkerHello hello = JOBLOG__V1__WORKER_HELLO__INIT;
    hello.name = (char *)queue;
    hello.queues = (char **)&queue;
    hello.n_queues = 1;
    hello.confirms_leases = true;
    return worker_open_as(a, &hello, credit);
}

/* Its reader is stuck, while a thread of its own sends heartbeats. */
static void a_deaf_worker_with_a_heartbeat_loses_its_leases(void **state)
{
    (void)state;
    struct test_worker *deaf = open_confirming("deaf.beats", CREDIT);
    worker_keep_alive(deaf);
    loses_its_leases(deaf, "deaf.beats", "{}", CREDIT);
}

/* One that does not confirm, but lets messages that are large not through. */
static void a_worker_that_lets_nothing_through_loses_its_leases(void **state)
{
    (void)state;
    enum { LONG = 250 * 1000 };
    char *payload = malloc(LONG + 1);
    assert_non_null(payload);
    memset(payload, 'x', LONG);
    payload[LONG] = '\0';
    memcpy(payload, "{\"x\": \"", 7);
    strcpy(payload + LONG - 2, "\"}");
    struct test_worker *deaf = worker_open(a, "blocked", "deaf.blocked", MUCH);
    worker_keep_alive(deaf);
    loses_its_leases(deaf, "deaf.blocked", payload, MUCH);
    free(payload);
}

static void confirm(struct test_worker *w, int64_t received)
{
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    request.leases_received = received;
    worker_send(w, &request);
}

/* One that reads late: what it kept is lost, and it is given jobs again. One that confirms keeps its job for long. */
static void a_worker_that_confirms_is_alive(void **state)
{
    (void)state;
    struct test_worker *w = open_confirming("confirms", 1);
    Joblog__V1__JobSpec spec = spec_of("job", "confirms");
    Joblog__V1__RetryPolicy policy = JOBLOG__V1__RETRY_POLICY__INIT;
    Google__Protobuf__Duration backoff = GOOGLE__PROTOBUF__DURATION__INIT;
    backoff.nanos = 1000000;
    policy.max_attempts = 2;
    policy.initial_backoff = &backoff;
    spec.retry_policy = &policy;
    worker_keep_alive(w);
    int64_t lost = must_dispatch(a, &spec);
    for (int i = 0; must_status(a, lost) != PENDING && i < 3000; i++)
        usleep(20 * 1000);
    assert_int_equal(must_status(a, lost), PENDING);
    struct test_lease first = worker_lease(w);
    assert_int_equal(first.job_id, lost);
    assert_int_equal(worker_cancel(w).job_id, lost);
    confirm(w, 1);
    worker_credit(w, 1);
    struct test_lease second = worker_lease(w);
    assert_int_equal(second.job_id, lost);
    assert_int_equal(second.job->attempt, 2);
    confirm(w, 2);
    assert_int_equal(worker_answer(w, worker_complete(w, first, ""), NULL), ERR_FAILED_PRECONDITION);
    for (int64_t end = clock_mono_ms() + INT64_C(2) * LEASE_MS; clock_mono_ms() < end;)
        usleep(100 * 1000); /* longer than a lease lasts that nobody confirms */
    assert_int_equal(worker_answer(w, worker_complete(w, second, ""), NULL), 0);
    worker_end(w, true, NULL);
}

static void wrong_confirmations_are_refused(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct test_worker *w = worker_open(a, "plain", "wrong", 0);
    confirm(w, 1);
    assert_int_equal(worker_end(w, false, &err), ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "leases_received");
    w = open_confirming("wrong", 0);
    confirm(w, 1);
    assert_int_equal(worker_end(w, false, &err), ERR_INVALID_ARGUMENT);
    w = open_confirming("wrong", 0);
    confirm(w, -1);
    assert_int_equal(worker_end(w, false, &err), ERR_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_of_all_replicas_are_listed),
        cmocka_unit_test(a_worker_is_drained_from_afar),
        cmocka_unit_test(a_worker_is_paused_and_goes_on),
        cmocka_unit_test(the_servers_own_workers_are_not_those_of_a_host),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(a_deaf_worker_gets_its_credit_and_loses_it),
        cmocka_unit_test(a_deaf_worker_with_a_heartbeat_loses_its_leases),
        cmocka_unit_test(a_worker_that_lets_nothing_through_loses_its_leases),
        cmocka_unit_test(a_worker_that_confirms_is_alive),
        cmocka_unit_test(wrong_confirmations_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
