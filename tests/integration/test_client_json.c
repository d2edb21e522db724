/* JSON by libjoblog against a real joblogd: what the library refuses the server would have refused, in the same words,
 * and what it takes the server takes, whatever the size of the numbers. Public header only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/beside.h"
#include "support/client_fixture.h"

#define LONG_NUMBER "123456789012345678901234567890"

static char nested_64[160], nested_65[160]; /* filled by nest */

/* Objects, so that each may be a payload, a patch of one, and a result. */
static const char *const good[] = {
    "{}",
    " { \"a\" : 1.50 } ",
    "{\"a\": " LONG_NUMBER "}",
    "{\"a\": -" LONG_NUMBER "." LONG_NUMBER "}",
    "{\"a\": 1e400, \"b\": 1E-400, \"c\": -0}",
    "{\"a\": \"\\ud83d\\ude00\"}",
    "{\"a\": {\"b\": 1}, \"b\": {\"a\": 1}}",
    nested_64,
};
static const char *const bad[] = {
    "{",
    "{\"a\": 1} 2",
    "{\"a\": 01}",
    "{\"a\": 1e200000}",
    "{\"a\": \"\\u0000\"}",
    "{\"a\": \"\\ud83d\"}",
    "{\"a\": \"\\ude00\\ud83d\"}",
    "{\"a\": \"\t\"}",
    "{\"a\": 1, \"\\u0061\": 2}",
    nested_65,
    "{\"a\": NaN}",
};
enum { GOOD = sizeof good / sizeof good[0], BAD = sizeof bad / sizeof bad[0] };

/* An object of arrays, so deep in all. */
static void nest(char *text, int depth)
{
    char *at = text + sprintf(text, "{\"nested\":\n");
    memset(at, '[', depth - 1);
    at += depth - 1;
    memset(at, ']', depth - 1);
    strcpy(at + depth - 1, "}");
}

static int dispatch(const char *payload, int64_t *ret_id)
{
    struct joblog_spec spec = {.job_name = "json", .queue = "json", .payload = payload};
    return joblog_dispatch(client, &spec, ret_id, &error);
}

/* The check answers as the server does, word for word. */
static void test_check_is_the_servers(void **state)
{
    (void)state;
    int64_t id;
    struct joblog_error own;
    for (int i = 0; i < GOOD; i++) {
        assert_int_equal(joblog_json_check(good[i], strlen(good[i]), true, "job.payload", &own), 0);
        assert_int_equal(dispatch(good[i], &id), 0);
        assert_int_equal(joblog_cancel(client, id, "seen", NULL, &error), 0);
    }
    for (int i = 0; i < BAD; i++) {
        assert_int_equal(joblog_json_check(bad[i], strlen(bad[i]), true, "job.payload", &own),
                         -JOBLOG_INVALID_ARGUMENT);
        assert_int_equal(dispatch(bad[i], &id), -JOBLOG_INVALID_ARGUMENT);
        assert_string_equal(own.message, error.message);
        assert_string_equal(own.field, error.field);
    }
}

static void refuses(struct joblog_context *context, const char *json, const char *why)
{
    struct joblog_error own;
    assert_int_equal(joblog_job_set_result(context, json, &own), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(own.field, "result");
    assert_non_null(strstr(own.message, why));
    assert_int_equal(joblog_job_merge_payload(context, json, &own), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(own.field, "payload_patch");
    assert_non_null(strstr(own.message, why));
}

static int handle(struct joblog_context *context, void *user)
{
    (void)user;
    enum { TOO_LONG = 256 * 1024 + 1 };
    char *spaces = malloc(TOO_LONG + 1);
    memset(spaces, ' ', TOO_LONG);
    memcpy(spaces, "{}", 2);
    spaces[TOO_LONG] = '\0';
    refuses(context, spaces, "must be at most 262144 bytes, is 262145");
    free(spaces);
    for (int i = 0; i < BAD; i++)
        refuses(context, bad[i], "not valid JSON at line ");
    refuses(context, "", "empty");
    refuses(context, NULL, "empty");
    assert_int_equal(joblog_job_merge_payload(context, "[1]", NULL), -JOBLOG_INVALID_ARGUMENT);
    for (int i = 0; i < GOOD; i++) {
        assert_int_equal(joblog_job_set_result(context, good[i], &error), 0);
        assert_int_equal(joblog_job_merge_payload(context, good[i], &error), 0);
    }
    assert_int_equal(joblog_job_merge_payload(context, "{\"a\": " LONG_NUMBER "}", &error), 0);
    return joblog_job_set_result(context, "[" LONG_NUMBER ", 0.1]", NULL);
}

static void assert_large(const struct joblog_job *job)
{
    const char *value;
    size_t len;
    assert_int_equal(job->status, JOBLOG_COMPLETED);
    assert_string_equal(job->result, "[" LONG_NUMBER ", 0.1]");
    assert_true(joblog_json_member(job->payload, strlen(job->payload), "a", &value, &len));
    assert_int_equal(len, strlen(LONG_NUMBER));
    assert_memory_equal(value, LONG_NUMBER, len);
    assert_true(joblog_json_member(job->payload, strlen(job->payload), "first", &value, &len));
    assert_int_equal(len, 4);
    assert_memory_equal(value, "1.50", len);
}

/* By a worker, and by a logged run. */
static void test_long_numbers_go_through(void **state)
{
    (void)state;
    struct beside b;
    struct joblog_job *job = NULL;
    struct joblog_spec spec = {.job_name = "json", .queue = "own", .payload = "{\"first\": 1.50}"};
    int64_t id = 0;
    beside_make(&b, client, "json", 1, 0, false);
    assert_int_equal(joblog_worker_handle(b.worker, NULL, handle, NULL, &error), 0);
    beside_begin(&b);
    assert_int_equal(dispatch(spec.payload, &id), 0);
    assert_int_equal(joblog_wait(client, id, 60000, &job, &error), 0);
    assert_large(job);
    joblog_job_free(job);
    beside_end(&b);
    assert_int_equal(joblog_run_logged(client, &spec, handle, NULL, &job, &error), 0);
    assert_large(job);
    joblog_job_free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_is_the_servers),
        cmocka_unit_test(test_long_numbers_go_through),
    };
    nest(nested_64, 64);
    nest(nested_65, 65);
    return cmocka_run_group_tests(tests, client_fixture_setup, client_fixture_teardown);
}
