/* joblogd: the command line, signals, the ready line. The main thread starts the parts (daemon.c) and then only waits:
 * SIGTERM or SIGINT stop in good order, a second one at once, SIGHUP loads the settings that may change while running.
 * Exit codes: 0 stopped in good order, 1 failed, 2 wrong settings. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon.h"
#include "pg/pg.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_SETTINGS = 2 };
/* File descriptors: enough for any max-connections that makes sense. */
enum { DESCRIPTORS = 262144 };

extern char **environ;

/* Blocks the signals that are waited for, in every thread that starts later. -1 on failure. */
static int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its write */
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static int signals_next(int fd)
{
    struct signalfd_siginfo info;
    ssize_t n;
    do
        n = read(fd, &info, sizeof info);
    while (n < 0 && errno == EINTR);
    return n == sizeof info ? (int)info.ssi_signo : 0;
}

static void write_ready(const struct config *cfg, const struct daemon *daemon)
{
    char line[1024];
    const char *probe = daemon_probe_address(daemon);
    int len = snprintf(line, sizeof line, "joblogd ready listen=%s pid=%d%s%s\n", daemon_addresses(daemon), getpid(),
                       probe ? " probe=" : "", probe ? probe : "");
    if (len >= (int)sizeof line)
        len = (int)sizeof line - 1;
    fputs(line, stdout);
    fflush(stdout);
    if (cfg->ready_fd >= 0) {
        if (write((int)cfg->ready_fd, line, (size_t)len) < 0)
            log_warning("could not write the ready line fd=%" PRId64 " error=\"%s\"", cfg->ready_fd, strerror(errno));
        close((int)cfg->ready_fd);
    }
}

/* The soft limit of file descriptors is low for the sake of programs that use select; this one does not. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max || limit.rlim_cur >= DESCRIPTORS)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        log_warning("could not raise the limit of file descriptors error=\"%s\"", strerror(errno));
}

static void reload(struct config *cfg, struct daemon *daemon, int argc, char **argv)
{
    struct err err = ERR_NONE;
    size_t restart = 0;
    if (config_reload(cfg, argc, argv, environ, &restart, &err) != 0) {
        log_error("settings not loaded setting=%s error=\"%s\"", err.field, err.msg);
        return;
    }
    log_set_level(cfg->log_level);
    log_info("settings loaded need_restart=%zu", restart);
    daemon_reload(daemon);
}

/* Waits for a reason to stop. Exit code. */
static int run(struct config *cfg, struct daemon *daemon, int signals, int argc, char **argv)
{
    pid_t postgres = daemon_postgres_pid(daemon);
    int postgres_fd = postgres > 0 ? (int)syscall(SYS_pidfd_open, postgres, 0) : -1;
    struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = postgres_fd, .events = POLLIN}};
    int code = -1;
    while (code < 0) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents) {
            log_error("the embedded postgres has ended pid=%d", postgres);
            code = EXIT_FAILED;
        } else if (fds[0].revents) {
            int signo = signals_next(signals);
            if (signo == SIGHUP) {
                reload(cfg, daemon, argc, argv);
                daemon_log_refused(daemon);
            } else if (signo != 0)
                code = EXIT_OK;
            if (code == EXIT_OK)
                log_info("stopping signal=%s", sigabbrev_np(signo));
        }
    }
    if (postgres_fd >= 0)
        close(postgres_fd);
    return code;
}

/* Runs while the parts stop. The kernel stops the embedded postgres when we are gone. */
static void *second_signal(void *arg)
{
    const int *signals = arg;
    int signo;
    do
        signo = signals_next(*signals);
    while (signo == SIGHUP);
    log_warning("stopping at once signal=%s", sigabbrev_np(signo));
    _exit(EXIT_FAILED);
}

static int serve(struct config *cfg, int argc, char **argv)
{
    struct daemon *daemon = NULL;
    struct err err = ERR_NONE;
    static int signals;
    pthread_t watcher;
    signals = signals_open();
    raise_descriptors();
    /* The embedded postgres must not hold it open: somebody may wait for its end. */
    if (cfg->ready_fd >= 0)
        fcntl((int)cfg->ready_fd, F_SETFD, FD_CLOEXEC);
    if (signals < 0) {
        log_error("could not set up signals error=\"%s\"", strerror(errno));
        return EXIT_FAILED;
    }
    if (daemon_start(cfg, &daemon, &err) != 0) {
        log_error("could not start%s%s error=\"%s\"", err.field[0] ? " setting=" : "", err.field[0] ? err.field : "",
                  err.msg);
        return err.code == ERR_INVALID_ARGUMENT ? EXIT_SETTINGS : EXIT_FAILED;
    }
    log_info("ready listen=%s pid=%d", daemon_addresses(daemon), getpid());
    write_ready(cfg, daemon);
    int code = run(cfg, daemon, signals, argc, argv);
    if (pthread_create(&watcher, NULL, second_signal, &signals) == 0)
        pthread_detach(watcher);
    daemon_stop(daemon);
    log_info("stopped");
    return code;
}

int main(int argc, char **argv)
{
    /* Before any thread. Each further arena of malloc's keeps what a burst once took: half a gigabyte in a flood. */
    mallopt(M_ARENA_MAX, 2);
    /* Set, they stay: by itself malloc takes larger and larger pieces from its heap and keeps ever more of it. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
    struct config cfg;
    struct err err = ERR_NONE;
    if (config_load(&cfg, argc, argv, environ, &err) != 0) {
        fprintf(stderr, "joblogd: %s\nSee joblogd --help.\n", err.msg);
        return EXIT_SETTINGS;
    }
    int code = EXIT_OK;
    switch (cfg.action) {
    case CONFIG_HELP:
        config_print_help(stdout);
        break;
    case CONFIG_VERSION:
        puts("joblogd " JOBLOG_VERSION);
        break;
    case CONFIG_PRINT_DOCS:
        config_print_docs(stdout);
        break;
    case CONFIG_RUN:
        log_set_level(cfg.log_level);
        code = serve(&cfg, argc, argv);
        break;
    }
    config_done(&cfg);
    if (!pg_is_at_rest()) { /* a thread is in libpq, whose libraries clean up at exit */
        fflush(NULL);
        _exit(code);
    }
    return code;
}
