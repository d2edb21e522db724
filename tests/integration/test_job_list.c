/* JobLogService against a real joblogd, many jobs: pages, filters, watches of many, statistics, statuses. Each test has
 * a queue of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

#define PENDING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING
#define RUNNING   JOBLOG__V1__JOB_STATUS__JOB_STATUS_RUNNING
#define COMPLETED JOBLOG__V1__JOB_STATUS__JOB_STATUS_COMPLETED
#define FAILED    JOBLOG__V1__JOB_STATUS__JOB_STATUS_FAILED
#define CANCELLED JOBLOG__V1__JOB_STATUS__JOB_STATUS_CANCELLED

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

/* ---- lists ---- */

static Joblog__V1__ListJobsResponse *list(const Joblog__V1__JobFilter *filter, int32_t page_size, const char *token,
                                          struct err *ret_err)
{
    Joblog__V1__ListJobsRequest request = JOBLOG__V1__LIST_JOBS_REQUEST__INIT;
    Joblog__V1__ListJobsResponse *response = NULL;
    request.filter = (Joblog__V1__JobFilter *)filter;
    request.page_size = page_size;
    request.page_token = (char *)token;
    joblog_v1_job_log_service_list_jobs(channel, NULL, &request, &response, ret_err);
    return response;
}

static size_t count(const Joblog__V1__JobFilter *filter)
{
    struct err err = ERR_NONE;
    Joblog__V1__ListJobsResponse *page = list(filter, 1000, "", &err);
    assert_non_null(page);
    size_t n = page->n_jobs;
    crpc_message_free(&page->base);
    return n;
}

static void pages_hold_every_job_once_newest_first(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    int64_t ids[25];
    Joblog__V1__JobSpec spec = spec_of("page", "page");
    spec.batch = (char *)"pages";
    for (int i = 0; i < 25; i++)
        ids[i] = must_dispatch(channel, &spec);
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    filter.batch = (char *)"pages";
    char token[128] = "";
    int at = 25;
    for (int page_number = 0; page_number < 3; page_number++) {
        Joblog__V1__ListJobsResponse *page = list(&filter, 10, token, &err);
        assert_non_null(page);
        assert_int_equal(page->n_jobs, page_number < 2 ? 10 : 5);
        for (size_t i = 0; i < page->n_jobs; i++)
            assert_int_equal(page->jobs[i]->id, ids[--at]);
        snprintf(token, sizeof token, "%s", page->next_page_token);
        assert_true((token[0] != 0) == (page_number < 2));
        crpc_message_free(&page->base);
    }
    /* The token of one filter is none of another's. */
    Joblog__V1__ListJobsResponse *page = list(&filter, 10, "", &err);
    filter.batch = (char *)"others";
    assert_null(list(&filter, 10, page->next_page_token, &err));
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "page_token");
    crpc_message_free(&page->base);
}

static void a_page_of_large_jobs_ends_early(void **state)
{
    (void)state;
    enum { N = 150 };
    static char message[16 * 1024 + 1];
    struct err err = ERR_NONE;
    Joblog__V1__JobSpec spec = spec_of("large", "large");
    memset(message, 'm', sizeof message - 1);
    for (int i = 0; i < N; i++)
        must_dispatch(channel, &spec);
    struct test_worker *worker = worker_open(channel, "w", "large", N);
    uint64_t last = 0;
    for (int i = 0; i < N; i++)
        last = worker_fail(worker, worker_lease(worker), "E", message, "", true);
    assert_int_equal(worker_answer(worker, last, NULL), 0);
    worker_end(worker, true, NULL);
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    char *queue = (char *)"large", token[128] = "";
    filter.queues = &queue;
    filter.n_queues = 1;
    size_t pages = 0, jobs = 0;
    do {
        Joblog__V1__ListJobsResponse *page = list(&filter, 1000, token, &err);
        assert_non_null(page);
        assert_true(page->n_jobs > 0 && page->n_jobs < N);
        jobs += page->n_jobs;
        pages++;
        snprintf(token, sizeof token, "%s", page->next_page_token);
        crpc_message_free(&page->base);
    } while (token[0]);
    assert_int_equal(jobs, N);
    assert_int_equal(pages, 2);
}

static void filters_choose(void **state)
{
    (void)state;
    Joblog__V1__Source source = JOBLOG__V1__SOURCE__INIT;
    Joblog__V1__JobSpec__LabelsEntry color = JOBLOG__V1__JOB_SPEC__LABELS_ENTRY__INIT, *labels[] = {&color};
    color.key = (char *)"color";
    Joblog__V1__JobSpec spec = spec_of("filter", "filter");
    spec.labels = labels;
    spec.n_labels = 1;
    spec.source = &source;
    source.type = (char *)"Order";
    color.value = (char *)"red";
    source.id = (char *)"1";
    spec.owner = (char *)"ana";
    int64_t red = must_dispatch(channel, &spec);
    color.value = (char *)"blue";
    source.id = (char *)"2";
    spec.owner = (char *)"bob";
    int64_t blue = must_dispatch(channel, &spec);
    job_free(call_cancel(channel, blue, "", NULL));

    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    char *queue = (char *)"filter";
    filter.queues = &queue;
    filter.n_queues = 1;
    assert_int_equal(count(&filter), 2);
    Joblog__V1__JobFilter by = filter;
    by.owner = (char *)"ana";
    assert_int_equal(count(&by), 1);
    by = filter;
    Joblog__V1__JobFilter__LabelsEntry want = JOBLOG__V1__JOB_FILTER__LABELS_ENTRY__INIT, *wants[] = {&want};
    want.key = (char *)"color";
    want.value = (char *)"blue";
    by.labels = wants;
    by.n_labels = 1;
    assert_int_equal(count(&by), 1);
    want.value = (char *)"green";
    assert_int_equal(count(&by), 0);
    by = filter;
    Joblog__V1__JobStatus status = CANCELLED;
    by.statuses = &status;
    by.n_statuses = 1;
    assert_int_equal(count(&by), 1);
    by = filter;
    Joblog__V1__Source any_order = JOBLOG__V1__SOURCE__INIT;
    any_order.type = (char *)"Order";
    by.source = &any_order;
    assert_int_equal(count(&by), 2);
    any_order.id = (char *)"2";
    assert_int_equal(count(&by), 1);
    by = filter;
    by.ids = &red;
    by.n_ids = 1;
    assert_int_equal(count(&by), 1);
    by = filter;
    Google__Protobuf__Timestamp long_ago = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    long_ago.seconds = 1000000000;
    by.create_time_from = &long_ago;
    assert_int_equal(count(&by), 2);
    by.create_time_from = NULL;
    by.create_time_before = &long_ago;
    assert_int_equal(count(&by), 0);
}

/* ---- watches of many ---- */

static struct crpc_stream *watch_many(const Joblog__V1__JobFilter *filter, bool until_final)
{
    static const struct crpc_call_options options = {.timeout_ms = CALL_TIMEOUT_MS};
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    request.filter = (Joblog__V1__JobFilter *)filter;
    request.until_final = until_final;
    struct crpc_stream *watch = joblog_v1_job_log_service_watch_jobs_open(channel, &options, &request, NULL);
    assert_non_null(watch);
    return watch;
}

/* id 0: the end of the snapshot. */
static void expect_event(struct crpc_stream *watch, int64_t id, Joblog__V1__JobStatus status)
{
    Joblog__V1__WatchJobsResponse *m = NULL;
    struct err err = ERR_NONE;
    do {
        if (m)
            crpc_message_free(&m->base); /* an idle mark may come at any time */
        if (joblog_v1_job_log_service_watch_jobs_read(watch, &m, &err) != 1)
            fail_msg("the watch has ended: %s %s", err_code_name((int)err.code), err.msg);
    } while (m->event_case == JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_IDLE);
    if (id == 0) {
        assert_int_equal(m->event_case, JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_SNAPSHOT_END);
    } else {
        assert_int_equal(m->event_case, JOBLOG__V1__WATCH_JOBS_RESPONSE__EVENT_JOB);
        assert_int_equal(m->job->id, id);
        assert_int_equal(m->job->status, status);
    }
    crpc_message_free(&m->base);
}

static void expect_many_end(struct crpc_stream *watch)
{
    Joblog__V1__WatchJobsResponse *m = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(joblog_v1_job_log_service_watch_jobs_read(watch, &m, &err), 0);
    crpc_stream_free(watch);
}

static void a_batch_is_watched_to_its_end(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("batch", "batch");
    spec.batch = (char *)"import-7";
    int64_t first = must_dispatch(channel, &spec), second = must_dispatch(channel, &spec);
    job_free(call_cancel(channel, first, "", NULL));
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    filter.batch = (char *)"import-7";
    struct crpc_stream *watch = watch_many(&filter, true);
    expect_event(watch, second, PENDING);
    expect_event(watch, first, CANCELLED);
    expect_event(watch, 0, PENDING);
    int64_t third = must_dispatch(channel, &spec);
    expect_event(watch, third, PENDING);
    job_free(call_cancel(channel, second, "", NULL));
    expect_event(watch, second, CANCELLED);
    job_free(call_cancel(channel, third, "", NULL));
    expect_event(watch, third, CANCELLED);
    expect_many_end(watch);
    /* A batch without jobs has none that is not final. */
    filter.batch = (char *)"nothing";
    watch = watch_many(&filter, true);
    expect_event(watch, 0, PENDING);
    expect_many_end(watch);
}

static void a_watch_by_status_tells_when_a_job_leaves(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("leave", "leave");
    int64_t id = must_dispatch(channel, &spec);
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    char *queue = (char *)"leave";
    Joblog__V1__JobStatus status = PENDING;
    filter.queues = &queue;
    filter.n_queues = 1;
    filter.statuses = &status;
    filter.n_statuses = 1;
    struct crpc_stream *watch = watch_many(&filter, false);
    expect_event(watch, id, PENDING);
    expect_event(watch, 0, PENDING);
    job_free(call_cancel(channel, id, "", NULL)); /* leaves, and is sent once more */
    expect_event(watch, id, CANCELLED);
    job_free(call_retry(channel, id, "", NULL)); /* comes back */
    expect_event(watch, id, PENDING);
    crpc_stream_cancel(watch);
    crpc_stream_free(watch);
}

/* ---- statistics and statuses ---- */

static void statistics_are_exact(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__JobSpec spec = spec_of("stats", "stats");
    for (int i = 0; i < 4; i++)
        must_dispatch(channel, &spec);
    struct test_worker *worker = worker_open(channel, "w", "stats", 2);
    for (int i = 0; i < 2; i++) {
        struct test_lease lease = worker_lease(worker);
        uint64_t write = i == 0 ? worker_complete(worker, lease, "") : worker_fail(worker, lease, "E", "e", "", false);
        assert_int_equal(worker_answer(worker, write, NULL), 0);
    }
    Joblog__V1__GetJobStatsRequest request = JOBLOG__V1__GET_JOB_STATS_REQUEST__INIT;
    Joblog__V1__JobStats *stats = NULL;
    char *name = (char *)"stats";
    request.job_names = &name;
    request.n_job_names = 1;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err), 0);
    assert_int_equal(stats->n_rows, 1);
    assert_string_equal(stats->rows[0]->job_name, "stats");
    assert_string_equal(stats->rows[0]->queue, "stats");
    assert_int_equal(stats->total->counts->pending, 2);
    assert_int_equal(stats->total->counts->running, 0);
    assert_int_equal(stats->total->counts->completed, 1);
    assert_int_equal(stats->total->counts->failed, 1);
    assert_int_equal(stats->total->dispatched, 4);
    assert_int_equal(stats->total->completed, 1);
    assert_int_equal(stats->total->failed, 1);
    assert_int_equal(stats->total->execution->count, 2);
    assert_non_null(stats->range_start);
    /* From the whole hour on. */
    assert_int_equal(stats->range_start->seconds % 3600, 0);
    assert_in_range(stats->range_end->seconds - stats->range_start->seconds, 24 * 3600, 25 * 3600);
    assert_true(stats->total->failure_rate == 0.5);
    assert_true(stats->total->throughput > 0 && stats->total->throughput < 1.0 / (24 * 3600) + 1e-9);
    assert_non_null(stats->total->waiting_since);
    assert_in_range(stats->total->waiting_since->seconds, stats->range_end->seconds - 60, stats->range_end->seconds);
    assert_true(stats->workers >= 1);
    assert_int_equal(stats->n_buckets, 0);
    crpc_message_free(&stats->base);
    worker_end(worker, true, NULL);
}

static void statistics_come_in_parts(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__JobSpec spec = spec_of("parts", "parts");
    for (int i = 0; i < 3; i++)
        must_dispatch(channel, &spec);
    Joblog__V1__GetJobStatsRequest request = JOBLOG__V1__GET_JOB_STATS_REQUEST__INIT;
    Google__Protobuf__Duration range = GOOGLE__PROTOBUF__DURATION__INIT;
    static const struct {
        Joblog__V1__StatsBucket bucket;
        int64_t length_s;
    } parts[] = {{JOBLOG__V1__STATS_BUCKET__STATS_BUCKET_MINUTE, 60},
                 {JOBLOG__V1__STATS_BUCKET__STATS_BUCKET_HOUR, 3600},
                 {JOBLOG__V1__STATS_BUCKET__STATS_BUCKET_DAY, 24 * 3600}};
    char *name = (char *)"parts";
    request.job_names = &name;
    request.n_job_names = 1;
    request.range = &range;
    for (size_t i = 0; i < 3; i++) {
        Joblog__V1__JobStats *stats = NULL;
        int64_t sum = 0;
        request.bucket = parts[i].bucket;
        range.seconds = 10 * parts[i].length_s;
        assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err), 0);
        assert_in_range(stats->n_buckets, 10, 11);
        for (size_t k = 0; k < stats->n_buckets; k++) {
            assert_int_equal(stats->buckets[k]->start->seconds,
                             stats->range_start->seconds + (int64_t)k * parts[i].length_s);
            assert_int_equal(stats->buckets[k]->start->seconds % parts[i].length_s, 0);
            sum += stats->buckets[k]->dispatched;
        }
        assert_int_equal(sum, 3);
        assert_int_equal(stats->total->dispatched, 3);
        crpc_message_free(&stats->base);
    }
    /* A range that ended before: nothing. */
    Google__Protobuf__Timestamp end = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Joblog__V1__JobStats *stats = NULL;
    end.seconds = 1700000000;
    request.range_end = &end;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err), 0);
    assert_int_equal(stats->total->dispatched, 0);
    assert_int_equal(stats->total->counts->pending, 3);
    assert_int_equal(stats->range_end->seconds, end.seconds / 3600 * 3600 + 3600); /* with its hour */
    crpc_message_free(&stats->base);
}

/* An hour of a week ago, of which minutes need not be kept: whole hours, and the answer says which. */
static void statistics_of_a_short_range_that_lies_back(void **state)
{
    (void)state;
    Joblog__V1__GetJobStatsRequest request = JOBLOG__V1__GET_JOB_STATS_REQUEST__INIT;
    Google__Protobuf__Duration range = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Timestamp end = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Joblog__V1__JobStats *stats = NULL;
    struct err err = ERR_NONE;
    int64_t now_s = clock_wall_us() / 1000000, hour = 3600, day = 24 * hour;
    request.range = &range;
    request.range_end = &end;
    range.seconds = hour;
    end.seconds = (now_s - 7 * day) / hour * hour + 1800;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err), 0);
    assert_int_equal(stats->range_start->seconds, end.seconds - 1800 - hour);
    assert_int_equal(stats->range_end->seconds, end.seconds + 1800);
    crpc_message_free(&stats->base);
    /* Of yesterday there are minutes. */
    end.seconds += 6 * day;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err), 0);
    assert_int_equal(stats->range_start->seconds, end.seconds - hour);
    assert_int_equal(stats->range_end->seconds, end.seconds);
    crpc_message_free(&stats->base);
    end.seconds -= 6 * day;
    request.bucket = JOBLOG__V1__STATS_BUCKET__STATS_BUCKET_MINUTE;
    assert_true(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err) < 0);
    assert_string_equal(err.field, "bucket");
    assert_non_null(strstr(err.msg, "ask for hours"));
    range.seconds = 1000 * day + 1;
    assert_true(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err) < 0);
    assert_string_equal(err.msg, "range must be at most 1000 days");
}

static void statuses_have_labels_in_spanish(void **state)
{
    (void)state;
    static const char *const labels[] = {"Pendiente", "Ejecutándose", "Completado", "Fallido", "Cancelado"};
    struct err err = ERR_NONE;
    Joblog__V1__ListJobStatusesRequest request = JOBLOG__V1__LIST_JOB_STATUSES_REQUEST__INIT;
    Joblog__V1__ListJobStatusesResponse *response = NULL;
    request.language = (char *)"es";
    assert_int_equal(joblog_v1_job_log_service_list_job_statuses(channel, NULL, &request, &response, &err), 0);
    assert_int_equal(response->n_statuses, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(response->statuses[i]->status, i + 1);
        assert_string_equal(response->statuses[i]->label, labels[i]);
    }
    assert_string_equal(response->statuses[1]->name, "running");
    assert_string_equal(response->statuses[1]->color, "blue");
    assert_string_equal(response->statuses[1]->icon, "play");
    crpc_message_free(&response->base);
    /* A language that is not there: English. */
    request.language = (char *)"tlh";
    assert_int_equal(joblog_v1_job_log_service_list_job_statuses(channel, NULL, &request, &response, &err), 0);
    assert_int_equal(response->n_statuses, 5);
    assert_string_equal(response->statuses[1]->label, "Running");
    crpc_message_free(&response->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_hold_every_job_once_newest_first),
        cmocka_unit_test(a_page_of_large_jobs_ends_early),
        cmocka_unit_test(filters_choose),
        cmocka_unit_test(a_batch_is_watched_to_its_end),
        cmocka_unit_test(a_watch_by_status_tells_when_a_job_leaves),
        cmocka_unit_test(statistics_are_exact),
        cmocka_unit_test(statistics_come_in_parts),
        cmocka_unit_test(statistics_of_a_short_range_that_lies_back),
        cmocka_unit_test(statuses_have_labels_in_spanish),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
