/* What jobs log: written over the stream and by a call, read and followed on either of two replicas. A log may take
 * 64 KiB here, and leases run out after two seconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "log_rig.h"

static void lines_are_kept_in_their_order(void **state)
{
    static const char *const texts[] = {"one", "two\nand a half", "drei: \xc3\xbc \xe2\x82\xac", ""};
    (void)state;
    int64_t id = dispatch("order", 2);
    struct test_worker *w = worker_open(a, "w", "order", 2);
    struct test_lease first = worker_lease(w);
    assert_int_equal(worker_answer(w, worker_log(w, first, texts, 4), NULL), 0);
    assert_int_equal(worker_answer(w, worker_fail(w, first, "Again", "", "", false), NULL), 0);
    struct test_lease second = worker_lease(w);
    assert_int_equal(log_one(w, second, "second attempt"), 0);

    Joblog__V1__GetJobLogRequest request = request_of(id);
    struct reading *r = read_all(b, &request);
    assert_int_equal(r->n_lines, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(r->lines[i]->sequence, i + 1);
        assert_int_equal(r->lines[i]->attempt, i < 4 ? 1 : 2);
        assert_int_equal(r->lines[i]->level, INFO);
        assert_string_equal(r->lines[i]->text, i < 4 ? texts[i] : "second attempt");
        assert_true(r->lines[i]->time && r->lines[i]->time->seconds > 1700000000);
    }
    assert_int_equal(r->dropped, 0);
    reading_free(r);

    request.after_sequence = 2;
    request.attempt = 1;
    r = read_all(b, &request);
    assert_int_equal(r->n_lines, 2);
    assert_int_equal(r->lines[0]->sequence, 3);
    reading_free(r);
    request = request_of(id);
    request.tail = 2;
    r = read_all(b, &request);
    assert_int_equal(r->n_lines, 2);
    assert_int_equal(r->lines[0]->sequence, 4);
    reading_free(r);
    /* Followed, an attempt that is over ends by itself while the job goes on. */
    request = request_of(id);
    request.attempt = 1;
    request.follow = true;
    r = read_all(b, &request);
    assert_int_equal(r->n_lines, 4);
    reading_free(r);
    worker_complete(w, second, "");
    worker_end(w, true, NULL);
}

static void times_and_levels_are_the_writers(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__StartJobResponse *started = start_job(a);
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Joblog__V1__LogLine line = line_of("then", WARNING);
    time.seconds = 1234567890;
    time.nanos = 123456000;
    line.time = &time;
    assert_int_equal(write_line(a, started, &line, NULL, &err), 0);
    line = line_of("now", JOBLOG__V1__LOG_LEVEL__LOG_LEVEL_DEBUG);
    assert_int_equal(write_line(a, started, &line, NULL, &err), 0);
    line = line_of("bad", ERROR);
    assert_int_equal(write_line(a, started, &line, NULL, &err), 0);
    Joblog__V1__GetJobLogRequest request = request_of(started->job->id);
    request.min_level = WARNING;
    struct reading *r = read_all(a, &request);
    assert_int_equal(r->n_lines, 2);
    assert_int_equal(r->lines[0]->time->seconds, time.seconds);
    assert_int_equal(r->lines[0]->time->nanos, time.nanos);
    assert_int_equal(r->lines[0]->level, WARNING);
    assert_int_equal(r->lines[1]->sequence, 3);
    assert_string_equal(r->lines[1]->text, "bad");
    reading_free(r);
    complete(a, started);
    crpc_message_free(&started->base);
}

/* A log that is being written is read on the other replica, up to the end of the job. */
static void a_log_is_followed_across_replicas(void **state)
{
    (void)state;
    int64_t id = dispatch("follow", 1);
    Joblog__V1__GetJobLogRequest request = request_of(id);
    request.follow = true;
    struct reading *near = reading_open(a, &request), *far = reading_open(b, &request);
    struct test_worker *w = worker_open(a, "w", "follow", 1);
    struct test_lease lease = worker_lease(w);
    for (size_t i = 1; i <= 5; i++) {
        char text[16];
        snprintf(text, sizeof text, "line %zu", i);
        assert_int_equal(log_one(w, lease, text), 0);
        expect_lines(near, i);
        expect_lines(far, i);
        assert_string_equal(far->lines[i - 1]->text, text);
    }
    const char *last = "and the last";
    worker_log(w, lease, &last, 1);
    assert_int_equal(worker_answer(w, worker_complete(w, lease, ""), NULL), 0);
    while (reading_go_on(near)) {
    }
    while (reading_go_on(far)) {
    }
    assert_int_equal(near->end.code, ERR_OK);
    assert_int_equal(far->end.code, ERR_OK);
    assert_int_equal(near->n_lines, 6);
    assert_int_equal(far->n_lines, 6);
    assert_string_equal(far->lines[5]->text, last);
    reading_free(near);
    reading_free(far);
    worker_end(w, true, NULL);
}

/* Many writes about one job, and its end after them, in one message: none is lost, none comes in between. */
static void many_writes_and_the_end_in_one_message(void **state)
{
    enum { N = 300 };
    static Joblog__V1__WorkerWrite writes[N + 1];
    static Joblog__V1__LogWrite logs[N];
    static Joblog__V1__LogLine lines[N], *line_list[N];
    static char texts[N][16];
    Joblog__V1__WorkerWrite *list[N + 1];
    Joblog__V1__CompleteWrite end = JOBLOG__V1__COMPLETE_WRITE__INIT;
    Joblog__V1__WorkRequest request = JOBLOG__V1__WORK_REQUEST__INIT;
    (void)state;
    int64_t id = dispatch("many", 1);
    struct test_worker *w = worker_open(a, "w", "many", 1);
    struct test_lease lease = worker_lease(w);
    for (int i = 0; i <= N; i++) {
        joblog__v1__worker_write__init(&writes[i]);
        writes[i].write_id = 1000 + (uint64_t)i;
        writes[i].job_id = lease.job_id;
        writes[i].lease_token = lease.token;
        list[i] = &writes[i];
        if (i == N)
            break;
        snprintf(texts[i], sizeof texts[i], "%d", i);
        lines[i] = line_of(texts[i], INFO);
        line_list[i] = &lines[i];
        joblog__v1__log_write__init(&logs[i]);
        logs[i].lines = &line_list[i];
        logs[i].n_lines = 1;
        writes[i].write_case = JOBLOG__V1__WORKER_WRITE__WRITE_LOG;
        writes[i].log = &logs[i];
    }
    writes[N].write_case = JOBLOG__V1__WORKER_WRITE__WRITE_COMPLETE;
    writes[N].complete = &end;
    request.writes = list;
    request.n_writes = N + 1;
    worker_send(w, &request);
    for (int i = 0; i <= N; i++)
        assert_int_equal(worker_answer(w, 1000 + (uint64_t)i, NULL), 0);
    Joblog__V1__GetJobLogRequest get = request_of(id);
    struct reading *r = read_all(a, &get);
    assert_int_equal(r->n_lines, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(r->lines[i]->sequence, i + 1);
        assert_string_equal(r->lines[i]->text, texts[i]);
    }
    reading_free(r);
    worker_end(w, true, NULL);
}

static void a_fenced_attempt_logs_no_more(void **state)
{
    (void)state;
    int64_t id = dispatch("fence", 2);
    struct test_worker *w = worker_open(a, "w", "fence", 2);
    struct test_lease first = worker_lease(w);
    assert_int_equal(log_one(w, first, "mine"), 0);
    assert_int_equal(worker_answer(w, worker_release(w, first), NULL), 0);
    assert_int_equal(log_one(w, first, "after the end"), ERR_FAILED_PRECONDITION);
    struct test_lease second = worker_lease(w);
    assert_int_equal(log_one(w, first, "over the next one"), ERR_FAILED_PRECONDITION);
    assert_int_equal(log_one(w, second, "mine again"), 0);
    assert_int_equal(worker_answer(w, worker_complete(w, second, ""), NULL), 0);
    assert_int_equal(log_one(w, second, "too late"), ERR_FAILED_PRECONDITION);
    Joblog__V1__GetJobLogRequest request = request_of(id);
    struct reading *r = read_all(a, &request);
    assert_int_equal(r->n_lines, 2);
    assert_string_equal(r->lines[1]->text, "mine again");
    assert_int_equal(r->lines[1]->sequence, 2);
    reading_free(r);
    worker_end(w, true, NULL);
}

static void what_finds_no_room_is_counted(void **state)
{
    enum { TEXT = 1000, FIT = LOG_MAX / (TEXT + LINE_EXTRA), MORE = 10 };
    static char text[TEXT + 1];
    (void)state;
    int64_t id = dispatch("room", 1);
    struct test_worker *w = worker_open(a, "w", "room", 1);
    struct test_lease lease = worker_lease(w);
    memset(text, 'x', TEXT);
    for (int i = 0; i < FIT + MORE; i++)
        assert_int_equal(log_one(w, lease, text), 0);
    Joblog__V1__GetJobLogRequest request = request_of(id);
    struct reading *r = read_all(b, &request);
    assert_int_equal(r->n_lines, FIT);
    assert_int_equal(r->dropped, MORE);
    reading_free(r);
    /* A short one would fit, but the log would have a gap then. */
    assert_int_equal(log_one(w, lease, "short"), 0);
    r = read_all(b, &request);
    assert_int_equal(r->n_lines, FIT);
    assert_int_equal(r->dropped, MORE + 1);
    reading_free(r);
    worker_complete(w, lease, "");
    worker_end(w, true, NULL);
}

/* A lease of its own may be written to through any replica. */
static void both_replicas_write_one_log(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__StartJobResponse *started = start_job(a);
    for (int i = 0; i < 10; i++) {
        Joblog__V1__LogLine line = line_of(i % 2 ? "by b" : "by a", INFO);
        assert_int_equal(write_line(i % 2 ? b : a, started, &line, NULL, &err), 0);
    }
    Joblog__V1__GetJobLogRequest request = request_of(started->job->id);
    struct reading *r = read_all(a, &request);
    assert_int_equal(r->n_lines, 10);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(r->lines[i]->sequence, i + 1);
        assert_string_equal(r->lines[i]->text, i % 2 ? "by b" : "by a");
    }
    reading_free(r);
    complete(b, started);
    Joblog__V1__LogLine line = line_of("late", INFO);
    assert_int_equal(write_line(a, started, &line, NULL, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "LEASE_LOST");
    crpc_message_free(&started->base);
}

static void a_call_renews_the_lease_and_tells_of_a_cancel(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__WriteJobLogResponse *response = NULL;
    Joblog__V1__StartJobResponse *started = start_job(a);
    /* Five seconds, with leases of two. */
    Joblog__V1__WaitJobRequest wait = JOBLOG__V1__WAIT_JOB_REQUEST__INIT;
    Google__Protobuf__Duration second = GOOGLE__PROTOBUF__DURATION__INIT;
    second.seconds = 1;
    wait.id = started->job->id;
    wait.timeout = &second;
    for (int i = 0; i < 5; i++) {
        Joblog__V1__Job *job = NULL;
        assert_int_equal(joblog_v1_job_log_service_wait_job(a, NULL, &wait, &job, &err), 0);
        assert_int_equal(job->status, RUNNING);
        job_free(job);
        assert_int_equal(write_line(a, started, NULL, NULL, &err), 0);
    }
    job_free(call_cancel(a, started->job->id, "enough", NULL));
    Joblog__V1__LogLine line = line_of("stopping", INFO);
    assert_int_equal(write_line(a, started, &line, &response, &err), 0);
    assert_non_null(response->cancel_request);
    assert_string_equal(response->cancel_request->reason, "enough");
    crpc_message_free(&response->base);
    complete(a, started);
    crpc_message_free(&started->base);
}

static void bad_lines_are_refused(void **state)
{
    static char longest[16 * 1024 + 2];
    static const char *many[1001];
    const char *message = NULL, *text = longest;
    (void)state;
    dispatch("bad", 1);
    struct test_worker *w = worker_open(a, "w", "bad", 1);
    struct test_lease lease = worker_lease(w);
    memset(longest, 'x', sizeof longest - 1);
    assert_int_equal(worker_answer(w, worker_log(w, lease, &text, 1), &message), ERR_INVALID_ARGUMENT);
    assert_string_equal(message, "log.lines[0].text must be at most 16384 bytes, is 16385");
    for (int i = 0; i < 1001; i++)
        many[i] = "";
    assert_int_equal(worker_answer(w, worker_log(w, lease, many, 1001), &message), ERR_INVALID_ARGUMENT);
    assert_string_equal(message, "log.lines must hold at most 1000 values, holds 1001");
    longest[sizeof longest - 2] = 0;
    for (int i = 0; i < 17; i++)
        many[i] = longest;
    assert_int_equal(worker_answer(w, worker_log(w, lease, many, 17), &message), ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(message, "262144 bytes"));
    /* The lease is well, and nothing was kept. */
    assert_int_equal(log_one(w, lease, "good"), 0);
    Joblog__V1__GetJobLogRequest request = request_of(lease.job_id);
    struct reading *r = read_all(a, &request);
    assert_int_equal(r->n_lines, 1);
    reading_free(r);
    worker_complete(w, lease, "");
    worker_end(w, true, NULL);

    struct err err = ERR_NONE;
    Joblog__V1__StartJobResponse *started = start_job(a);
    Joblog__V1__LogLine line = line_of("x", (Joblog__V1__LogLevel)9);
    assert_int_equal(write_line(a, started, &line, NULL, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "log.lines[0].level");
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    time.seconds = INT64_MAX;
    line = line_of("x", INFO);
    line.time = &time;
    assert_int_equal(write_line(a, started, &line, NULL, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "log.lines[0].time");
    line = line_of("\xff\xfe", INFO);
    assert_int_equal(write_line(a, started, &line, NULL, &err), -ERR_INVALID_ARGUMENT);
    complete(a, started);
    crpc_message_free(&started->base);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    int64_t id = dispatch("nobody", 1);
    Joblog__V1__GetJobLogRequest request = request_of(0);
    expect_refused(&request, ERR_INVALID_ARGUMENT, "id");
    request = request_of(id);
    request.after_sequence = -1;
    expect_refused(&request, ERR_INVALID_ARGUMENT, "after_sequence");
    request = request_of(id);
    request.attempt = -1;
    expect_refused(&request, ERR_INVALID_ARGUMENT, "attempt");
    request = request_of(id);
    request.tail = -1;
    expect_refused(&request, ERR_INVALID_ARGUMENT, "tail");
    request = request_of(id);
    request.min_level = (Joblog__V1__LogLevel)5;
    expect_refused(&request, ERR_INVALID_ARGUMENT, "min_level");
    request = request_of(INT64_MAX);
    request.follow = true;
    expect_refused(&request, ERR_NOT_FOUND, "");
    /* A job that has logged nothing has an empty log. */
    request = request_of(id);
    struct reading *r = read_all(a, &request);
    assert_int_equal(r->n_lines, 0);
    reading_free(r);
}

/* What was answered is there after the server was killed. */
static void an_answer_means_durable(void **state)
{
    enum { N = 20 };
    (void)state;
    int64_t id = dispatch("durable", 1);
    struct test_worker *w = worker_open(a, "w", "durable", 1);
    struct test_lease lease = worker_lease(w);
    for (int i = 0; i < N; i++)
        assert_int_equal(log_one(w, lease, "kept"), 0);
    server_fixture_kill(replicas.servers[0]);
    Joblog__V1__GetJobLogRequest request = request_of(id);
    struct reading *r = read_all(b, &request);
    assert_int_equal(r->n_lines, N);
    reading_free(r);
    worker_cut(w);
    assert_true(server_fixture_restart(replicas.servers[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_kept_in_their_order),
        cmocka_unit_test(times_and_levels_are_the_writers),
        cmocka_unit_test(a_log_is_followed_across_replicas),
        cmocka_unit_test(many_writes_and_the_end_in_one_message),
        cmocka_unit_test(a_fenced_attempt_logs_no_more),
        cmocka_unit_test(what_finds_no_room_is_counted),
        cmocka_unit_test(both_replicas_write_one_log),
        cmocka_unit_test(a_call_renews_the_lease_and_tells_of_a_cancel),
        cmocka_unit_test(bad_lines_are_refused),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(an_answer_means_durable),
    };
    return cmocka_run_group_tests(tests, log_rig_start, log_rig_stop);
}
