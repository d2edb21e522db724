/* ListJobs and WatchJobs: filters by error, payload and times, orders, pages that end early. Against a real joblogd;
 * each test has a queue of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

#define PENDING JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
#define FAILED  JOBLOG__V1__JOB_STATUS__JOB_STATUS_FAILED

static struct server_fixture *server;
static struct crpc_channel *channel;
static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};

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

/* A filter of one queue, and parts to put into it. */
struct parts {
    char *queue, *error_type;
    Joblog__V1__JobFilter filter;
    Joblog__V1__PayloadMatch match, *matches[1];
    Google__Protobuf__Timestamp from, before;
};

static struct parts *of_queue(struct parts *p, const char *queue)
{
    memset(p, 0, sizeof *p);
    joblog__v1__job_filter__init(&p->filter);
    joblog__v1__payload_match__init(&p->match);
    google__protobuf__timestamp__init(&p->from);
    google__protobuf__timestamp__init(&p->before);
    p->queue = (char *)queue;
    p->filter.queues = &p->queue;
    p->filter.n_queues = 1;
    p->matches[0] = &p->match;
    return p;
}

static void with_error(struct parts *p, const char *type)
{
    p->error_type = (char *)type;
    p->filter.error_types = &p->error_type;
    p->filter.n_error_types = 1;
}

static void with_payload(struct parts *p, const char *path, const char *equals, const char *contains)
{
    joblog__v1__payload_match__init(&p->match);
    p->match.path = (char *)path;
    if (equals) {
        p->match.match_case = JOBLOG__V1__PAYLOAD_MATCH__MATCH_EQUALS;
        p->match.equals = (char *)equals;
    } else if (contains) {
        p->match.match_case = JOBLOG__V1__PAYLOAD_MATCH__MATCH_CONTAINS;
        p->match.contains = (char *)contains;
    }
    p->filter.payload = p->matches;
    p->filter.n_payload = 1;
}

static Joblog__V1__ListJobsResponse *list(const Joblog__V1__JobFilter *filter, int32_t page_size, const char *token,
                                          Joblog__V1__JobOrder order, struct err *ret_err)
{
    Joblog__V1__ListJobsRequest request = JOBLOG__V1__LIST_JOBS_REQUEST__INIT;
    Joblog__V1__ListJobsResponse *response = NULL;
    request.filter = (Joblog__V1__JobFilter *)filter;
    request.page_size = page_size;
    request.page_token = (char *)token;
    request.order = order;
    joblog_v1_job_log_service_list_jobs(channel, NULL, &request, &response, ret_err);
    return response;
}

/* The ids of all pages must be these; gives the number of pages. */
static size_t expect_ids(const Joblog__V1__JobFilter *filter, Joblog__V1__JobOrder order, int32_t page_size,
                         const int64_t *ids, size_t n)
{
    struct err err = ERR_NONE;
    char token[128] = "";
    size_t pages = 0, at = 0;
    do {
        Joblog__V1__ListJobsResponse *page = list(filter, page_size, token, order, &err);
        if (!page)
            fail_msg("%s: %s", err.reason, err.msg);
        for (size_t i = 0; i < page->n_jobs; i++, at++) {
            assert_true(at < n);
            assert_int_equal(page->jobs[i]->id, ids[at]);
        }
        snprintf(token, sizeof token, "%s", page->next_page_token);
        crpc_message_free(&page->base);
        pages++;
    } while (token[0]);
    assert_int_equal(at, n);
    return pages;
}

static int64_t failed_job(struct test_worker *worker, const char *queue, const char *type, const char *message)
{
    Joblog__V1__JobSpec spec = spec_of("mail", queue);
    int64_t id = must_dispatch(channel, &spec);
    struct test_lease lease = worker_lease(worker);
    assert_int_equal(lease.job_id, id);
    assert_int_equal(worker_answer(worker, worker_fail(worker, lease, type, message, "", true), NULL), 0);
    worker_credit(worker, 1);
    return id;
}

static void errors_are_found_by_type_and_text(void **state)
{
    (void)state;
    struct parts p;
    struct err err = ERR_NONE;
    struct test_worker *worker = worker_open(channel, "w", "errors", 1);
    int64_t smtp = failed_job(worker, "errors", "Smtp", "host mx1 is away");
    int64_t disk = failed_job(worker, "errors", "Disk", "no space on mx1");
    int64_t again = failed_job(worker, "errors", "Smtp", "host mx2 is away");
    worker_end(worker, true, NULL);
    with_error(of_queue(&p, "errors"), "Smtp");
    expect_ids(&p.filter, 0, 50, (int64_t[]){again, smtp}, 2);
    assert_int_equal(expect_ids(&p.filter, 0, 1, (int64_t[]){again, smtp}, 2), 2);
    expect_ids(&p.filter, JOBLOG__V1__JOB_ORDER__JOB_ORDER_OLDEST_FIRST, 1, (int64_t[]){smtp, again}, 2);
    p.filter.error_text = (char *)"mx1";
    expect_ids(&p.filter, 0, 50, &smtp, 1);
    p.filter.n_error_types = 0;
    expect_ids(&p.filter, 0, 50, (int64_t[]){disk, smtp}, 2);
    p.filter.error_text = (char *)"MX1";
    expect_ids(&p.filter, 0, 50, NULL, 0);
    /* With ids, another index is used. */
    with_error(of_queue(&p, "errors"), "Smtp");
    p.filter.ids = (int64_t[]){smtp, disk};
    p.filter.n_ids = 2;
    expect_ids(&p.filter, 0, 50, &smtp, 1);
    /* Put back, it has no error any more. */
    job_free(call_retry(channel, again, "", &err));
    with_error(of_queue(&p, "errors"), "Smtp");
    expect_ids(&p.filter, 0, 50, &smtp, 1);
    with_error(&p, "Unheard");
    expect_ids(&p.filter, 0, 50, NULL, 0);
}

static int64_t with(const char *queue, const char *payload)
{
    Joblog__V1__JobSpec spec = spec_of("mail", queue);
    spec.payload = (char *)payload;
    return must_dispatch(channel, &spec);
}

static void payloads_are_searched(void **state)
{
    (void)state;
    struct parts p;
    int64_t ana = with("payload", "{\"user\":{\"email\":\"ana@example.org\",\"age\":42},\"tags\":[\"a\",\"b\"]}");
    int64_t bea = with("payload", "{\"user\":{\"email\":\"bea@example.com\",\"age\":7},\"tags\":[\"c\"]}");
    int64_t none = with("payload", "{\"user\":null}");
    of_queue(&p, "payload");
    with_payload(&p, "user.email", "ana@example.org", NULL);
    expect_ids(&p.filter, 0, 50, &ana, 1);
    with_payload(&p, "user.email", NULL, "@example.");
    expect_ids(&p.filter, 0, 50, (int64_t[]){bea, ana}, 2);
    with_payload(&p, "user.age", "42", NULL);
    expect_ids(&p.filter, 0, 50, &ana, 1);
    with_payload(&p, "tags.0", "c", NULL);
    expect_ids(&p.filter, 0, 50, &bea, 1);
    with_payload(&p, "user", NULL, NULL);
    expect_ids(&p.filter, 0, 50, (int64_t[]){bea, ana}, 2);
    with_payload(&p, "nothing.there", NULL, NULL);
    expect_ids(&p.filter, 0, 50, NULL, 0);
    /* Text that would be something to SQL is text. */
    with_payload(&p, "user.email", "' OR 1=1 --", NULL);
    expect_ids(&p.filter, 0, 50, NULL, 0);
    with_payload(&p, "user.email", NULL, "%");
    expect_ids(&p.filter, 0, 50, NULL, 0);
    of_queue(&p, "payload");
    expect_ids(&p.filter, 0, 50, (int64_t[]){none, bea, ana}, 3);
}

/* What no index knows is looked for among so many jobs a call; pages without jobs lead on. */
static void a_long_search_goes_on_page_by_page(void **state)
{
    (void)state;
    enum { MANY = 2300 };
    struct parts p;
    struct err err = ERR_NONE;
    int64_t first = with("long", "{\"needle\":1}");
    struct crpc_stream *stream = joblog_v1_job_log_service_dispatch_jobs_open(channel, &options, &err);
    assert_non_null(stream);
    Joblog__V1__JobSpec spec = spec_of("mail", "long");
    Joblog__V1__DispatchJobRequest one = JOBLOG__V1__DISPATCH_JOB_REQUEST__INIT, *jobs[MANY / 5];
    Joblog__V1__DispatchJobsRequest request = JOBLOG__V1__DISPATCH_JOBS_REQUEST__INIT;
    one.job = &spec;
    for (int i = 0; i < MANY / 5; i++)
        jobs[i] = &one;
    request.jobs = jobs;
    request.n_jobs = MANY / 5;
    for (int i = 0; i < 5; i++) {
        Joblog__V1__DispatchJobsResponse *response = NULL;
        assert_int_equal(joblog_v1_job_log_service_dispatch_jobs_write(stream, &request, &err), 0);
        assert_int_equal(joblog_v1_job_log_service_dispatch_jobs_read(stream, &response, &err), 1);
        crpc_message_free(&response->base);
    }
    assert_int_equal(crpc_stream_close_write(stream, NULL), 0);
    crpc_stream_free(stream);
    of_queue(&p, "long");
    with_payload(&p, "needle", "1", NULL);
    /* In how many calls is a matter of the machine's speed. */
    assert_in_range(expect_ids(&p.filter, 0, 10, &first, 1), 1, MANY / 100 + 1);
    assert_in_range(expect_ids(&p.filter, JOBLOG__V1__JOB_ORDER__JOB_ORDER_OLDEST_FIRST, 10, &first, 1), 1,
                    MANY / 100 + 1);
}

static void times_of_start_and_end_restrict(void **state)
{
    (void)state;
    struct parts p;
    struct err err = ERR_NONE;
    struct test_worker *worker = worker_open(channel, "w", "times", 1);
    int64_t first = failed_job(worker, "times", "E", "m"), second = failed_job(worker, "times", "E", "m");
    int64_t waits;
    worker_end(worker, true, NULL);
    waits = with("times", "{}");
    Joblog__V1__Job *job = call_get(channel, second, false, &err);
    of_queue(&p, "times");
    p.filter.end_time_from = job->end_time;
    expect_ids(&p.filter, 0, 50, &second, 1);
    p.filter.end_time_from = NULL;
    p.filter.end_time_before = job->end_time;
    expect_ids(&p.filter, 0, 50, &first, 1);
    p.filter.end_time_before = NULL;
    p.filter.start_time_from = job->start_time;
    expect_ids(&p.filter, 0, 50, &second, 1);
    p.filter.start_time_from = NULL;
    p.filter.start_time_before = job->start_time;
    expect_ids(&p.filter, 0, 50, &first, 1);
    p.filter.start_time_before = NULL;
    expect_ids(&p.filter, 0, 50, (int64_t[]){waits, second, first}, 3);
    job_free(job);
}

static void orders_have_tokens_of_their_own(void **state)
{
    (void)state;
    enum { N = 7 };
    struct parts p;
    struct err err = ERR_NONE;
    int64_t ids[N], down[N];
    for (int i = 0; i < N; i++)
        down[N - 1 - i] = ids[i] = with("order", "{}");
    of_queue(&p, "order");
    assert_int_equal(expect_ids(&p.filter, JOBLOG__V1__JOB_ORDER__JOB_ORDER_OLDEST_FIRST, 3, ids, N), 3);
    assert_int_equal(expect_ids(&p.filter, JOBLOG__V1__JOB_ORDER__JOB_ORDER_NEWEST_FIRST, 3, down, N), 3);
    Joblog__V1__JobStatus pending = PENDING;
    p.filter.statuses = &pending;
    p.filter.n_statuses = 1;
    expect_ids(&p.filter, JOBLOG__V1__JOB_ORDER__JOB_ORDER_OLDEST_FIRST, 3, ids, N);
    Joblog__V1__ListJobsResponse *page = list(&p.filter, 3, "", JOBLOG__V1__JOB_ORDER__JOB_ORDER_OLDEST_FIRST, &err);
    assert_non_null(page);
    assert_null(list(&p.filter, 3, page->next_page_token, 0, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "page_token");
    crpc_message_free(&page->base);
    assert_null(list(&p.filter, 3, "", (Joblog__V1__JobOrder)9, &err));
    assert_string_equal(err.field, "order");
}

/* Jobs that begin to match, and those that cease to because their error is gone. */
static void a_watch_follows_errors(void **state)
{
    (void)state;
    struct parts p;
    struct err err = ERR_NONE;
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    Joblog__V1__WatchJobsResponse *m = NULL;
    with_error(of_queue(&p, "watched"), "Smtp");
    p.filter.error_text = (char *)"away";
    request.filter = &p.filter;
    struct crpc_stream *watch = joblog_v1_job_log_service_watch_jobs_open(channel, &options, &request, &err);
    assert_int_equal(joblog_v1_job_log_service_watch_jobs_read(watch, &m, &err), 1);
    assert_int_equal(m->event_case, JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END);
    crpc_message_free(&m->base);
    struct test_worker *worker = worker_open(channel, "w", "watched", 1);
    failed_job(worker, "watched", "Disk", "is away");
    failed_job(worker, "watched", "Smtp", "is back");
    int64_t id = failed_job(worker, "watched", "Smtp", "is away");
    worker_end(worker, true, NULL);
    job_free(call_retry(channel, id, "", &err));
    for (int i = 0; i < 2;) {
        assert_int_equal(joblog_v1_job_log_service_watch_jobs_read(watch, &m, &err), 1);
        if (m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB) {
            assert_int_equal(m->job->id, id);
            assert_int_equal(m->job->status, i == 0 ? FAILED : PENDING);
            i++;
        }
        crpc_message_free(&m->base);
    }
    crpc_stream_cancel(watch);
    crpc_stream_free(watch);
}

static void expect_bad(const Joblog__V1__JobFilter *filter, const char *field, const char *watch_field)
{
    struct err err = ERR_NONE;
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    Joblog__V1__WatchJobsResponse *m = NULL;
    if (field) {
        assert_null(list(filter, 10, "", 0, &err));
        assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
        assert_string_equal(err.field, field);
    }
    request.filter = (Joblog__V1__JobFilter *)filter;
    struct crpc_stream *watch = joblog_v1_job_log_service_watch_jobs_open(channel, &options, &request, &err);
    assert_int_not_equal(joblog_v1_job_log_service_watch_jobs_read(watch, &m, &err), 1);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, watch_field);
    crpc_stream_free(watch);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static char text[202];
    struct parts p;
    Joblog__V1__PayloadMatch *many[11];
    memset(text, 'x', 201);
    with_error(of_queue(&p, "bad"), "");
    expect_bad(&p.filter, "filter.error_types[0]", "filter.error_types[0]");
    of_queue(&p, "bad")->filter.error_text = text;
    expect_bad(&p.filter, "filter.error_text", "filter.error_text");
    with_payload(of_queue(&p, "bad"), "", "x", NULL);
    expect_bad(&p.filter, "filter.payload[0].path", "filter.payload[0].path");
    with_payload(of_queue(&p, "bad"), "a", text, NULL);
    expect_bad(&p.filter, "filter.payload[0].equals", "filter.payload[0].equals");
    with_payload(of_queue(&p, "bad"), "a", NULL, text);
    expect_bad(&p.filter, "filter.payload[0].contains", "filter.payload[0].contains");
    for (int i = 0; i < 11; i++)
        many[i] = &p.match;
    with_payload(&p, "a", "b", NULL);
    p.filter.payload = many;
    p.filter.n_payload = 11;
    expect_bad(&p.filter, "filter.payload", "filter.payload");
    of_queue(&p, "bad")->filter.end_time_from = &p.from;
    p.from.nanos = -1;
    expect_bad(&p.filter, "filter.end_time_from", "filter.end_time_from");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_found_by_type_and_text),  cmocka_unit_test(payloads_are_searched),
        cmocka_unit_test(a_long_search_goes_on_page_by_page), cmocka_unit_test(times_of_start_and_end_restrict),
        cmocka_unit_test(orders_have_tokens_of_their_own),    cmocka_unit_test(a_watch_follows_errors),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
