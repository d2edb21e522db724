/* Downloading an export into a file: into PATH.part first, which a later call goes on with; the file gets its name when
 * all of it is there, checked and on disk. What is there of it stays, whatever goes wrong, unless its sum is. Runs on
 * the caller's thread. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

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
            return export_place_error(ret_err, errno, "could not read what is there of the file");
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
            rc = export_place_error(ret_err, s.error, "could not write the file");
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
            return export_place_error(ret_err, errno, "could not empty the file");
        *ret_err = ERR_NONE;
        int rc = fill_file(client, id, fd, true, ret_err);
        if (rc != -ERR_ABORTED || strcmp(ret_err->reason, "EXPORT_RESTARTED") != 0)
            return rc;
    }
}

static bool is_wrong_sum(const struct err *err)
{
    return err->code == ERR_DATA_LOSS && strcmp(err->reason, "WRONG_SUM") == 0;
}

int export_save(struct joblog_client *client, int64_t id, struct export_place *place, bool follow,
                struct joblog_export **ret_export, struct err *ret_err)
{
    int fd = place->fd;
    int rc = follow ? follow_file(client, id, fd, ret_err) : fill_file(client, id, fd, false, ret_err);
    /* What was there is of another export, or damaged: once more from the start. */
    if (!follow && place->resumed && (rc == -ERR_OUT_OF_RANGE || is_wrong_sum(ret_err))) {
        *ret_err = ERR_NONE;
        rc = ftruncate(fd, 0) == 0 ? fill_file(client, id, fd, false, ret_err)
                                   : export_place_error(ret_err, errno, "could not empty the file");
    }
    /* A file with the wrong sum would be wrong for ever, and what was followed of an export that has ended without one
     * is worth nothing. */
    if (rc < 0 && (is_wrong_sum(ret_err) || (follow && strcmp(ret_err->reason, "EXPORT_NOT_READY") == 0)))
        export_place_discard(place);
    /* Before the file has its name: a call that fails has put nothing there. */
    struct joblog_export *out = rc == 0 && ret_export ? export_get(client, id, ret_err) : NULL;
    if (rc == 0 && ret_export && !out)
        return -(int)ret_err->code;
    if (rc == 0)
        rc = export_place_keep(place, ret_err);
    if (rc == 0 && out)
        *ret_export = out;
    else
        joblog_export_free(out);
    return rc;
}

static int save_to_path(struct joblog_client *client, int64_t id, const char *path, bool follow,
                        struct joblog_export **ret_export, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct export_place place;
    if (export_place_open(&place, path, &e) == 0) {
        export_save(client, id, &place, follow, ret_export, &e);
        export_place_close(&place);
    }
    return error_give(error, &e);
}

int joblog_export_check_place(const char *path, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct export_place place;
    if (export_place_open(&place, path, &e) == 0)
        export_place_close(&place);
    return error_give(error, &e);
}

int joblog_export_save(struct joblog_client *client, int64_t id, const char *path, struct joblog_export **ret_export,
                       struct joblog_error *error)
{
    return save_to_path(client, id, path, false, ret_export, error);
}

/* Whether it may still be written. -code when the server does not say. */
static int may_be_followed(struct joblog_client *client, int64_t id, struct err *ret_err)
{
    struct joblog_export *now = export_get(client, id, ret_err);
    if (!now)
        return -(int)ret_err->code;
    bool follow = !joblog_status_is_final(now->job.status);
    joblog_export_free(now);
    return follow;
}

int joblog_export_save_following(struct joblog_client *client, int64_t id, const char *path,
                                 struct joblog_export **ret_export, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    int follow = may_be_followed(client, id, &e);
    return follow < 0 ? error_give(error, &e) : save_to_path(client, id, path, follow, ret_export, error);
}
