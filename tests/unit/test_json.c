/* base/json.h: what passes, what does not and where; merging as PostgreSQL does it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static void assert_good(const char *text)
{
    struct err err;

    if (json_check(span_str(text), false, "f", &err) < 0)
        fail_msg("%s: %s", text, err.msg);
}

static void assert_bad(const char *text, const char *why)
{
    struct err err;

    if (json_check(span_str(text), false, "job.payload", &err) == 0)
        fail_msg("passed: %s", text);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "job.payload");
    if (!strstr(err.msg, why))
        fail_msg("%s: %s", text, err.msg);
}

static void test_good(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "12.5e+3",
        "1E-5",
        "\"\"",
        " { \"a\" : [ 1 , { } ] } ",
        "\"\\u00e9\\ud83d\\ude00\\n\\/\"",
        "\"h\xc3\xa9\xf0\x9f\x98\x80\"",
        "{\"a\": {\"a\": 1}, \"b\": {\"a\": 2}}",
        "[{\"a\": 1}, {\"a\": 2}]",
        "1e131000",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_good(texts[i]);
}

static void test_bad(void **state)
{
    (void)state;
    assert_bad("", "empty");
    assert_bad("{", "column 2");
    assert_bad("{\"a\" 1}", "colon");
    assert_bad("{\"a\": 1,}", "key in quotes");
    assert_bad("[1,]", "value is expected");
    assert_bad("[1 2]", "comma or ]");
    assert_bad("{\"a\": 1} x", "follows");
    assert_bad("01", "value is expected");
    assert_bad("1.", "after the point");
    assert_bad("1e", "exponent");
    assert_bad("+1", "value is expected");
    assert_bad("nul", "value is expected");
    assert_bad("\"a", "does not end");
    assert_bad("\"\\x\"", "escape");
    assert_bad("\"\\u12g4\"", "hex");
    assert_bad("\"\\u0000\"", "u0000");
    assert_bad("\"\\ud800\"", "surrogate");
    assert_bad("\"\\udc00\"", "surrogate");
    assert_bad("\"\\ud800\\u0041\"", "surrogate");
    assert_bad("\"a\tb\"", "control character");
    assert_bad("\"\xff\"", "UTF-8");
    assert_bad("\"\xc0\xaf\"", "UTF-8");
    assert_bad("\"\xed\xa0\x80\"", "UTF-8");
    assert_bad("\"\xc3\"", "UTF-8");
    assert_bad("{\"a\": 1, \"b\": 2, \"a\": 3}", "twice");
    assert_bad("{\"a\": 1, \"\\u0061\": 3}", "twice");
    assert_bad("1e999999", "too large");
    assert_bad("1e-999999", "too fine");
    assert_bad("{\n  \"a\": x\n}", "line 2, column 8");
}

static void test_only_objects(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(json_check(SPAN_LIT("[1]"), true, "f", &err), -ERR_INVALID_ARGUMENT);
    assert_int_equal(json_check(SPAN_LIT(" {\"a\": []}"), true, "f", &err), 0);
}

static void test_depth(void **state)
{
    char text[200] = "";

    (void)state;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    assert_good(text);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_bad(text, "nested deeper");
}

static void test_many_keys(void **state)
{
    struct buf b = BUF_INIT;
    struct err err;

    (void)state;
    buf_add_char(&b, '{');
    for (int i = 0; i < 5000; i++)
        buf_printf(&b, "%s\"key%d\": {\"x\": %d}", i ? "," : "", i, i);
    buf_add_str(&b, "}");
    assert_int_equal(json_check(buf_span(&b), true, "f", &err), 0);
    b.len--;
    buf_add_str(&b, ", \"key17\": 0}");
    assert_int_equal(json_check(buf_span(&b), true, "f", &err), -ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.msg, "twice"));
    buf_done(&b);
}

static void test_strings_go_out_and_in(void **state)
{
    struct span s = SPAN_LIT("a\"b\\c\n\x01 h\xc3\xa9"), back;
    struct buf b = BUF_INIT;
    struct arena a;
    struct err err;

    (void)state;
    arena_init(&a, NULL, 0, 0);
    json_add_string(&b, s);
    assert_int_equal(json_check(buf_span(&b), false, "f", &err), 0);
    assert_true(json_decode_string(&a, buf_span(&b), &back));
    assert_true(span_eq(s, back));
    assert_true(json_decode_string(&a, SPAN_LIT("\"\\ud83d\\ude00\\u00e9\""), &back));
    assert_true(span_eq(back, SPAN_LIT("\xf0\x9f\x98\x80\xc3\xa9")));
    assert_false(json_decode_string(&a, SPAN_LIT("12"), &back));
    buf_done(&b);
    arena_done(&a);
}

static void assert_merge(const char *base, const char *patch, const char *merged)
{
    struct buf b = BUF_INIT;

    assert_true(json_merge(&b, span_str(base), span_str(patch)));
    assert_string_equal(b.data, merged);
    buf_done(&b);
}

static void test_merge(void **state)
{
    (void)state;
    assert_merge("{}", "{}", "{}");
    assert_merge("{\"a\": 1}", "{}", "{\"a\": 1}");
    assert_merge("{}", "{\"a\":{\"b\":[1,\"}\"]}}", "{\"a\": {\"b\":[1,\"}\"]}}");
    assert_merge("{\"a\": 1, \"b\": 2}", "{\"b\": null, \"c\": 3}", "{\"a\": 1, \"b\": null, \"c\": 3}");
    assert_merge("{\"\\u0061\": 1}", "{\"a\": 2}", "{\"a\": 2}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),  cmocka_unit_test(test_bad),       cmocka_unit_test(test_only_objects),
        cmocka_unit_test(test_depth), cmocka_unit_test(test_many_keys), cmocka_unit_test(test_strings_go_out_and_in),
        cmocka_unit_test(test_merge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
