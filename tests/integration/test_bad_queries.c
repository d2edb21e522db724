/* Statistics and clean-ups that make no sense are refused by a real joblogd, with the field at fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

static struct server_fixture *server;
static struct crpc_channel *channel;
static char long_text[301];
static char *text_300 = long_text;

static int setup(void **state)
{
    (void)state;
    memset(long_text, 'x', 300);
    server = server_fixture_start(NULL);
    channel = server ? channel_open(server, NULL) : NULL;
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

static void expect(const struct err *err, enum err_code code, const char *field)
{
    if (err->code != code || strcmp(err->field, field) != 0)
        print_error("got %s %s: %s\n", err_code_name((int)err->code), err->field, err->msg);
    assert_int_equal(err->code, code);
    assert_string_equal(err->field, field);
}

static void expect_cleanup_refused(const Joblog__V1__CleanupJobsRequest *request, const char *field)
{
    Joblog__V1__CleanupJobsResponse *response = NULL;
    struct err err = ERR_NONE;
    joblog_v1_job_log_service_cleanup_jobs(channel, NULL, request, &response, &err);
    assert_null(response);
    expect(&err, ERR_INVALID_ARGUMENT, field);
}

static void cleanups_must_make_sense(void **state)
{
    (void)state;
    Joblog__V1__CleanupJobsRequest request = JOBLOG__V1__CLEANUP_JOBS_REQUEST__INIT;
    Google__Protobuf__Duration older = GOOGLE__PROTOBUF__DURATION__INIT;
    Joblog__V1__JobStatus statuses[] = {JOBLOG__V1__JOB_STATUS__JOB_STATUS_FAILED, (Joblog__V1__JobStatus)0};
    static const int open[] = {0, 1, 2, 6, 1000, -1};
    expect_cleanup_refused(&request, "older_than");
    request.older_than = &older;
    older.seconds = -1;
    expect_cleanup_refused(&request, "older_than");
    older.seconds = INT64_MAX;
    expect_cleanup_refused(&request, "older_than");
    older.seconds = 3600;
    request.limit = -1;
    expect_cleanup_refused(&request, "limit");
    request.limit = 1000001;
    expect_cleanup_refused(&request, "limit");
    request.limit = 1;
    request.statuses = statuses;
    request.n_statuses = 2;
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        statuses[1] = (Joblog__V1__JobStatus)open[i];
        expect_cleanup_refused(&request, "statuses");
    }
    request.n_statuses = 1;
    request.job_names = &text_300;
    request.n_job_names = 1;
    expect_cleanup_refused(&request, "job_names[0]");
    request.n_job_names = 0;
    request.page_token = (char *)"not one of ours";
    expect_cleanup_refused(&request, "page_token");
}

static void statistics_must_make_sense(void **state)
{
    (void)state;
    Joblog__V1__GetJobStatsRequest request = JOBLOG__V1__GET_JOB_STATS_REQUEST__INIT;
    Google__Protobuf__Duration range = GOOGLE__PROTOBUF__DURATION__INIT;
    Joblog__V1__JobStats *stats = NULL;
    struct err err = ERR_NONE;
    static const int64_t seconds[] = {0, -1, 1001 * 24 * 3600};
    request.range = &range;
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        range.seconds = seconds[i];
        joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err);
        assert_null(stats);
        expect(&err, ERR_INVALID_ARGUMENT, "range");
    }
    request.bucket = (Joblog__V1__StatsBucket)4;
    range.seconds = 3600;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err),
                     -ERR_INVALID_ARGUMENT);
    expect(&err, ERR_INVALID_ARGUMENT, "bucket");
    request.bucket = JOBLOG__V1__STATS_BUCKET__STATS_BUCKET_MINUTE; /* too many parts */
    range.seconds = 26 * 3600;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err),
                     -ERR_INVALID_ARGUMENT);
    expect(&err, ERR_INVALID_ARGUMENT, "bucket");
    Google__Protobuf__Timestamp end = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    request.range_end = &end; /* too long ago for minutes */
    end.seconds = 1700000000;
    range.seconds = 3600;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err),
                     -ERR_INVALID_ARGUMENT);
    expect(&err, ERR_INVALID_ARGUMENT, "bucket");
    request.bucket =
        JOBLOG__V1__STATS_BUCKET__STATS_BUCKET_HOUR; /* 1500 parts, the first and the last of them cut; 1501 */
    range.seconds = INT64_C(1499) * 3600;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err), 0);
    assert_int_equal(stats->n_buckets, 1500);
    crpc_message_free(&stats->base);
    stats = NULL;
    range.seconds = INT64_C(1500) * 3600;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err),
                     -ERR_INVALID_ARGUMENT);
    expect(&err, ERR_INVALID_ARGUMENT, "bucket");
    request.bucket = JOBLOG__V1__STATS_BUCKET__STATS_BUCKET_UNSPECIFIED;
    range.seconds = 3600;
    end.nanos = -1;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err),
                     -ERR_INVALID_ARGUMENT);
    expect(&err, ERR_INVALID_ARGUMENT, "range_end");
    request.range_end = NULL;
    request.range = NULL;
    request.job_names = &text_300;
    request.n_job_names = 1;
    joblog_v1_job_log_service_get_job_stats(channel, NULL, &request, &stats, &err);
    expect(&err, ERR_INVALID_ARGUMENT, "job_names[0]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_must_make_sense),
        cmocka_unit_test(cleanups_must_make_sense),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
