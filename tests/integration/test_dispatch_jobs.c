/* DispatchJobs against a real joblogd: outcomes in order, bad jobs among good ones, request ids within a message,
 * across messages and among streams that race, cuts, and clients that do not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/alloc.h"
#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

enum { MESSAGE = 1000 };

static struct server_fixture *server;
static struct crpc_channel *channel;

static int setup(void **state)
{
    (void)state;
    server = server_fixture_start(NULL);
    if (server)
        channel = channel_open(server, NULL);
    return channel ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    crpc_channel_free(channel);
    int code = server ? server_fixture_stop(server) : -1;
    server_fixture_free(server);
    return code;
}

/* ---- messages ---- */

struct message {
    Joblog__V1__DispatchJobsRequest request;
    Joblog__V1__DispatchJobRequest jobs[MESSAGE + 1], *pointers[MESSAGE + 1];
    Joblog__V1__JobSpec specs[MESSAGE + 1];
    char ids[MESSAGE + 1][64];
};

/* n jobs of a queue; request ids "PREFIX-i", or none when prefix is NULL. */
static struct message *message_new(size_t n, const char *queue, const char *prefix)
{
    struct message *m = mem_zalloc(sizeof *m);
    assert_non_null(m);
    joblog__v1__dispatch_jobs_request__init(&m->request);
    for (size_t i = 0; i < n; i++) {
        joblog__v1__dispatch_job_request__init(&m->jobs[i]);
        m->specs[i] = spec_of("many", queue);
        m->jobs[i].job = &m->specs[i];
        if (prefix) {
            snprintf(m->ids[i], sizeof m->ids[i], "%s-%zu", prefix, i);
            m->jobs[i].request_id = m->ids[i];
        }
        m->pointers[i] = &m->jobs[i];
    }
    m->request.jobs = m->pointers;
    m->request.n_jobs = n;
    return m;
}

static struct crpc_stream *open_stream(void)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    struct crpc_stream *stream = joblog_v1_job_log_service_dispatch_jobs_open(channel, &options, NULL);
    assert_non_null(stream);
    return stream;
}

static void send_message(struct crpc_stream *stream, const struct message *m)
{
    assert_int_equal(joblog_v1_job_log_service_dispatch_jobs_write(stream, &m->request, NULL), 0);
}

static Joblog__V1__DispatchJobsResponse *read_outcomes(struct crpc_stream *stream, size_t n)
{
    Joblog__V1__DispatchJobsResponse *response = NULL;
    struct err err = ERR_NONE;
    if (joblog_v1_job_log_service_dispatch_jobs_read(stream, &response, &err) != 1)
        fail_msg("the stream has ended: %s %s", err_code_name((int)err.code), err.msg);
    assert_int_equal(response->n_outcomes, n);
    return response;
}

static void expect_end(struct crpc_stream *stream)
{
    Joblog__V1__DispatchJobsResponse *response = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(crpc_stream_close_write(stream, NULL), 0);
    assert_int_equal(joblog_v1_job_log_service_dispatch_jobs_read(stream, &response, &err), 0);
    crpc_stream_free(stream);
}

static size_t count_jobs(const char *queue)
{
    Joblog__V1__ListJobsRequest request = JOBLOG__V1__LIST_JOBS_REQUEST__INIT;
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    char *queues[] = {(char *)queue}, token[200] = "";
    size_t n = 0;
    filter.queues = queues;
    filter.n_queues = 1;
    request.filter = &filter;
    request.page_size = 1000;
    do {
        Joblog__V1__ListJobsResponse *page = NULL;
        request.page_token = token;
        assert_int_equal(joblog_v1_job_log_service_list_jobs(channel, NULL, &request, &page, NULL), 0);
        n += page->n_jobs;
        snprintf(token, sizeof token, "%s", page->next_page_token);
        crpc_message_free(&page->base);
    } while (*token);
    return n;
}

/* ---- tests ---- */

static void outcomes_come_in_order_and_bad_jobs_hurt_only_themselves(void **state)
{
    (void)state;
    struct message *m = message_new(5, "order", NULL);
    char *payload = (char *)"{\"n\":";
    m->specs[1].job_name = (char *)"";
    m->specs[3].payload = payload; /* no JSON */
    m->pointers[4]->job = NULL;
    struct crpc_stream *stream = open_stream();
    send_message(stream, m);
    Joblog__V1__DispatchJobsResponse *r = read_outcomes(stream, 5);
    static const struct {
        int code;
        const char *field;
    } want[] = {{ERR_OK, ""},
                {ERR_INVALID_ARGUMENT, "job.job_name"},
                {ERR_OK, ""},
                {ERR_INVALID_ARGUMENT, "job.payload"},
                {ERR_INVALID_ARGUMENT, "job"}};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(r->outcomes[i]->code, want[i].code);
        assert_string_equal(r->outcomes[i]->field, want[i].field);
        assert_int_equal(r->outcomes[i]->id != 0, want[i].code == ERR_OK);
        assert_int_equal(*r->outcomes[i]->message != 0, want[i].code != ERR_OK);
    }
    assert_true(r->outcomes[0]->id < r->outcomes[2]->id);
    assert_int_equal(must_status(channel, r->outcomes[2]->id), JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING);
    crpc_message_free(&r->base);
    /* None at all, and none that is good. */
    m->request.n_jobs = 0;
    send_message(stream, m);
    r = read_outcomes(stream, 0);
    crpc_message_free(&r->base);
    m->request.n_jobs = 1;
    m->request.jobs = &m->pointers[4];
    send_message(stream, m);
    r = read_outcomes(stream, 1);
    assert_int_equal(r->outcomes[0]->code, ERR_INVALID_ARGUMENT);
    crpc_message_free(&r->base);
    expect_end(stream);
    assert_int_equal(count_jobs("order"), 2);
    mem_free(m);
}

/* What an outcome says of a job is what DispatchJob says of it. */
static void an_outcome_says_what_a_call_of_its_own_would(void **state)
{
    (void)state;
    enum { N = 5 };
    struct message *m = message_new(N, "same", NULL);
    Joblog__V1__UniqueKey key = JOBLOG__V1__UNIQUE_KEY__INIT;
    key.key = (char *)"taken";
    m->specs[0].unique_key = m->specs[1].unique_key = &key;
    must_dispatch(channel, &m->specs[0]);
    m->specs[2].job_name = (char *)"";
    m->specs[3].payload = (char *)"[]";
    m->specs[4].queue = (char *)"joblog.internal";
    struct crpc_stream *stream = open_stream();
    send_message(stream, m);
    Joblog__V1__DispatchJobsResponse *r = read_outcomes(stream, N);
    for (int i = 1; i < N; i++) {
        struct err err = ERR_NONE;
        assert_null(call_dispatch(channel, &m->specs[i], "", &err));
        assert_int_equal(r->outcomes[i]->code, err.code);
        assert_string_equal(r->outcomes[i]->reason, err.reason);
        assert_string_equal(r->outcomes[i]->field, err.field);
        assert_string_equal(r->outcomes[i]->message, err.msg);
        assert_null(r->outcomes[i]->retry_after);
    }
    assert_string_equal(r->outcomes[1]->reason, "UNIQUE_KEY_TAKEN");
    assert_string_equal(r->outcomes[2]->reason, "INVALID_ARGUMENT");
    crpc_message_free(&r->base);
    expect_end(stream);
    mem_free(m);
}

static void request_ids_are_replayed_and_reuse_is_refused(void **state)
{
    (void)state;
    struct message *m = message_new(4, "ids", "ids");
    m->jobs[2].request_id = m->ids[0]; /* twice in one message, the same job */
    m->jobs[3].request_id = m->ids[1]; /* twice, but another job */
    m->specs[3].priority = 7;
    struct crpc_stream *stream = open_stream();
    int64_t ids[2] = {0};
    for (int round = 0; round < 2; round++) {
        send_message(stream, m);
        Joblog__V1__DispatchJobsResponse *r = read_outcomes(stream, 4);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(r->outcomes[i]->code, ERR_OK);
            assert_int_equal(r->outcomes[i]->replayed, round == 1);
            if (round == 1)
                assert_int_equal(r->outcomes[i]->id, ids[i]);
            ids[i] = r->outcomes[i]->id;
        }
        assert_int_equal(r->outcomes[2]->code, ERR_OK);
        assert_true(r->outcomes[2]->replayed);
        assert_int_equal(r->outcomes[2]->id, ids[0]);
        assert_int_equal(r->outcomes[3]->code, ERR_ALREADY_EXISTS);
        assert_string_equal(r->outcomes[3]->reason, "REQUEST_ID_REUSED");
        crpc_message_free(&r->base);
    }
    expect_end(stream);
    assert_int_equal(count_jobs("ids"), 2);
    mem_free(m);
}

/* Answers to the messages before it are not lost. */
static void a_message_that_is_too_long_ends_the_stream_after_those_before_it(void **state)
{
    (void)state;
    struct message *good = message_new(10, "long", NULL), *bad = message_new(MESSAGE + 1, "long", NULL);
    struct crpc_stream *stream = open_stream();
    send_message(stream, good);
    send_message(stream, bad);
    Joblog__V1__DispatchJobsResponse *r = read_outcomes(stream, 10), *none = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(r->outcomes[9]->code, ERR_OK);
    crpc_message_free(&r->base);
    assert_int_equal(joblog_v1_job_log_service_dispatch_jobs_read(stream, &none, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "jobs");
    crpc_stream_free(stream);
    assert_int_equal(count_jobs("long"), 10);
    mem_free(good);
    mem_free(bad);
}

struct writing {
    struct crpc_stream *stream;
    struct message *message;
    int n;
};

static void *write_all(void *arg)
{
    struct writing *w = arg;
    for (int i = 0; i < w->n; i++)
        send_message(w->stream, w->message);
    crpc_stream_close_write(w->stream, NULL);
    return NULL;
}

/* Answers that nobody reads hold up the writer, and nothing is lost. */
static void who_does_not_read_is_not_read_from(void **state)
{
    enum { N = 60 };
    (void)state;
    struct writing w = {.stream = open_stream(), .message = message_new(MESSAGE, "deaf", NULL), .n = N};
    for (int i = 0; i < MESSAGE; i++)
        w.message->specs[i].job_name = (char *)""; /* answers as long as can be, and no work for the database */
    w.message->specs[0].job_name = (char *)"many";
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_all, &w), 0);
    /* Others are served meanwhile. */
    Joblog__V1__JobSpec spec = spec_of("many", "meanwhile");
    for (int i = 0; i < 20; i++)
        must_dispatch(channel, &spec);
    for (int i = 0; i < N; i++) {
        Joblog__V1__DispatchJobsResponse *r = read_outcomes(w.stream, MESSAGE);
        assert_int_equal(r->outcomes[0]->code, ERR_OK);
        assert_int_equal(r->outcomes[1]->code, ERR_INVALID_ARGUMENT);
        crpc_message_free(&r->base);
    }
    pthread_join(thread, NULL);
    Joblog__V1__DispatchJobsResponse *none = NULL;
    assert_int_equal(joblog_v1_job_log_service_dispatch_jobs_read(w.stream, &none, NULL), 0);
    crpc_stream_free(w.stream);
    assert_int_equal(count_jobs("deaf"), N);
    mem_free(w.message);
}

struct racer {
    int64_t ids[MESSAGE];
    bool replayed[MESSAGE];
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    struct message *m = message_new(MESSAGE, "race", "race");
    struct crpc_stream *stream = open_stream();
    send_message(stream, m);
    Joblog__V1__DispatchJobsResponse *r = read_outcomes(stream, MESSAGE);
    for (int i = 0; i < MESSAGE; i++) {
        assert_int_equal(r->outcomes[i]->code, ERR_OK);
        racer->ids[i] = r->outcomes[i]->id;
        racer->replayed[i] = r->outcomes[i]->replayed;
    }
    crpc_message_free(&r->base);
    expect_end(stream);
    mem_free(m);
    return NULL;
}

static void racing_streams_with_the_same_ids_make_each_job_once(void **state)
{
    enum { N = 4 };
    (void)state;
    static struct racer racers[N];
    pthread_t threads[N];
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    for (int k = 0; k < MESSAGE; k++) {
        int winners = 0;
        for (int i = 0; i < N; i++) {
            assert_int_equal(racers[i].ids[k], racers[0].ids[k]);
            winners += !racers[i].replayed[k];
        }
        assert_int_equal(winners, 1);
    }
    assert_int_equal(count_jobs("race"), MESSAGE);
}

/* The stream is cut at some point; what was sent is sent again. */
static void after_a_cut_the_same_ids_make_no_job_twice(void **state)
{
    (void)state;
    struct message *m = message_new(MESSAGE, "cut", "cut");
    for (int round = 0; round < 5; round++) {
        struct crpc_stream *stream = open_stream();
        send_message(stream, m);
        crpc_stream_cancel(stream);
        crpc_stream_free(stream);
    }
    struct crpc_stream *stream = open_stream();
    send_message(stream, m);
    Joblog__V1__DispatchJobsResponse *r = read_outcomes(stream, MESSAGE);
    for (int i = 0; i < MESSAGE; i++)
        assert_int_equal(r->outcomes[i]->code, ERR_OK);
    crpc_message_free(&r->base);
    expect_end(stream);
    assert_int_equal(count_jobs("cut"), MESSAGE);
    mem_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes_come_in_order_and_bad_jobs_hurt_only_themselves),
        cmocka_unit_test(an_outcome_says_what_a_call_of_its_own_would),
        cmocka_unit_test(request_ids_are_replayed_and_reuse_is_refused),
        cmocka_unit_test(a_message_that_is_too_long_ends_the_stream_after_those_before_it),
        cmocka_unit_test(who_does_not_read_is_not_read_from),
        cmocka_unit_test(racing_streams_with_the_same_ids_make_each_job_once),
        cmocka_unit_test(after_a_cut_the_same_ids_make_no_job_twice),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
