/* Downloading an export into a file: into PATH.part first, which a later call goes on with; the file gets its name when
 * all of it is there, checked and on disk. What is there of it stays, whatever goes wrong, unless its sum is. Runs on
 * the caller's thread. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "export_priv.h"

struct saving {
    int fd;
    int error; /* errno of a write that failed */
};

static int write_piece(void *user, const void *data, size_t len, int64_t offset, int64_t total)
{
    struct saving *s = user;
    (void)total;
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(s->fd, (const char *)data + done, len - done, (off_t)(offset + (int64_t)done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            s->error = n < 0 ? errno : ENOSPC;
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

static int file_error(struct err *ret_err, int number, const char *what)
{
    char text[100];
    return err_set(ret_err, number == ENOSPC || number == EDQUOT ? ERR_RESOURCE_EXHAUSTED : ERR_FAILED_PRECONDITION,
                   "FILE", "%s: %s", what, strerror_r(number, text, sizeof text));
}

/* Feeds what is in the file to the digest. Its length, or -code. */
static int64_t digest_file(int fd, EVP_MD_CTX *digest, struct err *ret_err)
{
    char buffer[65536];
    int64_t at = 0;
    for (;;) {
        ssize_t n = pread(fd, buffer, sizeof buffer, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return file_error(ret_err, errno, "could not read what is there of the file");
        if (n == 0)
            return at;
        if (EVP_DigestUpdate(digest, buffer, (size_t)n) != 1)
            return err_set(ret_err, ERR_INTERNAL, NULL, "could not compute the sum of the file");
        at += n;
    }
}

/* One try: goes on with what is in fd. */
static int fill_file(struct joblog_client *client, int64_t id, int fd, bool follow, struct err *ret_err)
{
    struct saving s = {.fd = fd};
    struct download d = {
        .client = client, .id = id, .follow = follow, .sink = write_piece, .user = &s, .digest = EVP_MD_CTX_new()};
    int rc;
    if (!d.digest || EVP_DigestInit_ex(d.digest, EVP_sha256(), NULL) != 1) {
        rc = error_no_memory(ret_err);
    } else if ((d.offset = digest_file(fd, d.digest, ret_err)) < 0) {
        rc = (int)d.offset;
    } else {
        rc = download_run(&d, ret_err);
        if (rc < 0 && s.error)
            rc = file_error(ret_err, s.error, "could not write the file");
    }
    EVP_MD_CTX_free(d.digest);
    return rc;
}

/* From the start, and again when the attempt that is followed fails: what a former download left is of who knows which
 * attempt. */
static int follow_file(struct joblog_client *client, int64_t id, int fd, struct err *ret_err)
{
    for (;;) {
        if (ftruncate(fd, 0) != 0)
            return file_error(ret_err, errno, "could not empty the file");
        *ret_err = ERR_NONE;
        int rc = fill_file(client, id, fd, true, ret_err);
        if (rc != -ERR_ABORTED || strcmp(ret_err->reason, "EXPORT_RESTARTED") != 0)
            return rc;
    }
}

/* The file's part; through no link, and nothing but a regular file. Or -code. */
static int open_part(const char *part, bool *ret_resumed, struct err *ret_err)
{
    struct stat st;
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int rc = file_error(ret_err, errno, "could not open the file");
        if (fd >= 0)
            close(fd);
        return rc;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "FILE", "%s is there and is not a regular file", part);
    }
    *ret_resumed = st.st_size > 0;
    return fd;
}

/* Makes the name of a file in its directory last. Where that cannot be done it lasts as the system pleases. */
static void sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = mem_strdup(slash ? path : ".");
    if (dir && slash)
        dir[slash == path ? 1 : slash - path] = '\0';
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        int rc = fsync(fd);
        (void)rc;
        close(fd);
    }
    mem_free(dir);
}

static bool is_wrong_sum(const struct err *err)
{
    return err->code == ERR_DATA_LOSS && strcmp(err->reason, "WRONG_SUM") == 0;
}

static int save(struct joblog_client *client, int64_t id, const char *path, const char *part, bool follow,
                struct err *ret_err)
{
    bool resumed = false;
    int fd = open_part(part, &resumed, ret_err);
    if (fd < 0)
        return fd;
    int rc = follow ? follow_file(client, id, fd, ret_err) : fill_file(client, id, fd, false, ret_err);
    /* What was there is of another export, or damaged: once more from the start. */
    if (!follow && resumed && (rc == -ERR_OUT_OF_RANGE || is_wrong_sum(ret_err))) {
        *ret_err = ERR_NONE;
        rc = ftruncate(fd, 0) == 0 ? fill_file(client, id, fd, false, ret_err)
                                   : file_error(ret_err, errno, "could not empty the file");
    }
    if (rc == 0 && fsync(fd) != 0)
        rc = file_error(ret_err, errno, "could not write the file");
    close(fd);
    if (rc == 0 && rename(part, path) != 0)
        rc = file_error(ret_err, errno, "could not rename the file");
    if (rc == 0)
        sync_directory(path);
    /* A file with the wrong sum would be wrong for ever, and what was followed of an export that has ended without one
     * is worth nothing. */
    if (rc < 0 && (is_wrong_sum(ret_err) || (follow && strcmp(ret_err->reason, "EXPORT_NOT_READY") == 0)))
        unlink(part);
    return rc;
}

/* A device, a pipe or a directory is no place to rename a file to: as root /dev/null itself would be replaced. */
int export_check_place(const char *path, struct err *ret_err)
{
    struct stat st;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode))
        return 0;
    return err_set(ret_err, ERR_FAILED_PRECONDITION, "FILE", "%s is there and is not a regular file", path);
}

static int save_to_path(struct joblog_client *client, int64_t id, const char *path, bool follow,
                        struct joblog_export **ret_export, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    if (export_check_place(path, &e) < 0)
        return error_give(error, &e);
    size_t len = strlen(path);
    char *part = mem_alloc(len + sizeof ".part");
    if (!part) {
        error_no_memory(&e);
        return error_give(error, &e);
    }
    memcpy(part, path, len);
    memcpy(part + len, ".part", sizeof ".part");
    int rc = save(client, id, path, part, follow, &e);
    mem_free(part);
    if (rc == 0 && ret_export) {
        struct joblog_export *out = export_get(client, id, &e);
        if (out)
            *ret_export = out;
    }
    return error_give(error, &e);
}

int joblog_export_save(struct joblog_client *client, int64_t id, const char *path, struct joblog_export **ret_export,
                       struct joblog_error *error)
{
    return save_to_path(client, id, path, false, ret_export, error);
}

int joblog_export_save_following(struct joblog_client *client, int64_t id, const char *path,
                                 struct joblog_export **ret_export, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct joblog_export *now = export_get(client, id, &e);
    if (!now)
        return error_give(error, &e);
    bool follow = now->job.status == JOBLOG_PENDING || now->job.status == JOBLOG_RUNNING;
    joblog_export_free(now);
    return save_to_path(client, id, path, follow, ret_export, error);
}
