/* How `joblog worker` runs a shell command, and what becomes of the processes that one leaves behind. This process is
 * their parent then (client/cli/reaper.h), as if it were the first of a container; without the reaper, too, so that no
 * init takes their ends. No server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "exec.h"

extern char **environ;

/* What the command has said. */
struct said {
    char lines[20][100];
    int n;
    bool stop_when_it_speaks;
};

static void on_line(void *user, char *line, size_t len, bool error)
{
    struct said *said = user;
    (void)error;
    assert_true(said->n < 20 && len < sizeof said->lines[0]);
    memcpy(said->lines[said->n++], line, len + 1);
}

static bool should_stop(void *user)
{
    const struct said *said = user;
    return said->stop_when_it_speaks && said->n > 0;
}

static void run(const char *command, struct said *said, struct exec_result *ret_result)
{
    struct exec exec = {.command = command,
                        .input = "payload\n",
                        .environment = environ,
                        .on_line = on_line,
                        .should_stop = should_stop,
                        .user = said};
    assert_int_equal(exec_run(&exec, ret_result), 0);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void test_input_output_and_code(void **state)
{
    (void)state;
    struct said said = {.n = 0};
    struct exec_result result;
    run("cat; echo; printf end; echo oh >&2; exit 7", &said, &result);
    assert_true(WIFEXITED(result.status));
    assert_int_equal(WEXITSTATUS(result.status), 7);
    assert_false(result.stopped);
    assert_int_equal(said.n, 4);
    assert_memory_equal(result.tail, "oh\n", 3);
}

/* The shell dies of the signal at once, as what it has begun does: nothing is left to wait for. */
static void test_a_stop_does_not_wait_for_orphans(void **state)
{
    (void)state;
    struct said said = {.stop_when_it_speaks = true};
    struct exec_result result;
    int64_t start_ms = now_ms();
    run("sleep 300 & sleep 300 & echo here; wait", &said, &result);
    assert_true(result.stopped);
    assert_true(WIFSIGNALED(result.status));
    assert_int_equal(WTERMSIG(result.status), SIGTERM);
    assert_true(now_ms() - start_ms < EXEC_KILL_AFTER_S * 1000);
}

/* What catches the signal has its time, also when its shell has gone. */
static void test_a_stop_waits_for_the_group(void **state)
{
    (void)state;
    struct said said = {.stop_when_it_speaks = true};
    struct exec_result result;
    run("sh -c 'trap \"sleep 0.3; echo cleaned up; exit\" TERM; echo here; sleep 300 & wait'; exit 1", &said, &result);
    assert_true(result.stopped);
    assert_int_equal(said.n, 2);
    assert_string_equal(said.lines[1], "cleaned up");
}

/* A process of the background outlives its shell, and is nobody's when it ends. */
static void test_nothing_is_left(void **state)
{
    (void)state;
    struct said said = {.n = 0};
    struct exec_result result;
    run("sleep 0.2 >/dev/null 2>&1 & echo $!", &said, &result);
    assert_int_equal(result.status, 0);
    assert_int_equal(said.n, 1);
    pid_t pid = (pid_t)atoi(said.lines[0]);
    assert_true(pid > 1);
    int64_t start_ms = now_ms();
    while (kill(pid, 0) == 0 && now_ms() - start_ms < 30000) /* true for zombies, too */
        usleep(10000);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

enum { THREADS = 8, RUNS = 25 };

static void *run_many(void *user)
{
    atomic_int *wrong = user;
    for (int i = 0; i < RUNS; i++) {
        struct said said = {.n = 0};
        struct exec_result result;
        run(i % 2 ? "true & exit 7" : "exit 7", &said, &result);
        if (!WIFEXITED(result.status) || WEXITSTATUS(result.status) != 7)
            atomic_fetch_add(wrong, 1);
    }
    return NULL;
}

/* Nobody takes the end of a command but who has run it, however quickly it ends. */
static void test_ends_are_not_mistaken(void **state)
{
    (void)state;
    atomic_int wrong = 0;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_many, &wrong), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input_output_and_code),      cmocka_unit_test(test_a_stop_does_not_wait_for_orphans),
        cmocka_unit_test(test_a_stop_waits_for_the_group), cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_ends_are_not_mistaken),
    };
    signal(SIGPIPE, SIG_IGN); /* of input that a command does not read */
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
