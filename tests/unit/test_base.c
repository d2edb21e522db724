/* lib/base: each small part against its header. No I/O but a pipe for the log. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mpsc.h"

static void test_err_set_returns_minus_code(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(err_set(&e, ERR_NOT_FOUND, "JOB_NOT_FOUND", "no job %d", 7), -ERR_NOT_FOUND);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_string_equal(e.reason, "JOB_NOT_FOUND");
    assert_string_equal(e.msg, "no job 7");
    assert_string_equal(e.field, "");
    assert_int_equal(err_set(NULL, ERR_ABORTED, NULL, "x"), -ERR_ABORTED);
}

static void test_err_field_names_the_field_and_cuts_long_text(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(err_field(&e, "job.job_name", "%0300d", 1), -ERR_INVALID_ARGUMENT);
    assert_string_equal(e.field, "job.job_name");
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
}

/* A client that gets half a character in a google.rpc.Status gets no details at all. */
static void test_err_cuts_whole_characters(void **state)
{
    (void)state;
    static const char *const letters[] = {"e", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
        size_t len = strlen(letters[i]);
        for (size_t shift = 0; shift < 4; shift++) {
            char text[600] = "....";
            struct err e;
            text[shift] = '\0';
            while (strlen(text) < sizeof text - 5)
                strcat(text, letters[i]);
            err_field(&e, text, "%s", text);
            assert_int_equal(strlen(e.msg), shift + (sizeof e.msg - 1 - shift) / len * len);
            assert_int_equal(strlen(e.field), shift + (sizeof e.field - 1 - shift) / len * len);
            assert_memory_equal(e.msg, text, strlen(e.msg));
        }
    }
}

static void test_err_mends_characters_cut_within(void **state)
{
    struct err e;

    (void)state;
    err_set(&e, ERR_NOT_FOUND, NULL, "no \"%.2s\" in \"%.3s\"", "a\xc3\xa9", "\xf0\x9f\x98\x80");
    assert_string_equal(e.msg, "no \"a?\" in \"???\"");
}

static void test_err_code_names(void **state)
{
    (void)state;
    assert_string_equal(err_code_name(ERR_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(err_code_name(17), "UNKNOWN");
    assert_string_equal(err_code_name(-1), "UNKNOWN");
}

static void test_span_order(void **state)
{
    (void)state;
    assert_true(span_eq(span_str("abc"), SPAN_LIT("abc")));
    assert_true(span_eq(span_str(NULL), SPAN_LIT("")));
    assert_true(span_cmp(SPAN_LIT("ab"), SPAN_LIT("abc")) < 0);
    assert_true(span_cmp(SPAN_LIT("b"), SPAN_LIT("abc")) > 0);
    assert_int_equal(span_cmp(SPAN_LIT("a\0b"), SPAN_LIT("a\0b")), 0);
    assert_true(span_cmp(SPAN_LIT("a\0b"), SPAN_LIT("a\0c")) < 0);
}

static void test_arena_pieces_are_aligned_apart_and_whole(void **state)
{
    char first[100];
    struct arena a;
    unsigned char *pieces[200];

    (void)state;
    arena_init(&a, first, sizeof first, 0);
    for (size_t i = 0; i < 200; i++) {
        size_t size = i % 7 == 0 ? 5000 : i;
        pieces[i] = arena_alloc(&a, size);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i, size);
    }
    for (size_t i = 0; i < 200; i++) {
        size_t size = i % 7 == 0 ? 5000 : i;
        for (size_t k = 0; k < size; k++)
            assert_int_equal(pieces[i][k], (unsigned char)i);
    }
    arena_reset(&a);
    assert_int_equal(a.used, 0);
    assert_non_null(arena_alloc(&a, 1 << 20));
    arena_done(&a);
}

static void test_arena_keeps_its_limit(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, NULL, 0, 100);
    assert_non_null(arena_alloc(&a, 64));
    assert_null(arena_alloc(&a, 64));
    assert_non_null(arena_alloc(&a, 16));
    assert_null(arena_alloc(&a, SIZE_MAX));
    arena_done(&a);
}

static void test_arena_texts(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, NULL, 0, 0);
    struct span s = arena_span(&a, SPAN_LIT("x\0y"));
    assert_int_equal(s.len, 3);
    assert_memory_equal(s.data, "x\0y", 4);
    assert_string_equal(arena_str(&a, SPAN_LIT("")), "");
    assert_string_equal(arena_printf(&a, "%s-%d", "job", 5), "job-5");
    arena_done(&a);
}

static bool refuse(size_t size)
{
    (void)size;
    return false;
}

static void test_failed_allocation_is_reported(void **state)
{
    struct arena a;
    struct buf b = BUF_INIT;

    (void)state;
    arena_init(&a, NULL, 0, 0);
    mem_set_gate(refuse);
    void *p = arena_alloc(&a, 10);
    struct span s = arena_span(&a, SPAN_LIT("abc"));
    buf_add_str(&b, "abc");
    mem_set_gate(NULL);
    assert_null(p);
    assert_null(s.data);
    assert_true(b.failed);
    assert_int_equal(b.len, 0);
    buf_add_str(&b, "more"); /* stays failed until cleared */
    assert_int_equal(b.len, 0);
    buf_clear(&b);
    buf_add_str(&b, "more");
    assert_string_equal(b.data, "more");
    buf_done(&b);
    arena_done(&a);
}

static void test_buf_grows_and_writes_big_endian(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    assert_int_equal(b.len, 3890);
    assert_int_equal(strlen(b.data), 3890);
    buf_clear(&b);
    buf_add_be16(&b, 0x0102);
    buf_add_be32(&b, 0x03040506);
    buf_add_be64(&b, 0x0708090a0b0c0d0e);
    assert_memory_equal(b.data, "\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe", 14);
    buf_done(&b);
}

enum { PRODUCERS = 4, EACH = 20000 };

struct number {
    struct mpsc_node node;
    int producer, n;
};

static struct mpsc queue;

static void *produce(void *arg)
{
    struct number *numbers = arg;

    for (int i = 0; i < EACH; i++)
        mpsc_push(&queue, &numbers[i].node);
    return NULL;
}

static void test_mpsc_loses_nothing_and_keeps_each_producers_order(void **state)
{
    pthread_t threads[PRODUCERS];
    struct number *numbers = calloc((size_t)PRODUCERS * EACH, sizeof *numbers);
    int next[PRODUCERS] = {0}, total = 0;

    (void)state;
    assert_non_null(numbers);
    for (int p = 0; p < PRODUCERS; p++) {
        for (int i = 0; i < EACH; i++)
            numbers[p * EACH + i] = (struct number){.producer = p, .n = i};
        assert_int_equal(pthread_create(&threads[p], NULL, produce, &numbers[p * EACH]), 0);
    }
    while (total < PRODUCERS * EACH) {
        struct mpsc_node *node = mpsc_take_all(&queue), *after;
        for (; node; node = after, total++) {
            struct number *got = (struct number *)(void *)node;
            after = node->next;
            assert_int_equal(got->n, next[got->producer]);
            next[got->producer]++;
        }
    }
    for (int p = 0; p < PRODUCERS; p++)
        pthread_join(threads[p], NULL);
    assert_true(mpsc_is_empty(&queue));
    free(numbers);
}

/* What one call of log_info writes, after its time. */
#define assert_logged(expected, ...)                                                                                   \
    do {                                                                                                               \
        char line_[8192] = {0};                                                                                        \
        int fds_[2];                                                                                                   \
        assert_int_equal(pipe(fds_), 0);                                                                               \
        log_set_fd(fds_[1]);                                                                                           \
        log_debug("dropped");                                                                                          \
        log_info(__VA_ARGS__);                                                                                         \
        log_set_fd(2);                                                                                                 \
        assert_true(read(fds_[0], line_, sizeof line_ - 1) > 0);                                                       \
        close(fds_[0]);                                                                                                \
        close(fds_[1]);                                                                                                \
        assert_non_null(strchr(line_, 'Z'));                                                                           \
        assert_string_equal(strchr(line_, 'Z') + 1, " info " expected "\n");                                           \
    } while (0)

static void test_log_is_one_escaped_line(void **state)
{
    (void)state;
    assert_logged("job failed job=7 text=two\\x0alines\\x1b[31m\\xc2\\x9b31m \xc3\x9b", "job failed job=%d text=%s", 7,
                  "two\nlines\x1b[31m\xc2\x9b"
                  "31m \xc3\x9b");
}

static void test_log_values_end_at_their_quotes(void **state)
{
    (void)state;
    assert_logged("said a=\"\" b=\"plain\" c=3", "said a=\"%s\" b=\"%s\" c=%d", "", "plain", 3);
    assert_logged("said a=\"there is no \\\"x\\\"\" b=\"\\\\\\\"\"", "said a=\"%s\" b=\"%.*s\"", "there is no \"x\"", 2,
                  "\\\"and more");
    assert_logged("said a=\"\\\" b='\\\"\\x0a\\x01'\" c=\"'\"", "said a=\"%s\" c=\"%s\"", "\" b='\"\n\x01'", "'");
    assert_logged("said path=/a\"b\\c d=\"\\\"\"", "said path=%s d=\"%s\"", "/a\"b\\c", "\"");
}

static void test_log_cuts_within_quotes(void **state)
{
    char text[6000], *line;
    int fds[2];
    (void)state;
    memset(text, '"', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(pipe(fds), 0);
    log_set_fd(fds[1]);
    log_info("said text=\"%s\" more=%d", text, 1);
    log_set_fd(2);
    ssize_t n = read(fds[0], text, sizeof text);
    assert_in_range(n, 4000, 4096);
    line = memchr(text, '=', (size_t)n);
    assert_memory_equal(line, "=\"\\\"\\\"", 6);
    assert_memory_equal(text + n - 4, "\\\"\"\n", 4);
    assert_int_equal((text + n - 2 - (line + 2)) % 2, 0); /* no half of a pair */
    close(fds[0]);
    close(fds[1]);
}

static void test_log_levels_by_name(void **state)
{
    enum log_level level = LOG_INFO;

    (void)state;
    assert_true(log_level_parse("warning", &level));
    assert_int_equal(level, LOG_WARNING);
    assert_false(log_level_parse("loud", &level));
    assert_int_equal(level, LOG_WARNING);
}

static void test_clocks_run_forward(void **state)
{
    int64_t a = clock_mono_us(), b = clock_mono_us();

    (void)state;
    assert_true(b >= a);
    assert_true(clock_wall_us() > INT64_C(1700000000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_set_returns_minus_code),
        cmocka_unit_test(test_err_field_names_the_field_and_cuts_long_text),
        cmocka_unit_test(test_err_cuts_whole_characters),
        cmocka_unit_test(test_err_mends_characters_cut_within),
        cmocka_unit_test(test_err_code_names),
        cmocka_unit_test(test_span_order),
        cmocka_unit_test(test_arena_pieces_are_aligned_apart_and_whole),
        cmocka_unit_test(test_arena_keeps_its_limit),
        cmocka_unit_test(test_arena_texts),
        cmocka_unit_test(test_failed_allocation_is_reported),
        cmocka_unit_test(test_buf_grows_and_writes_big_endian),
        cmocka_unit_test(test_mpsc_loses_nothing_and_keeps_each_producers_order),
        cmocka_unit_test(test_log_is_one_escaped_line),
        cmocka_unit_test(test_log_values_end_at_their_quotes),
        cmocka_unit_test(test_log_cuts_within_quotes),
        cmocka_unit_test(test_log_levels_by_name),
        cmocka_unit_test(test_clocks_run_forward),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
