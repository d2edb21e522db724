/* client/src/patch.h and joblog/json.h: patches that wait to be sent, and JSON as texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <joblog/joblog.h>

#include <stdio.h>
#include <string.h>

#include "../../client/src/patch.h"
#include "base/alloc.h"

static void assert_takes(char **patch, size_t max, const char *expected)
{
    char *piece = patch_take(patch, max);
    if (expected)
        assert_string_equal(piece, expected);
    else
        assert_null(piece);
    mem_free(piece);
}

static void test_newer_members_win(void **state)
{
    (void)state;
    char *patch = NULL;
    assert_true(patch_merge(&patch, "{\"a\": 123456789012345678901234567890, \"b\": 0.1}"));
    assert_true(patch_merge(&patch, " { \"\\u0062\" : 1.50 , \"c\" : {\"a\": [1, 2]} }"));
    assert_takes(&patch, 1000, "{\"a\": 123456789012345678901234567890, \"\\u0062\": 1.50, \"c\": {\"a\": [1, 2]}}");
    assert_null(patch);
    assert_takes(&patch, 1000, NULL);
}

/* "{" + members of `"a":1234` with what parts them + "}" */
static void test_long_patches_go_in_parts(void **state)
{
    (void)state;
    char *patch = NULL;
    assert_true(patch_merge(&patch, "{\"a\": 1234, \"b\": 1234, \"c\": 1234, \"d\": \"too long by itself\"}"));
    assert_takes(&patch, 19, "{\"a\":1234,\"b\":1234}");
    assert_takes(&patch, 18, "{\"c\":1234}");
    assert_takes(&patch, 18, "{\"d\":\"too long by itself\"}");
    assert_null(patch);
    assert_true(patch_merge(&patch, "{  \"a\": 1,   \"b\": 2}"));
    assert_takes(&patch, 13, "{\"a\":1,\"b\":2}"); /* without the spaces it fits */
    assert_null(patch);
}

/* Whatever the bound, no piece is longer unless it is a member alone, and all come. */
static void test_no_piece_is_too_long(void **state)
{
    (void)state;
    for (size_t max = 1; max < 40; max++) {
        char *patch = NULL, *piece;
        size_t n = 0;
        assert_true(patch_merge(&patch, "{\"a\": 1, \"b\": 22, \"c\": 333, \"d\": 4444}"));
        for (; (piece = patch_take(&patch, max)); mem_free(piece)) {
            if (strchr(piece, ','))
                assert_in_range(strlen(piece), 1, max);
            for (const char *at = piece; (at = strchr(at, ':')); at++)
                n++;
        }
        assert_int_equal(n, 4);
    }
}

static void test_what_is_put_back_is_older(void **state)
{
    (void)state;
    char *patch = NULL, *taken = NULL;
    assert_true(patch_put_back(&patch, &taken));
    assert_null(patch);
    assert_true(patch_merge(&taken, "{\"a\": 1, \"b\": 1}"));
    assert_true(patch_put_back(&patch, &taken));
    assert_null(taken);
    assert_string_equal(patch, "{\"a\": 1, \"b\": 1}");
    assert_true(patch_merge(&taken, "{\"a\": 0, \"c\": 0}"));
    assert_true(patch_put_back(&patch, &taken));
    assert_null(taken);
    assert_takes(&patch, 100, "{\"c\": 0, \"a\": 1, \"b\": 1}");
}

static int allowed;

static bool gate(size_t size)
{
    (void)size;
    return allowed-- > 0;
}

/* Whichever allocation fails, nothing is lost and nothing done twice. */
static void test_without_memory(void **state)
{
    (void)state;
    bool merged = false, taken = false;
    for (int n = 0; n < 50 && !(merged && taken); n++) {
        char *patch = NULL, *piece;
        assert_true(patch_merge(&patch, "{\"a\": 1}"));
        allowed = n;
        mem_set_gate(gate);
        merged = patch_merge(&patch, "{\"b\": 2}");
        mem_set_gate(NULL);
        assert_string_equal(patch, merged ? "{\"a\": 1, \"b\": 2}" : "{\"a\": 1}");
        assert_true(merged || patch_merge(&patch, "{\"b\": 2}"));
        allowed = n;
        mem_set_gate(gate);
        piece = patch_take(&patch, 8);
        mem_set_gate(NULL);
        taken = piece != NULL;
        assert_string_equal(patch, taken ? "{\"b\":2}" : "{\"a\": 1, \"b\": 2}");
        assert_string_equal(taken ? piece : "{\"a\":1}", "{\"a\":1}");
        mem_free(piece);
        mem_free(patch);
    }
    assert_true(merged && taken);
}

static void assert_member(const char *object, const char *name, const char *expected)
{
    const char *value = "untouched";
    size_t len = strlen(value);
    if (joblog_json_member(object, strlen(object), name, &value, &len) != (expected != NULL))
        fail_msg("%s of %s", name, object);
    if (!expected)
        expected = "untouched";
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(value, expected, len);
}

static void test_members(void **state)
{
    (void)state;
    assert_member("{\"a\": 1, \"b\": 123456789012345678901234567890}", "b", "123456789012345678901234567890");
    assert_member(" {\"x\" :{\"a\":2},\"\\u0061\":[ 1 ,\"}\"] } ", "a", "[ 1 ,\"}\"]");
    assert_member("{\"a\": {\"b\": 1}}", "b", NULL);
    assert_member("{}", "a", NULL);
    assert_member("[\"a\"]", "a", NULL);
    assert_member("", "a", NULL);
    assert_member("{\"a", "a", NULL);
    assert_member("{\"b\": \"\\", "a", NULL);
}

static void test_check(void **state)
{
    (void)state;
    struct joblog_error error;
    assert_int_equal(joblog_json_check("[1e400]", 7, false, "payload", &error), 0);
    assert_int_equal(joblog_json_check("{\"a\": 1}\0", 9, true, "payload", &error), -JOBLOG_INVALID_ARGUMENT);
    assert_string_equal(error.field, "payload");
    assert_string_equal(error.message, "payload: not valid JSON at line 1, column 9: text follows after the value");
    assert_int_equal(joblog_json_check("[1]", 3, true, "payload", NULL), -JOBLOG_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newer_members_win),
        cmocka_unit_test(test_long_patches_go_in_parts),
        cmocka_unit_test(test_no_piece_is_too_long),
        cmocka_unit_test(test_what_is_put_back_is_older),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
