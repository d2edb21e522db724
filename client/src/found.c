/* Tokens in files: one that was named, and that of a server which this user runs on this machine. The latter is
 * announced by joblogd (server/announce.c): a file for each address, locked while the server runs. Any thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "client_priv.h"
#include "credentials.h"

enum { PATH_SIZE = 4096, TOKEN_MAX = 8192 /* the longest JWT that a server takes */ };

static int cannot_read(const char *path, struct err *ret_err)
{
    return err_set(ret_err, ERR_FAILED_PRECONDITION, "TOKEN_FILE_UNUSABLE", "cannot read the token in %.150s: %s", path,
                   strerror(errno));
}

int token_file_read(const char *path, char **ret, struct stat *ret_seen, struct err *ret_err)
{
    char text[TOKEN_MAX + 64];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;
    if (fd < 0)
        return cannot_read(path, ret_err);
    ssize_t n = fstat(fd, ret_seen) == 0 ? read(fd, text, sizeof text) : -1;
    if (n < 0)
        rc = cannot_read(path, ret_err);
    close(fd);
    if (rc < 0)
        return rc;
    char *start = text, *end = text + n;
    while (end > start && strchr(" \t\r\n", end[-1]))
        end--;
    while (start < end && strchr(" \t\r\n", *start))
        start++;
    bool good = end > start && end - start <= TOKEN_MAX;
    for (char *at = start; good && at < end; at++)
        good = *at > ' ' && *at <= '~';
    char *copy = good ? mem_alloc((size_t)(end - start) + 1) : NULL;
    if (good && !copy)
        return error_no_memory(ret_err);
    if (!good)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "TOKEN_FILE_UNUSABLE", "%.200s holds no token", path);
    memcpy(copy, start, (size_t)(end - start));
    copy[end - start] = '\0';
    *ret = copy;
    return 0;
}

bool address_is_remote(const char *address)
{
    static const char *const local[] = {"unix:", "127.", "localhost:", "[::1]:"};
    if (strncmp(address, "dns:///", 7) == 0)
        address += 7;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        if (strncmp(address, local[i], strlen(local[i])) == 0)
            /* 127.evil.example is a name like any other. */
            return i == 1 && strspn(address, "0123456789.") != strcspn(address, ":");
    }
    return true;
}

/* The file that tells of address; empty: there can be none. */
static void announcement_path(const char *address, char path[PATH_SIZE])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME"), *start = "";
    size_t n = 0;
    path[0] = '\0';
    if (state && *state == '/')
        n = (size_t)snprintf(path, PATH_SIZE, "%s/joblog/servers/", state);
    else if (home && *home == '/')
        n = (size_t)snprintf(path, PATH_SIZE, "%s/.local/state/joblog/servers/", home);
    else
        return;
    if (strncmp(address, "localhost:", 10) == 0) {
        start = "127.0.0.1:";
        address += 10;
    }
    for (; *start && n + 1 < PATH_SIZE; start++)
        path[n++] = *start;
    for (; *address && n + 4 < PATH_SIZE; address++) {
        if (*address == '/' || *address == '%')
            n += (size_t)snprintf(path + n, PATH_SIZE - n, "%%%02X", (unsigned)*address);
        else
            path[n++] = *address;
    }
    if (n + 4 >= PATH_SIZE)
        path[0] = '\0';
    else
        path[n] = '\0';
}

/* Locked by the server: it runs, so nobody else has its address. Not locked: it does not, and a token must not go to
 * whoever listens there now. */
static bool is_locked(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return false; /* the lock goes with the descriptor */
    return errno == EWOULDBLOCK;
}

char *found_token_file(const char *address)
{
    char path[PATH_SIZE], token[PATH_SIZE];
    struct stat st;
    announcement_path(address, path);
    int fd = *path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    if (fd < 0)
        return NULL;
    ssize_t n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && is_locked(fd)
                    ? read(fd, token, sizeof token - 1)
                    : -1;
    close(fd);
    if (n <= 1 || token[n - 1] != '\n')
        return NULL;
    token[n - 1] = '\0';
    return access(token, R_OK) == 0 ? mem_strdup(token) : NULL;
}
