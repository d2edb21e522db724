/* Directory, account, programs and initdb of the embedded cluster; see embedded_cluster.h. Main thread, before others
 * start. A child between fork and exec calls only what is safe there. Must not talk to a running postgres. */
#include "pg/embedded_cluster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "pg/embedded.h"

#define OLDEST_VERSION 15
#define LOG_KEEP_BYTES (16 << 20) /* beyond this the log of former runs moves to pg.log.1 */
#define INIT_WAIT_MS   120000     /* initdb takes one second; slow disks take more */

/* postgresql.conf of a new cluster: ours first, so that the operator's lines win. */
static const char main_conf[] = "# joblogd writes joblog.conf at each start; what stands below it wins.\n"
                                "include = 'joblog.conf'\n";

/* Few connections (one writer, some readers, exports), many small commits, queue rows that die young. */
static const char joblog_conf[] = "# Written by joblogd at each start: put your own settings in postgresql.conf.\n"
                                  "listen_addresses = ''\n"
                                  "max_connections = 50\n"
                                  "shared_buffers = 128MB\n"
                                  "max_wal_size = 2GB\n"
                                  "min_wal_size = 1GB\n" /* a new file of the log takes 20 to 80 ms, a used one none */
                                  "checkpoint_timeout = 15min\n"
                                  "wal_compression = off\n"
                                  "synchronous_commit = on\n"
                                  "autovacuum_naptime = 5s\n"
                                  "autovacuum_vacuum_cost_delay = 0\n"
                                  "jit = off\n"
                                  "log_checkpoints = off\n"
                                  "log_line_prefix = '%m [%p] '\n"
                                  "log_timezone = 'UTC'\n"
                                  "timezone = 'UTC'\n"
                                  "lc_messages = 'C.UTF-8'\n";

/* A descriptor of 3 or more, so that a child can lay out 0 to 2 without care. */
static int open_high(int dir_fd, const char *path, int flags, mode_t mode)
{
    int fd = openat(dir_fd, path, flags | O_CLOEXEC, mode);
    if (fd < 0 || fd > 2)
        return fd;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return high;
}

/* mkdir -p; only the last part gets mode 0700 when it is new. */
static int make_dirs(const char *path)
{
    char part[PATH_MAX];
    if (strlen(path) >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        memcpy(part, path, (size_t)(p - path));
        part[p - path] = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -1;
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

static int dir_error(struct err *err, const char *dir, const char *what)
{
    return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_DIRECTORY", "data directory %.150s: %s: %s", dir, what,
                   strerror(errno));
}

static int open_dir(struct pg_cluster *c, const char *dir, struct err *err)
{
    char resolved[PATH_MAX];
    struct stat st;
    if (!*dir)
        return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_DIRECTORY", "data directory: the name is empty");
    if (make_dirs(dir) < 0)
        return dir_error(err, dir, "could not create");
    if (!realpath(dir, resolved))
        return dir_error(err, dir, "could not resolve");
    if ((size_t)snprintf(c->dir, sizeof c->dir, "%s", resolved) >= sizeof c->dir) {
        errno = ENAMETOOLONG;
        return dir_error(err, dir, "could not resolve");
    }
    c->dir_fd = open_high(AT_FDCWD, c->dir, O_RDONLY | O_DIRECTORY, 0);
    if (c->dir_fd < 0 || fstat(c->dir_fd, &st) != 0)
        return dir_error(err, dir, "could not open");
    /* Whoever can put files there can put an administrator's token there, or a cluster of his own. */
    if (st.st_mode & S_IWOTH)
        return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_DIRECTORY",
                       "data directory %.150s can be written by everybody: chmod o-w it, or use a directory in it",
                       dir);
    c->lock_fd = open_high(c->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (c->lock_fd < 0)
        return dir_error(err, dir, "could not open its lock");
    if (flock(c->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_IN_USE",
                           "data directory %.150s is in use by another joblogd", dir);
        return dir_error(err, dir, "could not lock");
    }
    return 0;
}

static int open_log(struct pg_cluster *c, struct err *err)
{
    struct stat st;
    if (fstatat(c->dir_fd, "pg.log", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size > LOG_KEEP_BYTES)
        renameat(c->dir_fd, "pg.log", c->dir_fd, "pg.log.1");
    c->log_fd = open_high(c->dir_fd, "pg.log", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
    return c->log_fd < 0 ? dir_error(err, c->dir, "could not open pg.log") : 0;
}

/* The account: ours, or when that is root the owner of the cluster, or for a new one `postgres` or `nobody`. */
static int choose_account(struct pg_cluster *c, struct err *err)
{
    struct stat st;
    bool exists = fstatat(c->dir_fd, "pg", &st, AT_SYMLINK_NOFOLLOW) == 0;
    c->as_root = geteuid() == 0;
    c->uid = geteuid();
    c->gid = getegid();
    if (!c->as_root) {
        if (exists && st.st_uid != c->uid)
            return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_OWNER",
                           "cluster %.150s/pg belongs to user %u, not to us (user %u)", c->dir, st.st_uid, c->uid);
        return 0;
    }
    if (exists) {
        c->uid = st.st_uid;
        c->gid = st.st_gid;
        if (c->uid == 0)
            return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_OWNER",
                           "cluster %.150s/pg belongs to root, under which PostgreSQL does not run", c->dir);
        return 0;
    }
    struct passwd *pw = getpwnam("postgres");
    if (!pw)
        pw = getpwnam("nobody");
    if (!pw || pw->pw_uid == 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_ACCOUNT",
                       "no account `postgres` or `nobody` to run PostgreSQL under; start as another user than root");
    c->uid = pw->pw_uid;
    c->gid = pw->pw_gid;
    return 0;
}

static bool has_programs(const char *bin)
{
    char path[128];
    snprintf(path, sizeof path, "%s/initdb", bin);
    if (access(path, X_OK) < 0)
        return false;
    snprintf(path, sizeof path, "%s/postgres", bin);
    return access(path, X_OK) == 0;
}

/* Major version of the cluster, or 0 when there is none. */
static int cluster_version(const struct pg_cluster *c)
{
    char text[16] = "";
    int fd = openat(c->dir_fd, "pg/PG_VERSION", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 ? atoi(text) : 0;
}

/* The newest version installed, or exactly the cluster's: a cluster is good for one major version only. */
static int find_programs(struct pg_cluster *c, struct err *err)
{
    static const char *const places[] = {"/usr/lib/postgresql/%d/bin", "/usr/pgsql-%d/bin", "/opt/postgresql/%d/bin"};
    int have = cluster_version(c);
    for (int v = have ? have : OLDEST_VERSION + 20; v >= (have ? have : OLDEST_VERSION); v--) {
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            snprintf(c->bin, sizeof c->bin, places[i], v);
            if (has_programs(c->bin))
                return 0;
        }
    }
    if (have)
        return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_PROGRAMS",
                       "cluster %.150s/pg needs PostgreSQL %d, which is not installed", c->dir, have);
    return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_PROGRAMS",
                   "no PostgreSQL %d or later below /usr/lib/postgresql (Debian package postgresql-15)",
                   OLDEST_VERSION);
}

/* In the child: says in pg.log what failed. */
static _Noreturn void child_fail(const char *what)
{
    dprintf(2, "joblogd: could not start a program of PostgreSQL: %s: errno %d\n", what, errno);
    _exit(126);
}

static _Noreturn void child_exec(const struct pg_cluster *c, int data_fd, char *const argv[], int death_signal,
                                 pid_t parent)
{
    /* malloc keeps 8 MiB that a backend has freed: else each chunk of an export would be given back to the kernel and
     * faulted in again, which was a third of the time of the process that stores them. */
    static char *const env[] = {"PATH=/usr/bin:/bin",
                                "LC_ALL=C.UTF-8",
                                "MALLOC_MMAP_THRESHOLD_=1048576",
                                "MALLOC_TRIM_THRESHOLD_=8388608",
                                "MALLOC_TOP_PAD_=1048576",
                                NULL};
    sigset_t none;
    setsid(); /* Ctrl-C in the terminal is for joblogd alone, which stops postgres last */
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(077);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(c->log_fd, 1) < 0 || dup2(c->log_fd, 2) < 0)
        _exit(126);
    if (chdir("/") < 0 || dup2(data_fd, 3) < 0 || fcntl(3, F_SETFD, 0) < 0 || close_range(4, ~0U, 0) < 0)
        child_fail("descriptors");
    if (c->as_root && (setgroups(0, NULL) < 0 || setgid(c->gid) < 0 || setuid(c->uid) < 0))
        child_fail("change of user");
    /* After the change of user, which clears it. */
    if (prctl(PR_SET_PDEATHSIG, death_signal) < 0 || getppid() != parent)
        child_fail("tie to joblogd");
    execve(argv[0], argv, env);
    child_fail(argv[0]);
}

pid_t pg_cluster_spawn(const struct pg_cluster *c, int data_fd, char *const argv[], int death_signal)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        child_exec(c, data_fd, argv, death_signal, parent);
    return pid;
}

bool pg_process_wait(pid_t pid, int timeout_ms)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return errno == ESRCH;
    int64_t until = clock_mono_ms() + timeout_ms;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n;
    do {
        int64_t left = until - clock_mono_ms();
        n = poll(&p, 1, left > 0 ? (int)left : 0);
    } while (n < 0 && errno == EINTR);
    close(fd);
    return n > 0;
}

void pg_cluster_log_tail(const struct pg_cluster *c)
{
    char text[1024];
    int fd = openat(c->dir_fd, "pg.log", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)sizeof text - 1 ? size - (off_t)sizeof text + 1 : 0;
    ssize_t n = pread(fd, text, sizeof text - 1, from);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    char *rest = text, *line;
    if (from > 0)
        strsep(&rest, "\n"); /* the rest of a line */
    while ((line = strsep(&rest, "\n"))) {
        if (*line)
            log_error("pg.log: %s", line);
    }
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int write_conf(const struct pg_cluster *c, int data_fd, const char *name, const char *text)
{
    int fd = openat(data_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    ssize_t len = (ssize_t)strlen(text);
    bool ok = write(fd, text, (size_t)len) == len && (!c->as_root || fchown(fd, c->uid, c->gid) == 0);
    return close(fd) == 0 && ok ? 0 : -1;
}

static int run_initdb(struct pg_cluster *c, int new_fd, struct err *err)
{
    char program[96], data[PATH_MAX];
    snprintf(program, sizeof program, "%s/initdb", c->bin);
    snprintf(data, sizeof data, c->as_root ? "/proc/self/fd/3" : "%s/pg.new", c->dir);
    /* Collation C compares bytes, fast and the same on every machine; C.UTF-8 knows the case of all letters. */
    char *argv[] = {program,
                    "-D",
                    data,
                    "--username=joblog",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--lc-ctype=C.UTF-8",
                    "--lc-messages=C.UTF-8",
                    "--data-checksums",
                    "--no-instructions",
                    c->is_volatile ? "--no-sync" : NULL,
                    NULL};
    pid_t pid = pg_cluster_spawn(c, new_fd, argv, SIGKILL);
    if (pid < 0)
        return dir_error(err, c->dir, "could not start initdb");
    int status = -1;
    if (!pg_process_wait(pid, INIT_WAIT_MS))
        kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) < 0 || status != 0) {
        pg_cluster_log_tail(c);
        return err_set(err, ERR_UNAVAILABLE, "EMBEDDED_INIT",
                       "making the database cluster failed (status %d); see %.150s/pg.log", status, c->dir);
    }
    return 0;
}

/* Makes DIR/pg in one step: initdb works in DIR/pg.new, which then changes its name. */
static int make_cluster(struct pg_cluster *c, struct err *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/pg.new", c->dir);
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); /* what a killed start left */
    if (mkdirat(c->dir_fd, "pg.new", 0700) < 0)
        return dir_error(err, c->dir, "could not create pg.new");
    int fd = open_high(c->dir_fd, "pg.new", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0 || (c->as_root && fchown(fd, c->uid, c->gid) < 0)) {
        int rc = dir_error(err, c->dir, "could not prepare pg.new");
        if (fd >= 0)
            close(fd);
        return rc;
    }
    int rc = run_initdb(c, fd, err);
    if (rc == 0 && (write_conf(c, fd, "postgresql.conf", main_conf) < 0 || fsync(fd) < 0 ||
                    renameat(c->dir_fd, "pg.new", c->dir_fd, "pg") < 0 || fsync(c->dir_fd) < 0))
        rc = dir_error(err, c->dir, "could not complete the cluster");
    close(fd);
    if (rc == 0)
        log_info("made the database cluster dir=%s/pg programs=%s", c->dir, c->bin);
    return rc;
}

static int open_cluster(struct pg_cluster *c, struct err *err)
{
    if (faccessat(c->dir_fd, "pg", F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
        int rc = make_cluster(c, err);
        if (rc < 0)
            return rc;
    }
    c->data_fd = open_high(c->dir_fd, "pg", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (c->data_fd < 0)
        return dir_error(err, c->dir, "could not open its pg");
    if (cluster_version(c) == 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "EMBEDDED_DIRECTORY", "%.150s/pg is no database cluster", c->dir);
    if (write_conf(c, c->data_fd, "joblog.conf", joblog_conf) < 0)
        return dir_error(err, c->dir, "could not write pg/joblog.conf");
    snprintf(c->data, sizeof c->data, c->as_root ? "/proc/self/fd/3" : "%s/pg", c->dir);
    return 0;
}

int pg_cluster_open(struct pg_cluster *c, const char *dir, unsigned flags, struct err *err)
{
    int rc;
    *c = (struct pg_cluster){.dir_fd = -1, .lock_fd = -1, .log_fd = -1, .data_fd = -1};
    c->is_volatile = (flags & EMBEDDED_PG_VOLATILE) != 0;
    if ((rc = open_dir(c, dir, err)) < 0 || (rc = choose_account(c, err)) < 0 || (rc = find_programs(c, err)) < 0 ||
        (rc = open_log(c, err)) < 0 || (rc = open_cluster(c, err)) < 0)
        pg_cluster_close(c);
    return rc;
}

void pg_cluster_close(struct pg_cluster *c)
{
    int fds[] = {c->data_fd, c->log_fd, c->lock_fd, c->dir_fd};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    c->data_fd = c->log_fd = c->lock_fd = c->dir_fd = -1;
}

/* The pid in postmaster.pid, when a process of that number has the cluster as its working directory: numbers recur. */
static pid_t running_postmaster(const struct pg_cluster *c)
{
    char text[32] = "", link[64];
    int fd = openat(c->data_fd, "postmaster.pid", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    pid_t pid = n > 0 ? (pid_t)atoi(text) : 0;
    if (pid <= 1)
        return 0;
    struct stat of_process, of_cluster;
    snprintf(link, sizeof link, "/proc/%d/cwd", (int)pid);
    if (stat(link, &of_process) < 0 || fstat(c->data_fd, &of_cluster) < 0)
        return 0;
    return of_process.st_dev == of_cluster.st_dev && of_process.st_ino == of_cluster.st_ino ? pid : 0;
}

bool pg_cluster_stop_orphan(const struct pg_cluster *c)
{
    pid_t pid = running_postmaster(c);
    if (!pid)
        return true;
    log_warning("stopping a postgres that a former run left pid=%d dir=%s", (int)pid, c->dir);
    kill(pid, SIGINT); /* fast shutdown; harmless when it is under way */
    if (pg_process_wait(pid, 30000))
        return true;
    kill(pid, SIGQUIT); /* immediate: the next start recovers from the log */
    return pg_process_wait(pid, 30000);
}
