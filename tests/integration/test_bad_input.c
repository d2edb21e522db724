/* Bad input against a real joblogd: each is answered with the right code, names the field, and changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

static struct server_fixture *server;
static struct crpc_channel *channel;
static char *text_300, *text_300k;

static int setup(void **state)
{
    (void)state;
    static const char *const args[] = {"--max-message-bytes=1048576", NULL};
    text_300 = calloc(1, 301);
    text_300k = calloc(1, 300 * 1024 + 1);
    memset(text_300, 'x', 300);
    memset(text_300k, ' ', 300 * 1024);
    memcpy(text_300k, "{}", 2);
    server = server_fixture_start(&(struct server_fixture_options){.args = args});
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
    free(text_300);
    free(text_300k);
    return code;
}

static size_t jobs_in_all(void)
{
    Joblog__V1__ListJobsRequest request = JOBLOG__V1__LIST_JOBS_REQUEST__INIT;
    Joblog__V1__ListJobsResponse *response = NULL;
    request.page_size = 1000;
    assert_int_equal(joblog_v1_job_log_service_list_jobs(channel, NULL, &request, &response, NULL), 0);
    size_t n = response->n_jobs;
    crpc_message_free(&response->base);
    return n;
}

static void expect(const struct err *err, enum err_code code, const char *field)
{
    if (err->code != code || strcmp(err->field, field) != 0)
        print_error("got %s %s: %s\n", err_code_name((int)err->code), err->field, err->msg);
    assert_int_equal(err->code, code);
    assert_string_equal(err->field, field);
    assert_true(err->msg[0] != 0);
}

/* ---- dispatch ---- */

static void refused(const Joblog__V1__JobSpec *spec, const char *request_id, const char *field)
{
    struct err err = ERR_NONE;
    assert_null(call_dispatch(channel, spec, request_id, &err));
    expect(&err, ERR_INVALID_ARGUMENT, field);
}

static void a_spec_must_keep_its_limits(void **state)
{
    (void)state;
    Joblog__V1__JobSpec good = spec_of("good", "bad_input"), spec;
    Joblog__V1__Source source = JOBLOG__V1__SOURCE__INIT;
    refused(NULL, NULL, "job");
#define REFUSED_WITH(change, field) (spec = good, change, refused(&spec, NULL, field))
    REFUSED_WITH(spec.job_name = (char *)"", "job.job_name");
    REFUSED_WITH(spec.job_name = text_300, "job.job_name");
    REFUSED_WITH(spec.queue = text_300, "job.queue");
    REFUSED_WITH(spec.owner = text_300, "job.owner");
    REFUSED_WITH(spec.batch = text_300, "job.batch");
    REFUSED_WITH(spec.traceparent = text_300, "job.traceparent");
    REFUSED_WITH(spec.priority = 1001, "job.priority");
    spec.source = NULL;
    good.source = &source;
    REFUSED_WITH(source.id = (char *)"1", "job.source.type");
    source.type = (char *)"User";
    REFUSED_WITH(source.id = text_300, "job.source.id");
    good.source = NULL;
    refused(&good, text_300, "request_id");
    assert_int_equal(jobs_in_all(), 0);
}

static void a_payload_must_be_a_json_object(void **state)
{
    (void)state;
    static const char *const payloads[] = {"{",
                                           "[]",
                                           "1",
                                           "{\"a\": 1,}",
                                           "{\"a\": 1} x",
                                           "{\"a\": 1, \"a\": 2}",
                                           "{\"a\": \"\\u0000\"}",
                                           "{\"a\": \"\\ud800\"}",
                                           "{'a': 1}",
                                           "nul"};
    Joblog__V1__JobSpec spec = spec_of("good", "bad_input");
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        spec.payload = (char *)payloads[i];
        refused(&spec, NULL, "job.payload");
    }
    spec.payload = text_300k;
    refused(&spec, NULL, "job.payload");
    assert_int_equal(jobs_in_all(), 0);
}

static void labels_must_keep_their_limits(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("good", "bad_input");
    Joblog__V1__JobSpec__LabelsEntry entries[33], *pointers[33];
    char keys[33][16];
    for (int i = 0; i < 33; i++) {
        joblog__v1__job_spec__labels_entry__init(&entries[i]);
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        entries[i].key = keys[i];
        pointers[i] = &entries[i];
    }
    spec.labels = pointers;
    spec.n_labels = 33;
    refused(&spec, NULL, "job.labels");
    spec.n_labels = 1;
    entries[0].value = text_300;
    refused(&spec, NULL, "job.labels[\"k0\"]");
    entries[0].value = (char *)"";
    entries[0].key = (char *)"";
    refused(&spec, NULL, "job.labels");
    entries[0].key = text_300;
    refused(&spec, NULL, "job.labels[\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"]");
    assert_int_equal(jobs_in_all(), 0);
}

static void a_retry_policy_must_make_sense(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("good", "bad_input");
    Joblog__V1__RetryPolicy good = JOBLOG__V1__RETRY_POLICY__INIT, policy;
    Google__Protobuf__Duration bad = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Protobuf__Timestamp late = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    spec.retry_policy = &policy;
#define REFUSED_POLICY(change, name) (policy = good, change, refused(&spec, NULL, "job.retry_policy." name))
    REFUSED_POLICY(policy.max_attempts = -1, "max_attempts");
    REFUSED_POLICY(policy.max_attempts = 1001, "max_attempts");
    REFUSED_POLICY(policy.multiplier = 0.5, "multiplier");
    REFUSED_POLICY(policy.multiplier = 101, "multiplier");
    REFUSED_POLICY(policy.multiplier = __builtin_nan(""), "multiplier");
    REFUSED_POLICY(policy.jitter = 1.5, "jitter");
    REFUSED_POLICY(policy.jitter = __builtin_nan(""), "jitter");
    bad.seconds = -1;
    REFUSED_POLICY(policy.initial_backoff = &bad, "initial_backoff");
    bad.seconds = INT64_MAX;
    REFUSED_POLICY(policy.max_backoff = &bad, "max_backoff");
    spec.retry_policy = NULL;
    spec.run_time = &late;
    late.seconds = INT64_MAX;
    refused(&spec, NULL, "job.run_time");
    late.seconds = 0;
    late.nanos = -1;
    refused(&spec, NULL, "job.run_time");
    assert_int_equal(jobs_in_all(), 0);
}

/* ---- bytes that no generated client would send: smuggled in as an unknown field ---- */

static void spec_with_name_bytes(const char *bytes, size_t len, const char *field)
{
    Joblog__V1__JobSpec spec = spec_of("", "bad_input");
    uint8_t data[64] = {(uint8_t)len};
    ProtobufCMessageUnknownField name = {
        .tag = 1, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .len = len + 1, .data = data};
    memcpy(data + 1, bytes, len);
    spec.base.n_unknown_fields = 1;
    spec.base.unknown_fields = &name;
    refused(&spec, NULL, field);
}

static void text_must_be_text(void **state)
{
    (void)state;
    spec_with_name_bytes("a\0b", 3, "job.job_name");
    spec_with_name_bytes("\0", 1, "job.job_name");
    spec_with_name_bytes("a\xff\xfe", 3, "job.job_name");
    spec_with_name_bytes("\xed\xa0\x80", 3, "job.job_name"); /* a surrogate */
    spec_with_name_bytes("\xc0\x80", 2, "job.job_name");     /* a NUL in disguise */
    assert_int_equal(jobs_in_all(), 0);
}

static void a_torn_message_is_refused(void **state)
{
    (void)state;
    Joblog__V1__DispatchJobRequest request = JOBLOG__V1__DISPATCH_JOB_REQUEST__INIT;
    Joblog__V1__Job *job = NULL;
    struct err err = ERR_NONE;
    uint8_t data[] = {100, 'a', 'b'}; /* says 100 bytes, has two */
    ProtobufCMessageUnknownField torn = {
        .tag = 1, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .len = sizeof data, .data = data};
    request.base.n_unknown_fields = 1;
    request.base.unknown_fields = &torn;
    joblog_v1_job_log_service_dispatch_job(channel, NULL, &request, &job, &err);
    assert_null(job);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_int_equal(jobs_in_all(), 0);
}

static void a_message_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    Joblog__V1__JobSpec spec = spec_of("good", "bad_input");
    spec.payload = calloc(1, 2 * 1024 * 1024 + 1);
    memset(spec.payload, ' ', 2 * 1024 * 1024);
    memcpy(spec.payload, "{}", 2);
    assert_null(call_dispatch(channel, &spec, NULL, &err));
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    free(spec.payload);
    assert_int_equal(jobs_in_all(), 0);
}

static void a_caller_must_have_a_plain_name(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct crpc_metadata actor = {.key = "joblog-actor", .value = {text_300, 300}};
    struct crpc_channel_options options = {.metadata = &actor, .n_metadata = 1};
    struct crpc_channel *other = channel_open(server, &options);
    Joblog__V1__JobSpec spec = spec_of("good", "bad_input");
    assert_null(call_dispatch(other, &spec, NULL, &err));
    expect(&err, ERR_INVALID_ARGUMENT, "joblog-actor");
    crpc_channel_free(other);
    assert_int_equal(jobs_in_all(), 0);
}

/* ---- ids, lists, watches, statistics ---- */

static void unknown_ids_are_not_found(void **state)
{
    (void)state;
    static const int64_t ids[] = {1, 4711, INT64_MAX};
    struct err err = ERR_NONE;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        assert_null(call_get(channel, ids[i], false, &err));
        assert_int_equal(err.code, ERR_NOT_FOUND);
        assert_null(call_get(channel, ids[i], true, &err));
        assert_int_equal(err.code, ERR_NOT_FOUND);
        assert_null(call_cancel(channel, ids[i], "", &err));
        assert_int_equal(err.code, ERR_NOT_FOUND);
        assert_null(call_retry(channel, ids[i], "", &err));
        assert_int_equal(err.code, ERR_NOT_FOUND);
        struct crpc_stream *watch = must_watch(channel, ids[i], 0, false);
        assert_null(watch_next(watch, &err));
        assert_int_equal(err.code, ERR_NOT_FOUND);
        crpc_stream_free(watch);
    }
}

static void what_is_no_id_is_refused(void **state)
{
    (void)state;
    static const int64_t ids[] = {0, -1, INT64_MIN};
    struct err err = ERR_NONE;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        assert_null(call_get(channel, ids[i], false, &err));
        expect(&err, ERR_INVALID_ARGUMENT, "id");
        assert_null(call_cancel(channel, ids[i], "", &err));
        expect(&err, ERR_INVALID_ARGUMENT, "id");
        assert_null(call_retry(channel, ids[i], "", &err));
        expect(&err, ERR_INVALID_ARGUMENT, "id");
    }
}

static void list_refused(Joblog__V1__JobFilter *filter, int32_t page_size, const char *token, const char *field)
{
    Joblog__V1__ListJobsRequest request = JOBLOG__V1__LIST_JOBS_REQUEST__INIT;
    Joblog__V1__ListJobsResponse *response = NULL;
    struct err err = ERR_NONE;
    request.filter = filter;
    request.page_size = page_size;
    request.page_token = (char *)token;
    joblog_v1_job_log_service_list_jobs(channel, NULL, &request, &response, &err);
    assert_null(response);
    expect(&err, ERR_INVALID_ARGUMENT, field);
}

static void lists_must_make_sense(void **state)
{
    (void)state;
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    Joblog__V1__Source source = JOBLOG__V1__SOURCE__INIT;
    Joblog__V1__JobStatus status = 99;
    int64_t many[101] = {0}, zero = 0;
    char *long_name = text_300;
    list_refused(NULL, -1, "", "page_size");
    list_refused(NULL, INT32_MIN, "", "page_size");
    list_refused(NULL, 0, "x", "page_token");
    list_refused(NULL, 0, "not a token at all, by any means", "page_token");
    list_refused(NULL, 0, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "page_token");
    list_refused(NULL, 0, text_300, "page_token");
    filter.statuses = &status;
    filter.n_statuses = 1;
    list_refused(&filter, 0, "", "filter.statuses[0]");
    filter.n_statuses = 0;
    filter.ids = many;
    filter.n_ids = 101;
    list_refused(&filter, 0, "", "filter.ids");
    filter.ids = &zero;
    filter.n_ids = 1;
    list_refused(&filter, 0, "", "filter.ids[0]");
    filter.n_ids = 0;
    filter.job_names = &long_name;
    filter.n_job_names = 1;
    list_refused(&filter, 0, "", "filter.job_names[0]");
    filter.n_job_names = 0;
    filter.owner = text_300;
    list_refused(&filter, 0, "", "filter.owner");
    filter.owner = (char *)"";
    filter.source = &source;
    list_refused(&filter, 0, "", "filter.source.type");
    source.type = text_300;
    list_refused(&filter, 0, "", "filter.source.type");
}

static void an_altered_page_token_is_refused(void **state)
{
    (void)state;
    Joblog__V1__JobSpec spec = spec_of("token", "token");
    Joblog__V1__ListJobsRequest request = JOBLOG__V1__LIST_JOBS_REQUEST__INIT;
    Joblog__V1__ListJobsResponse *page = NULL;
    struct err err = ERR_NONE;
    char token[128];
    int64_t ids[2] = {must_dispatch(channel, &spec), must_dispatch(channel, &spec)};
    request.page_size = 1;
    assert_int_equal(joblog_v1_job_log_service_list_jobs(channel, NULL, &request, &page, &err), 0);
    assert_int_equal(page->n_jobs, 1);
    assert_true(strlen(page->next_page_token) > 0);
    assert_int_equal(strspn(page->next_page_token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                     strlen(page->next_page_token));
    for (size_t i = 0; i < strlen(page->next_page_token); i++) {
        snprintf(token, sizeof token, "%s", page->next_page_token);
        token[i] = token[i] == 'A' ? 'B' : 'A';
        list_refused(NULL, 1, token, "page_token");
    }
    snprintf(token, sizeof token, "%.*s", (int)strlen(page->next_page_token) - 1, page->next_page_token);
    list_refused(NULL, 1, token, "page_token");
    crpc_message_free(&page->base);
    for (int i = 0; i < 2; i++)
        job_free(call_cancel(channel, ids[i], "", NULL));
}

static void watch_refused(const Joblog__V1__WatchJobsRequest *request, const char *field)
{
    Joblog__V1__WatchJobsResponse *m = NULL;
    struct err err = ERR_NONE;
    struct crpc_stream *watch = joblog_v1_job_log_service_watch_jobs_open(channel, NULL, request, &err);
    assert_non_null(watch);
    joblog_v1_job_log_service_watch_jobs_read(watch, &m, &err);
    assert_null(m);
    expect(&err, ERR_INVALID_ARGUMENT, field);
    crpc_stream_free(watch);
}

static void watches_must_make_sense(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    struct crpc_stream *watch = must_watch(channel, 1, -1, false);
    assert_null(watch_next(watch, &err));
    expect(&err, ERR_INVALID_ARGUMENT, "after_revision");
    crpc_stream_free(watch);
    Joblog__V1__WatchJobsRequest request = JOBLOG__V1__WATCH_JOBS_REQUEST__INIT;
    Joblog__V1__JobFilter filter = JOBLOG__V1__JOB_FILTER__INIT;
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    request.until_final = true;
    watch_refused(&request, "until_final");
    request.until_final = false;
    request.filter = &filter;
    time.nanos = -1;
    filter.create_time_from = &time;
    watch_refused(&request, "filter.create_time_from");
    filter.create_time_from = NULL;
    filter.create_time_before = &time;
    watch_refused(&request, "filter.create_time_before");
}

static void reasons_must_keep_their_limits(void **state)
{
    (void)state;
    struct err err = ERR_NONE;
    char reason[502];
    memset(reason, 'r', 501);
    reason[501] = 0;
    Joblog__V1__JobSpec spec = spec_of("reason", "reason");
    int64_t id = must_dispatch(channel, &spec);
    assert_null(call_cancel(channel, id, reason, &err));
    expect(&err, ERR_INVALID_ARGUMENT, "reason");
    assert_int_equal(must_status(channel, id), JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING);
    assert_null(call_retry(channel, id, "not failed", &err));
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "JOB_TRANSITION_REFUSED");
    assert_int_equal(must_status(channel, id), JOBLOG__V1__JOB_STATUS__JOB_STATUS_PENDING);
    job_free(call_cancel(channel, id, "", NULL));
}

/* ---- own work ---- */

static void own_work_must_make_sense(void **state)
{
    (void)state;
    Joblog__V1__StartJobRequest start = JOBLOG__V1__START_JOB_REQUEST__INIT;
    Joblog__V1__StartJobResponse *started = NULL;
    Joblog__V1__JobSpec spec = spec_of("own", "own");
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    struct err err = ERR_NONE;
    size_t before = jobs_in_all();
    spec.run_time = &time;
    start.job = &spec;
    joblog_v1_worker_service_start_job(channel, NULL, &start, &started, &err);
    assert_null(started);
    expect(&err, ERR_INVALID_ARGUMENT, "job.run_time");
    spec.run_time = NULL;
    start.worker = text_300;
    joblog_v1_worker_service_start_job(channel, NULL, &start, &started, &err);
    assert_null(started);
    expect(&err, ERR_INVALID_ARGUMENT, "worker");
    assert_int_equal(jobs_in_all(), before);

    Joblog__V1__CompleteJobRequest complete = JOBLOG__V1__COMPLETE_JOB_REQUEST__INIT;
    Joblog__V1__CompleteWrite result = JOBLOG__V1__COMPLETE_WRITE__INIT;
    Joblog__V1__Job *job = NULL;
    joblog_v1_worker_service_complete_job(channel, NULL, &complete, &job, &err);
    expect(&err, ERR_INVALID_ARGUMENT, "job_id");
    complete.job_id = 4711;
    complete.complete = &result;
    result.result = (char *)"{]";
    joblog_v1_worker_service_complete_job(channel, NULL, &complete, &job, &err);
    expect(&err, ERR_INVALID_ARGUMENT, "complete.result");
    result.result = (char *)"{}";
    joblog_v1_worker_service_complete_job(channel, NULL, &complete, &job, &err);
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "LEASE_LOST");
    assert_null(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spec_must_keep_its_limits),
        cmocka_unit_test(a_payload_must_be_a_json_object),
        cmocka_unit_test(labels_must_keep_their_limits),
        cmocka_unit_test(a_retry_policy_must_make_sense),
        cmocka_unit_test(text_must_be_text),
        cmocka_unit_test(a_torn_message_is_refused),
        cmocka_unit_test(a_message_over_the_limit_is_refused),
        cmocka_unit_test(a_caller_must_have_a_plain_name),
        cmocka_unit_test(unknown_ids_are_not_found),
        cmocka_unit_test(what_is_no_id_is_refused),
        cmocka_unit_test(lists_must_make_sense),
        cmocka_unit_test(an_altered_page_token_is_refused),
        cmocka_unit_test(watches_must_make_sense),
        cmocka_unit_test(reasons_must_keep_their_limits),
        cmocka_unit_test(own_work_must_make_sense),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
