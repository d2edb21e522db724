/* See server_fixture.h. The child runs `joblogd` of the same build (JOBLOGD_PATH). Readiness is its line on the
 * descriptor of --ready-fd: the read ends with the line, or with the end of the process. No sleeps. */
#include "support/server_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 32, READY_TIMEOUT_MS = 100000, STOP_TIMEOUT_MS = 60000 };

struct server_fixture {
    char dir[64];
    char data[512];
    char database[512]; /* empty: embedded */
    char address[64];
    char unix_address[128];
    char token_file[560], token[128], actor[64];
    char log_path[128];
    char *args[ARGS_MAX];
    size_t n_args;
    int port; /* of the first start */
    pid_t pid;
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void print_log(const struct server_fixture *f, const char *why)
{
    fprintf(stderr, "server_fixture: %s\n", why);
    char *text = server_fixture_log(f);
    if (text)
        fputs(text, stderr);
    free(text);
}

static char *read_all(int fd)
{
    size_t len = 0, cap = 4096;
    char *text = malloc(cap);
    while (text) {
        ssize_t n = read(fd, text + len, cap - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
        if (cap - len < 2) {
            char *more = realloc(text, cap *= 2);
            if (!more) {
                free(text);
                return NULL;
            }
            text = more;
        }
    }
    if (text)
        text[len] = 0;
    return text;
}

char *server_fixture_log(const struct server_fixture *f)
{
    int fd = open(f->log_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *text = read_all(fd);
    close(fd);
    return text;
}

/* Child: becomes joblogd. err_fd: its stderr, -1 for ours. */
static void child_exec(char *const *argv, int err_fd, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    if (err_fd >= 0) {
        dup2(err_fd, 1);
        dup2(err_fd, 2);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execv(JOBLOGD_PATH, argv);
    fprintf(stderr, "server_fixture: cannot run %s: %s\n", JOBLOGD_PATH, strerror(errno));
    _exit(127);
}

/* Reads one line, with a time-out so that a server that hangs fails the test. False: none came. */
static bool read_ready_line(int fd, char *line, size_t size)
{
    size_t len = 0;
    while (len + 1 < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, READY_TIMEOUT_MS);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || read(fd, line + len, 1) != 1)
            return false;
        if (line[len] == '\n') {
            line[len] = 0;
            return true;
        }
        len++;
    }
    return false;
}

/* Empty when authentication is off. */
static void read_token(struct server_fixture *f)
{
    FILE *file = fopen(f->token_file, "re");
    f->token[0] = '\0';
    if (file && fgets(f->token, sizeof f->token, file))
        f->token[strcspn(f->token, "\n")] = '\0';
    if (file)
        fclose(file);
    snprintf(f->actor, sizeof f->actor, "token:admin-%.8s", f->token[0] ? f->token + strlen("jlt_") : "");
}

static char home[64];

static void remove_home(void)
{
    nftw(home, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static bool make_home(void)
{
    if (home[0])
        return true;
    strcpy(home, "/tmp/joblog-home-XXXXXX");
    if (!mkdtemp(home)) {
        home[0] = '\0';
        return false;
    }
    atexit(remove_home);
    setenv("XDG_CONFIG_HOME", home, 1);
    setenv("XDG_STATE_HOME", home, 1);
    return true;
}

static bool launch(struct server_fixture *f)
{
    char listen_tcp[64], listen_unix[200], ready[32], data[540], token[600];
    int fds[2];
    if (pipe(fds) != 0)
        return false;
    int log_fd = getenv("JOBLOG_TEST_LOG") ? -1 : open(f->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    snprintf(listen_tcp, sizeof listen_tcp, "--listen=127.0.0.1:%d%s", f->port, f->unix_address[0] ? "," : "");
    snprintf(listen_unix, sizeof listen_unix, "%s%s", listen_tcp, f->unix_address);
    snprintf(ready, sizeof ready, "--ready-fd=%d", fds[1]);
    snprintf(data, sizeof data, "%s%s",
             f->database[0] ? "--database=" : "--embedded=", f->database[0] ? f->database : f->data);
    snprintf(token, sizeof token, "--admin-token-file=%s", f->token_file);
    char *argv[ARGS_MAX + 6] = {(char *)"joblogd", listen_unix, ready, data, token};
    memcpy(argv + 5, f->args, f->n_args * sizeof *argv);
    pid_t parent = getpid();
    f->pid = fork();
    if (f->pid == 0) {
        close(fds[0]);
        child_exec(argv, log_fd, parent);
    }
    close(fds[1]);
    if (log_fd >= 0)
        close(log_fd);
    char line[512] = "";
    bool ready_seen = f->pid > 0 && read_ready_line(fds[0], line, sizeof line);
    close(fds[0]);
    const char *at = ready_seen ? strstr(line, "listen=127.0.0.1:") : NULL;
    if (!at) {
        print_log(f, "joblogd did not become ready");
        if (f->pid > 0)
            server_fixture_kill(f);
        return false;
    }
    f->port = atoi(at + strlen("listen=127.0.0.1:"));
    snprintf(f->address, sizeof f->address, "127.0.0.1:%d", f->port);
    read_token(f);
    return true;
}

struct server_fixture *server_fixture_start(const struct server_fixture_options *options)
{
    static const struct server_fixture_options defaults;
    const struct server_fixture_options *o = options ? options : &defaults;
    struct server_fixture *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    strcpy(f->dir, "/tmp/joblog-server-XXXXXX");
    if (!make_home() || !mkdtemp(f->dir)) {
        perror("server_fixture: mkdtemp");
        free(f);
        return NULL;
    }
    snprintf(f->log_path, sizeof f->log_path, "%s/joblogd.log", f->dir);
    if (o->unix_socket)
        snprintf(f->unix_address, sizeof f->unix_address, "unix:%s/socket", f->dir);
    if (o->database)
        snprintf(f->database, sizeof f->database, "%s", o->database);
    else if (o->dir)
        snprintf(f->data, sizeof f->data, "%s", o->dir);
    else
        snprintf(f->data, sizeof f->data, "%s/data", f->dir);
    snprintf(f->token_file, sizeof f->token_file, "%s/admin-token", f->database[0] ? f->dir : f->data);
    while (o->args && o->args[f->n_args] && f->n_args < ARGS_MAX) {
        f->args[f->n_args] = strdup(o->args[f->n_args]);
        f->n_args++;
    }
    if (!launch(f)) {
        server_fixture_free(f);
        return NULL;
    }
    return f;
}

const char *server_fixture_address(const struct server_fixture *f)
{
    return f->address;
}

const char *server_fixture_unix_address(const struct server_fixture *f)
{
    return f->unix_address[0] ? f->unix_address : NULL;
}

const char *server_fixture_dir(const struct server_fixture *f)
{
    return f->dir;
}

const char *server_fixture_token(const struct server_fixture *f)
{
    return f->token[0] ? f->token : NULL;
}

const char *server_fixture_actor(const struct server_fixture *f)
{
    return f->actor;
}

const char *server_fixture_token_file(const struct server_fixture *f)
{
    return f->token_file;
}

pid_t server_fixture_pid(const struct server_fixture *f)
{
    return f->pid;
}

static void on_alarm(int signal)
{
    (void)signal;
}

/* waitpid that gives up after STOP_TIMEOUT_MS and then kills: a hang must fail, not block. */
int server_fixture_wait(struct server_fixture *f)
{
    if (f->pid <= 0)
        return -1;
    int status = 0;
    struct sigaction old, act = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &act, &old);
    alarm(STOP_TIMEOUT_MS / 1000);
    pid_t got = waitpid(f->pid, &status, 0);
    alarm(0);
    sigaction(SIGALRM, &old, NULL);
    if (got != f->pid) {
        print_log(f, "joblogd does not end");
        kill(f->pid, SIGKILL);
        while (waitpid(f->pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    f->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void server_fixture_terminate(struct server_fixture *f)
{
    if (f->pid > 0)
        kill(f->pid, SIGTERM);
}

int server_fixture_stop(struct server_fixture *f)
{
    server_fixture_terminate(f);
    int code = server_fixture_wait(f);
    if (code != 0)
        print_log(f, "joblogd ended badly");
    return code;
}

void server_fixture_kill(struct server_fixture *f)
{
    if (f->pid <= 0)
        return;
    kill(f->pid, SIGKILL);
    server_fixture_wait(f);
}

bool server_fixture_restart(struct server_fixture *f)
{
    return f->pid == 0 && launch(f);
}

void server_fixture_free(struct server_fixture *f)
{
    if (!f)
        return;
    if (f->pid > 0)
        server_fixture_stop(f);
    nftw(f->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < f->n_args; i++)
        free(f->args[i]);
    free(f);
}

int server_fixture_run(const char *const *args, char **ret_stderr)
{
    char *argv[ARGS_MAX + 2] = {(char *)"joblogd"};
    for (size_t i = 0; args[i] && i < ARGS_MAX; i++)
        argv[i + 1] = (char *)args[i];
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        child_exec(argv, fds[1], parent);
    close(fds[1]);
    char *text = read_all(fds[0]);
    close(fds[0]);
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (ret_stderr)
        *ret_stderr = text;
    else
        free(text);
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
