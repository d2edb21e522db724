/* Chunks in a directory: a file each, JOB-TOKEN.part while it is written, JOB-TOKEN.data when it is whole and on disk.
 * A file is a row of frames: 16 bytes of head, then a chunk, so that frame N is at N times the full frame's size.
 * Blocking; a sink on the thread that uses it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "export/chunk_book.h"
#include "export/chunk_dir.h"

enum { REMOVED_EVERY = 16 };

struct frame_head {
    uint32_t magic, seq, len, crc32c; /* of this machine's byte order: replicas that share a directory are alike */
};
static const uint32_t MAGIC = 0x4c424a45; /* "EJBL" */

struct chunk_sink {
    const struct chunk_store *store;
    struct chunk_owner owner;
    struct pg_conn *pg;
    bool is_new; /* the connection */
    struct pg_params params;
    int fd;
    int32_t chunk_bytes;
    bool whole; /* the file is in the books, and the connection good for another */
};

static bool make_path(char path[PATH_BYTES], const struct chunk_store *store, const struct chunk_owner *owner,
                      const char *end)
{
    int n = snprintf(path, PATH_BYTES, "%s/%" PRId64 "-%" PRId64 ".%s", store->dir, owner->job_id, owner->token, end);
    return n > 0 && n < PATH_BYTES;
}

int chunk_dir_error(struct err *err, const char *doing)
{
    char text[100];
    int number = errno;
    log_warning("export directory doing=%s error=\"%s\"", doing, strerror_r(number, text, sizeof text));
    if (number == ENOSPC || number == EDQUOT || number == EFBIG)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "EXPORT_DISK_FULL", "there is no room left for files of exports");
    return err_set(err, ERR_UNAVAILABLE, "EXPORT_DIRECTORY", "the directory for files of exports cannot be used");
}

static void sink_close(struct chunk_sink *sink)
{
    if (!sink)
        return;
    if (sink->fd >= 0)
        close(sink->fd);
    chunk_book_end(sink->store->idle, sink->pg, sink->whole);
    pg_params_done(&sink->params);
    mem_free(sink);
}

static int sink_open(const struct chunk_store *store, const struct chunk_owner *owner, int32_t chunk_bytes,
                     struct chunk_sink **ret, struct err *ret_err)
{
    struct chunk_sink *sink = mem_zalloc(sizeof *sink);
    if (!sink)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    *sink = (struct chunk_sink){.store = store, .owner = *owner, .fd = -1, .chunk_bytes = chunk_bytes};
    int rc = chunk_book_connect(store, &sink->pg, &sink->is_new, ret_err);
    if (rc != 0)
        sink_close(sink);
    else
        *ret = sink;
    return rc;
}

/* First the books: a file that they do not know is swept. */
static int sink_begin(struct chunk_sink *sink, const struct export_file *description, struct span owner_name,
                      int64_t *ret_used_bytes, struct err *ret_err)
{
    char path[PATH_BYTES];
    int rc = chunk_book_begin(sink->pg, sink->is_new, &sink->owner, description, owner_name, ret_used_bytes, ret_err);
    if (rc == 0 && (!make_path(path, sink->store, &sink->owner, "part") ||
                    (sink->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0))
        rc = chunk_dir_error(ret_err, "opening");
    return rc;
}

static void sink_interrupt(struct chunk_sink *sink)
{
    pg_interrupt(sink->pg);
}

bool chunk_dir_write(int fd, const void *data, size_t len, off_t at)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(fd, (const char *)data + done, len - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : ENOSPC;
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static off_t frame_at(int32_t seq, int32_t chunk_bytes)
{
    return (off_t)seq * ((off_t)chunk_bytes + (off_t)sizeof(struct frame_head));
}

/* The head last: who follows sees a frame only when it is whole. */
static int sink_write(struct chunk_sink *sink, int32_t seq, struct span data, uint32_t crc32c, struct err *ret_err)
{
    struct frame_head head = {MAGIC, (uint32_t)seq, (uint32_t)data.len, crc32c};
    off_t at = frame_at(seq, sink->chunk_bytes);
    if (!chunk_dir_write(sink->fd, data.data, data.len, at + (off_t)sizeof head) ||
        !chunk_dir_write(sink->fd, &head, sizeof head, at))
        return chunk_dir_error(ret_err, "writing");
    return 0;
}

static int sink_publish(struct chunk_sink *sink, struct err *ret_err)
{
    (void)sink;
    (void)ret_err;
    return 0;
}

bool chunk_dir_sync(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* On disk under its name first, then known. */
static int sink_commit(struct chunk_sink *sink, const struct export_file *file, struct span owner_name, int64_t budget,
                       struct err *ret_err)
{
    char part[PATH_BYTES], whole[PATH_BYTES];
    if (fsync(sink->fd) != 0 || !make_path(part, sink->store, &sink->owner, "part") ||
        !make_path(whole, sink->store, &sink->owner, "data") || rename(part, whole) != 0 ||
        !chunk_dir_sync(sink->store->dir))
        return chunk_dir_error(ret_err, "finishing");
    int rc = chunk_book_commit(sink->pg, &sink->params, &sink->owner, file, owner_name, budget, ret_err);
    sink->whole = rc == 0;
    return rc;
}

static int remove_file(const struct chunk_store *store, struct pg_conn *pg, const struct chunk_owner *owner,
                       struct err *ret_err)
{
    char path[PATH_BYTES];
    (void)pg;
    if ((make_path(path, store, owner, "part") && unlink(path) != 0 && errno != ENOENT) ||
        (make_path(path, store, owner, "data") && unlink(path) != 0 && errno != ENOENT))
        return chunk_dir_error(ret_err, "removing");
    return 0;
}

static int discard(const struct chunk_store *store, const struct chunk_owner *owner, struct err *ret_err)
{
    struct pg_conn *pg;
    bool keep = true;
    int rc = chunk_book_discard(store->uri, owner, &pg, &keep, ret_err);
    if (rc != 0)
        return rc;
    if (!keep)
        rc = remove_file(store, NULL, owner, ret_err);
    pg_close(pg);
    return rc;
}

/* ---- reading ---- */

static int not_there(struct err *err, int32_t seq)
{
    return err_set(err, ERR_NOT_FOUND, "EXPORT_CHUNK_NOT_FOUND", "there is no chunk %d", seq);
}

/* *ret_whole: it is no longer written. */
static int open_file(const struct chunk_store *store, const struct chunk_owner *owner, bool *ret_whole)
{
    static const char *const ends[] = {"data", "part", "data"}; /* again: it may be renamed in between */
    char path[PATH_BYTES];
    for (int i = 0; i < 3; i++) {
        int fd = make_path(path, store, owner, ends[i]) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        *ret_whole = i != 1;
        if (fd >= 0 || errno != ENOENT)
            return fd;
    }
    return -1;
}

ssize_t chunk_dir_read(int fd, void *data, size_t len, off_t at)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (char *)data + done, len - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* In a file that is still written a frame that is not whole is one that is not there yet; behind the end of one that is
 * not written any more there is none; all else is damage. */
static int read_frame(int fd, bool whole, int32_t seq, int32_t chunk_bytes, char **ret_data, struct frame_head *head,
                      struct err *err)
{
    off_t at = frame_at(seq, chunk_bytes);
    ssize_t n = chunk_dir_read(fd, head, sizeof *head, at);
    if (n < 0)
        return chunk_dir_error(err, "reading");
    if (n == 0)
        return not_there(err, seq);
    if (n < (ssize_t)sizeof *head || head->magic != MAGIC || head->seq != (uint32_t)seq ||
        head->len > (uint32_t)chunk_bytes)
        return whole ? chunk_damaged(seq, err) : not_there(err, seq);
    char *data = mem_alloc(head->len + 1);
    if (!data)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    n = chunk_dir_read(fd, data, head->len, at + (off_t)sizeof *head);
    if (n == (ssize_t)head->len) {
        *ret_data = data;
        return 0;
    }
    int rc = n < 0 ? chunk_dir_error(err, "reading") : whole ? chunk_damaged(seq, err) : not_there(err, seq);
    mem_free(data);
    return rc;
}

static int read_chunk(const struct chunk_store *store, struct pg_conn *pg, const struct chunk_owner *owner, int32_t seq,
                      int32_t chunk_bytes, struct chunk_data *ret, struct err *ret_err)
{
    struct frame_head head;
    char *data = NULL;
    bool whole;
    (void)pg;
    int fd = open_file(store, owner, &whole);
    if (fd < 0)
        return errno == ENOENT ? not_there(ret_err, seq) : chunk_dir_error(ret_err, "reading");
    int rc = read_frame(fd, whole, seq, chunk_bytes, &data, &head, ret_err);
    close(fd);
    if (rc == 0)
        *ret = (struct chunk_data){
            .data = span_of(data, head.len), .crc32c = head.crc32c, .release = mem_free, .owner = data};
    return rc;
}

static int hold(const struct chunk_store *store, const struct chunk_owner *owner)
{
    bool whole = false;
    int fd = open_file(store, owner, &whole);
    if (fd >= 0 && !whole) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A file that has been removed is still all there for who holds it; its removal is seen after so many chunks. */
static bool is_removed(int held_fd, int32_t seq)
{
    struct stat st;
    return seq % REMOVED_EVERY == 0 && (fstat(held_fd, &st) != 0 || st.st_nlink == 0);
}

/* Head and data by one call, which fails or reads less where it would have to wait for the disk. */
static int read_now(int held_fd, int32_t seq, int32_t chunk_bytes, bool as_kept, struct chunk_data *ret)
{
    struct frame_head head = {0};
    if (is_removed(held_fd, seq))
        return 0;
    char *data = mem_alloc((size_t)chunk_bytes);
    if (!data)
        return 0;
    struct iovec parts[] = {{&head, sizeof head}, {data, (size_t)chunk_bytes}};
    ssize_t n = preadv2(held_fd, parts, 2, frame_at(seq, chunk_bytes), RWF_NOWAIT);
    bool ok = n >= (ssize_t)sizeof head && head.magic == MAGIC && head.seq == (uint32_t)seq &&
              head.len <= (uint32_t)chunk_bytes && (size_t)n >= sizeof head + head.len &&
              (as_kept || crc32c(0, data, head.len) == head.crc32c);
    if (!ok) {
        mem_free(data);
        return 0;
    }
    *ret =
        (struct chunk_data){.data = span_of(data, head.len), .crc32c = head.crc32c, .release = mem_free, .owner = data};
    return 1;
}

/* ---- sweeping ---- */

/* "JOB-TOKEN.part", "JOB-TOKEN.data", as we write it. */
static bool parse_name(const char *name, struct chunk_owner *ret)
{
    char as_ours[64];
    int end = 0;
    if (sscanf(name, "%" SCNd64 "-%" SCNd64 ".%n", &ret->job_id, &ret->token, &end) != 2 || end == 0)
        return false;
    snprintf(as_ours, sizeof as_ours, "%" PRId64 "-%" PRId64 "%s", ret->job_id, ret->token,
             strcmp(name + end, "part") == 0 ? ".part" : ".data");
    return ret->job_id >= 0 && ret->token >= 0 && strcmp(as_ours, name) == 0;
}

bool chunk_dir_is_ours(DIR *dir, const struct dirent *entry, struct chunk_owner *ret)
{
    struct stat st;
    return parse_name(entry->d_name, ret) &&
           (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode));
}

static int sweep_file(const struct chunk_store *store, struct pg_conn *pg, const struct chunk_owner *owner,
                      struct err *ret_err)
{
    struct pg_params params = {0};
    chunk_book_add_owner(&params, owner);
    struct pg_result *r = chunk_book_run(pg, EXPORT_SQL_FILE_KNOWN, &params, ret_err);
    bool known = r && pg_int(r, 0, 0) != 0;
    pg_params_done(&params);
    pg_free(r);
    if (!r)
        return -(int)ret_err->code;
    return known ? 0 : remove_file(store, pg, owner, ret_err);
}

static int sweep(const struct chunk_store *store, struct pg_conn *pg, struct err *ret_err)
{
    DIR *dir = opendir(store->dir);
    if (!dir)
        return chunk_dir_error(ret_err, "sweeping");
    int rc = 0;
    for (const struct dirent *entry; rc == 0 && (entry = readdir(dir));) {
        struct chunk_owner owner;
        if (chunk_dir_is_ours(dir, entry, &owner))
            rc = sweep_file(store, pg, &owner, ret_err);
        else
            chunk_dir_sweep_mark(dir, entry);
    }
    closedir(dir);
    return rc;
}

struct chunk_store chunk_store_dir(const char *uri, const char *dir)
{
    return (struct chunk_store){.open = sink_open,
                                .begin = sink_begin,
                                .write = sink_write,
                                .publish = sink_publish,
                                .commit = sink_commit,
                                .interrupt = sink_interrupt,
                                .close = sink_close,
                                .discard = discard,
                                .read = read_chunk,
                                .hold = hold,
                                .read_now = read_now,
                                .remove = remove_file,
                                .sweep = sweep,
                                .storage = EXPORT_IN_DIRECTORY,
                                .uri = uri,
                                .dir = dir};
}
