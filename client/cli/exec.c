/* Running a shell command. On the thread that calls; no state outside the call but the reaper's. posix_spawn rather
 * than fork: gRPC's threads run, and a fork would copy their locks. */
#include "exec.h"

#include "heap.h"
#include "reaper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_MS = 100,   /* how soon a cancel is seen: the library has a flag for it, not an event */
    READ_MAX = 65536 /* at a time, as much as a pipe holds: who prints without end can be stopped all the same */
};

/* Bytes of a stream up to the next line feed. */
struct lines {
    char *text;
    size_t len, size;
};

struct run {
    const struct exec *exec;
    struct exec_result *result;
    struct reaper_child shell;
    int in, out, err, pidfd; /* our ends; -1 when closed */
    size_t written, input_len;
    struct lines out_lines, err_lines;
    bool reaped, killed;
    int64_t stop_ms; /* when it was told to */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Three pipes; ours[] are kept here, theirs[] go to the child as 0, 1, 2. */
static int make_pipes(int ours[3], int theirs[3])
{
    for (int i = 0; i < 3; i++)
        ours[i] = theirs[i] = -1;
    for (int i = 0; i < 3; i++) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0) {
            int rc = -errno;
            for (int k = 0; k < i; k++) {
                close_fd(&ours[k]);
                close_fd(&theirs[k]);
            }
            return rc;
        }
        ours[i] = i == 0 ? fds[1] : fds[0];
        theirs[i] = i == 0 ? fds[0] : fds[1];
        fcntl(ours[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

static int spawn_shell(const struct exec *exec, const int theirs[3], pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    char *argv[] = {"sh", "-c", (char *)exec->command, NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    for (int i = 0; i < 3; i++)
        posix_spawn_file_actions_adddup2(&actions, theirs[i], i);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawn(ret_pid, "/bin/sh", &actions, &attributes, argv, exec->environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

static void keep_tail(struct exec_result *result, const char *data, size_t len)
{
    if (len >= EXEC_TAIL) {
        memcpy(result->tail, data + len - EXEC_TAIL, EXEC_TAIL);
        result->tail_len = EXEC_TAIL;
        return;
    }
    if (result->tail_len + len > EXEC_TAIL) {
        size_t drop = result->tail_len + len - EXEC_TAIL;
        memmove(result->tail, result->tail + drop, result->tail_len - drop);
        result->tail_len -= drop;
    }
    memcpy(result->tail + result->tail_len, data, len);
    result->tail_len += len;
}

/* Hands on the whole lines in lines, and what follows the last too when all is set. */
static void hand_on(struct run *run, struct lines *lines, bool error, bool all)
{
    size_t start = 0;
    for (;;) {
        char *end = memchr(lines->text + start, '\n', lines->len - start);
        if (!end && !((all || lines->len - start >= EXEC_LINE_MAX) && lines->len > start))
            break;
        size_t len = end ? (size_t)(end - lines->text) - start : lines->len - start;
        lines->text[start + len] = '\0';
        run->exec->on_line(run->exec->user, lines->text + start, len, error);
        start += len + (end ? 1 : 0);
    }
    memmove(lines->text, lines->text + start, lines->len - start);
    lines->len -= start;
}

/* Reads what there is, up to READ_MAX; closes the stream at its end. */
static void read_stream(struct run *run, int *fd, struct lines *lines, bool error)
{
    for (size_t sum = 0; sum < READ_MAX;) {
        if (lines->size - lines->len < 4097) {
            lines->size = lines->size ? 2 * lines->size : 16384;
            lines->text = heap_resize(lines->text, lines->size, 1);
        }
        ssize_t n = read(*fd, lines->text + lines->len, 4096);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            hand_on(run, lines, error, true);
            close_fd(fd);
            return;
        }
        if (error)
            keep_tail(run->result, lines->text + lines->len, (size_t)n);
        lines->len += (size_t)n;
        sum += (size_t)n;
        hand_on(run, lines, error, false);
    }
}

static void write_input(struct run *run)
{
    while (run->written < run->input_len) {
        ssize_t n = write(run->in, run->exec->input + run->written, run->input_len - run->written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            break; /* a command need not read its input */
        run->written += (size_t)n;
    }
    close_fd(&run->in);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* SIGTERM to the whole group when asked to stop, SIGKILL when that was long ago. */
static void check_stop(struct run *run)
{
    if (!run->result->stopped && run->exec->should_stop(run->exec->user)) {
        run->result->stopped = true;
        run->stop_ms = now_ms();
        kill(-run->shell.pid, SIGTERM);
    } else if (run->result->stopped && !run->killed && now_ms() - run->stop_ms >= EXEC_KILL_AFTER_S * INT64_C(1000)) {
        run->killed = true;
        kill(-run->shell.pid, SIGKILL);
    }
}

static void reap(struct run *run)
{
    if (run->reaped)
        return;
    pid_t pid = waitpid(run->shell.pid, &run->result->status, WNOHANG);
    if (pid != run->shell.pid && !(pid < 0 && errno == ECHILD))
        return;
    run->reaped = true;
    reaper_forget(&run->shell);
    close_fd(&run->pidfd); /* it would stay readable */
}

/* A shell may die of the SIGTERM at once and leave its command in the middle of what that does upon it. The number of
 * the group is nobody else's as long as it has a member. */
static bool group_is_stopping(const struct run *run)
{
    return run->result->stopped && !run->killed && kill(-run->shell.pid, 0) == 0;
}

/* Serves the pipes until the shell has ended, and when it was told to stop until all of its group have. What processes
 * it left behind by itself still hold open is not waited for. */
static void serve(struct run *run)
{
    while (!run->reaped || group_is_stopping(run)) {
        struct pollfd fds[4] = {
            {run->in, POLLOUT, 0}, {run->out, POLLIN, 0}, {run->err, POLLIN, 0}, {run->pidfd, POLLIN, 0}};
        poll(fds, 4, TICK_MS); /* should it fail, nothing is ready */
        if (run->in >= 0 && fds[0].revents)
            write_input(run);
        if (run->out >= 0 && fds[1].revents)
            read_stream(run, &run->out, &run->out_lines, false);
        if (run->err >= 0 && fds[2].revents)
            read_stream(run, &run->err, &run->err_lines, true);
        if (!run->reaped || run->result->stopped)
            check_stop(run);
        reap(run);
    }
    /* The rest that was written before the end. */
    if (run->out >= 0)
        read_stream(run, &run->out, &run->out_lines, false);
    if (run->err >= 0)
        read_stream(run, &run->err, &run->err_lines, true);
    if (run->out_lines.len)
        hand_on(run, &run->out_lines, false, true);
    if (run->err_lines.len)
        hand_on(run, &run->err_lines, true, true);
}

int exec_run(const struct exec *exec, struct exec_result *ret_result)
{
    int ours[3], theirs[3];
    *ret_result = (struct exec_result){0};
    struct run run = {.exec = exec, .result = ret_result, .input_len = strlen(exec->input)};
    int rc = make_pipes(ours, theirs);
    if (rc < 0)
        return rc;
    reaper_start();
    reaper_hold();
    rc = spawn_shell(exec, theirs, &run.shell.pid);
    reaper_let_go(rc < 0 ? NULL : &run.shell);
    for (int i = 0; i < 3; i++)
        close_fd(&theirs[i]);
    run.in = ours[0];
    run.out = ours[1];
    run.err = ours[2];
    run.pidfd = rc < 0 ? -1 : pidfd_open(run.shell.pid, 0); /* -1 on a kernel without: the tick sees the end then */
    if (rc >= 0)
        serve(&run);
    close_fd(&run.in);
    close_fd(&run.out);
    close_fd(&run.err);
    close_fd(&run.pidfd);
    free(run.out_lines.text);
    free(run.err_lines.text);
    return rc;
}
