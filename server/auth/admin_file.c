/* The administrator's token in a file that only its user can read: made at the first start, so that somebody can make
 * the other tokens. An existing file counts as it is: several replicas may share one, and one that is put back into an
 * empty database is valid again. At the start, before any call. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/auth_priv.h"
#include "base/clock.h"
#include "base/log.h"

static int failed(const char *what, const char *path, struct err *ret_err)
{
    int rc = err_set(ret_err, ERR_INVALID_ARGUMENT, NULL, "could not %s the administrator's token %.120s: %s", what,
                     path, strerror(errno));
    snprintf(ret_err->field, sizeof ret_err->field, "admin-token-file");
    return rc;
}

static int unfit(const char *path, const char *why, struct err *ret_err)
{
    return err_field(ret_err, "admin-token-file", "the administrator's token %.120s %s", path, why);
}

/* 1: read; 0: there is no such file; or -code. */
static int read_existing(const char *path, struct token_text *ret, struct err *ret_err)
{
    char text[TOKEN_TEXT_LEN + 8];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : failed("read", path, ret_err);
    ssize_t n = fstat(fd, &st) == 0 ? read(fd, text, sizeof text) : -1;
    int rc = 1;
    if (n < 0)
        rc = failed("read", path, ret_err);
    else if (!S_ISREG(st.st_mode))
        rc = unfit(path, "is no regular file", ret_err);
    else if (st.st_mode & S_IRWXO)
        rc = unfit(path, "can be read by everybody: chmod 600 it, and revoke it if others may have seen it", ret_err);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    if (rc == 1 && !token_parse(span_of(text, (size_t)n), ret))
        rc = unfit(path, "holds no token; remove it, and a new one will be made", ret_err);
    OPENSSL_cleanse(text, sizeof text);
    close(fd);
    return rc;
}

static void sync_directory(const char *path)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* Never half-written under its name, never readable by others for a moment, never instead of a file that is there (or
 * of a link that somebody put there). */
static int write_new(const char *path, const struct token_text *token, struct err *ret_err)
{
    char temporary[4096], line[TOKEN_TEXT_LEN + 2];
    if (snprintf(temporary, sizeof temporary, "%s.new-XXXXXX", path) >= (int)sizeof temporary)
        return unfit(path, "has too long a name", ret_err);
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return failed("make", path, ret_err);
    int len = snprintf(line, sizeof line, "%s\n", token->text);
    bool good = write(fd, line, (size_t)len) == len && fsync(fd) == 0;
    OPENSSL_cleanse(line, sizeof line);
    good = close(fd) == 0 && good && link(temporary, path) == 0;
    int rc = good ? 0 : failed("make", path, ret_err);
    unlink(temporary);
    if (good)
        sync_directory(path);
    return rc;
}

static int tell_database(struct store *store, const struct token_text *token, struct err *ret_err)
{
    char name[40];
    snprintf(name, sizeof name, "admin-%.8s", token->id);
    struct store_token_create cmd = {.cmd = {.op = STORE_TOKEN_CREATE},
                                     .token = {.id = span_of(token->id, TOKEN_ID_LEN),
                                               .hash = span_of((const char *)token->hash, TOKEN_HASH_LEN),
                                               .name = span_str(name),
                                               .roles = ROLE_ADMIN,
                                               .owner = SPAN_LIT("admin"),
                                               .may_delegate = true,
                                               .creator = SPAN_LIT("joblogd"),
                                               .create_us = clock_wall_us()}};
    return ask_store(store, &cmd.cmd, ret_err);
}

int admin_token_ensure(struct store *store, const char *path, struct err *ret_err)
{
    struct token_text token;
    int rc = read_existing(path, &token, ret_err);
    if (rc == 0 && (rc = token_make(&token, ret_err)) == 0) {
        /* The file first: should we die in between, the next start finds it and tells the database. */
        rc = write_new(path, &token, ret_err);
        if (rc == 0)
            log_info("administrator's token made file=%s id=%s", path, token.id);
    }
    if (rc >= 0)
        rc = tell_database(store, &token, ret_err);
    OPENSSL_cleanse(&token, sizeof token);
    return rc < 0 ? rc : 0;
}
