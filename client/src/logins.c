/* The file of logins: read, replaced. Others must not be able to read it, nor to have written it. Any thread, but two
 * programs that log in at the same moment may undo each other's. */
#include "logins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "client_priv.h"
#include "credentials.h"

enum { PATH_SIZE = 4096, FILE_MAX = 1 << 20 };

/* False: there is no such place. */
static bool directory_of(char path[PATH_SIZE])
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int n = -1;
    if (config && *config == '/')
        n = snprintf(path, PATH_SIZE, "%s/joblog", config);
    else if (home && *home == '/')
        n = snprintf(path, PATH_SIZE, "%s/.config/joblog", home);
    return n > 0 && n < PATH_SIZE - 32;
}

static int failed(const char *what, const char *path, struct err *ret_err)
{
    return err_set(ret_err, ERR_FAILED_PRECONDITION, "LOGINS_UNUSABLE", "cannot %s %.150s: %s", what, path,
                   strerror(errno));
}

static int read_text(int fd, const char *path, char **ret, size_t *ret_len, struct err *ret_err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return failed("read", path, ret_err);
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX || st.st_uid != geteuid() || (st.st_mode & (S_IRWXG | S_IRWXO)))
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "LOGINS_UNUSABLE",
                       "%.150s must be a file of your own that nobody else can read: chmod 600", path);
    char *text = mem_alloc((size_t)st.st_size + 1);
    if (!text)
        return error_no_memory(ret_err);
    size_t len = 0;
    ssize_t n = 1;
    while (len < (size_t)st.st_size && (n = read(fd, text + len, (size_t)st.st_size - len)) > 0)
        len += (size_t)n;
    if (n < 0) {
        mem_free(text);
        return failed("read", path, ret_err);
    }
    *ret = text;
    *ret_len = len;
    return 0;
}

int logins_read(json_t **ret, struct err *ret_err)
{
    char path[PATH_SIZE], *text = NULL;
    size_t len = 0, dir_len;
    int fd = -1, rc = 0;
    if (directory_of(path)) {
        dir_len = strlen(path);
        snprintf(path + dir_len, PATH_SIZE - dir_len, "/logins.json");
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
            return failed("read", path, ret_err);
    }
    json_t *logins = fd < 0 ? json_object() : NULL;
    if (fd >= 0) {
        rc = read_text(fd, path, &text, &len, ret_err);
        close(fd);
        if (rc < 0 || !text)
            return rc;
        logins = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
        explicit_bzero(text, len);
        mem_free(text);
        if (!json_is_object(logins)) {
            json_decref(logins);
            return err_set(ret_err, ERR_FAILED_PRECONDITION, "LOGINS_UNUSABLE",
                           "%.150s is damaged: remove it, and log in again", path);
        }
    }
    if (!logins)
        return error_no_memory(ret_err);
    *ret = logins;
    return 0;
}

static bool make_directories(char *path)
{
    for (char *at = strchr(path + 1, '/');; at = strchr(at + 1, '/')) {
        if (at)
            *at = '\0';
        bool good = mkdir(path, 0700) == 0 || errno == EEXIST;
        if (at)
            *at = '/';
        if (!good || !at)
            return good;
    }
}

int logins_write(json_t *logins, struct err *ret_err)
{
    char dir[PATH_SIZE], temporary[PATH_SIZE + 32], path[PATH_SIZE + 32];
    if (!directory_of(dir))
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "LOGINS_UNUSABLE",
                       "there is no place for logins: neither XDG_CONFIG_HOME nor HOME is set");
    if (!make_directories(dir))
        return failed("make", dir, ret_err);
    snprintf(path, sizeof path, "%s/logins.json", dir);
    snprintf(temporary, sizeof temporary, "%s/logins.XXXXXX", dir);
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return failed("write", path, ret_err);
    bool good =
        json_dumpfd(logins, fd, JSON_INDENT(2) | JSON_SORT_KEYS) == 0 && write(fd, "\n", 1) == 1 && fsync(fd) == 0;
    good = close(fd) == 0 && good && rename(temporary, path) == 0;
    int rc = good ? 0 : failed("write", path, ret_err);
    if (!good)
        unlink(temporary);
    return rc;
}

static int copy_member(const json_t *server, const char *name, char **ret, struct err *ret_err)
{
    const char *text = json_string_value(json_object_get(server, name));
    if (text && *text && !(*ret = mem_strdup(text)))
        return error_no_memory(ret_err);
    return 0;
}

int logins_find(const char *address, struct login *ret, struct err *ret_err)
{
    json_t *logins = NULL;
    struct login l = {0};
    int rc = logins_read(&logins, ret_err);
    if (rc < 0)
        return rc;
    const json_t *server = json_object_get(json_object_get(logins, "servers"), address);
    if (json_is_object(server)) {
        l.tls = json_is_true(json_object_get(server, "tls"));
        if ((rc = copy_member(server, "token", &l.token, ret_err)) == 0 &&
            (rc = copy_member(server, "ca_file", &l.ca_file, ret_err)) == 0 &&
            (rc = copy_member(server, "cert_file", &l.cert_file, ret_err)) == 0 &&
            (rc = copy_member(server, "key_file", &l.key_file, ret_err)) == 0)
            rc = copy_member(server, "server_name", &l.server_name, ret_err);
        if (rc == 0) {
            *ret = l;
            rc = 1;
        } else {
            login_done(&l);
        }
    }
    json_decref(logins);
    return rc;
}

int logins_current(char **ret, struct err *ret_err)
{
    json_t *logins = NULL;
    int rc = logins_read(&logins, ret_err);
    if (rc < 0)
        return rc;
    const char *current = json_string_value(json_object_get(logins, "current"));
    if (current && *current)
        rc = (*ret = mem_strdup(current)) ? 1 : error_no_memory(ret_err);
    json_decref(logins);
    return rc;
}
