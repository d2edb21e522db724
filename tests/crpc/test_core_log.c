/* Core's log in ours: a line each, but not more than so many a second, however much strangers make it say. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>

#include "base/clock.h"
#include "base/log.h"
#include "core_log.h"

enum { SAID = 5000 };

static int count(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        n++;
    return n;
}

static void test_flood(void **state)
{
    (void)state;
    char path[] = "/tmp/crpc-log-XXXXXX";
    static char text[1 << 20];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    core_log_take();
    grpc_init(); /* before that core says nothing */
    log_set_fd(fd);
    int64_t from = clock_mono_ms();
    for (int i = 0; i < SAID; i++)
        gpr_log(GPR_ERROR, "flood %d", i);
    int seconds = (int)(clock_mono_ms() / 1000 - from / 1000) + 1;
    /* Once the second is over, a line tells of those that were left out. */
    while (clock_mono_ms() / 1000 <= from / 1000 + seconds - 1)
        ;
    gpr_log(GPR_ERROR, "after");
    grpc_shutdown();
    log_set_fd(2);
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    close(fd);
    assert_true(len > 0);
    int lines = count(text, "text=\"flood ");
    assert_in_range(lines, 20, 20 * seconds);
    assert_int_equal(count(text, "text=\"after\""), 1);
    int left_out = 0;
    for (const char *at = text; (at = strstr(at, "left_out=")); at++)
        left_out += atoi(at + strlen("left_out="));
    assert_int_equal(lines + left_out, SAID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_flood)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
