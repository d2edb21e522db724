/* See source.h. A new file is told by its inode, size and time, through symbolic links: that is how secrets are
 * replaced in a mounted directory. */
#include "auth/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { SOURCE_MAX_BYTES = 1 << 20 }; /* thousands of keys or rules; more is some other file */

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool source_changed(const struct source *s)
{
    struct stat now;
    return s->path && stat(s->path, &now) == 0 && !same(&now, &s->seen);
}

static int failed(const struct source *s, struct err *ret_err)
{
    return err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "could not read %.120s: %s", s->path, strerror(errno));
}

int source_read(struct source *s, struct buf *ret, struct err *ret_err)
{
    int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;
    ssize_t n = 1;
    if (fd < 0) {
        int rc_open = failed(s, ret_err);
        stat(s->path, &s->seen); /* said once for each change */
        return rc_open;
    }
    if (fstat(fd, &s->seen) != 0)
        rc = failed(s, ret_err);
    else if (!S_ISREG(s->seen.st_mode) || s->seen.st_size > SOURCE_MAX_BYTES)
        rc = err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "%.120s is no file of at most 1 MiB", s->path);
    while (rc == 0 && n > 0 && ret->len <= SOURCE_MAX_BYTES) {
        if (!buf_reserve(ret, 65536)) {
            rc = err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
            break;
        }
        n = read(fd, ret->data + ret->len, 65536);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            rc = failed(s, ret_err);
        else
            ret->len += (size_t)n;
    }
    close(fd);
    if (rc == 0 && ret->len > SOURCE_MAX_BYTES)
        rc = err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "%.120s is longer than 1 MiB", s->path);
    return rc;
}
