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

enum { PATH_BYTES = 4096, REMOVED_EVERY = 16 };

struct frame_head {
    uint32_t magic, seq, len, crc32c; /* of this machine's byte order: replicas that share a directory are alike */
};
static const uint32_t MAGIC = 0x4c424a45; /* "EJBL" */

struct chunk_sink {
    const struct chunk_store *store;
    struct chunk_owner owner;
    struct pg_conn *pg;
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

static int file_error(struct err *err, const char *doing)
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

static int sink_open(const struct chunk_store *store, const struct chunk_owner *owner,
                     const struct export_file *description, struct span owner_name, struct chunk_sink **ret,
                     int64_t *ret_used_bytes, struct err *ret_err)
{
    char path[PATH_BYTES];
    struct chunk_sink *sink = mem_zalloc(sizeof *sink);
    if (!sink)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    *sink = (struct chunk_sink){.store = store, .owner = *owner, .fd = -1, .chunk_bytes = description->chunk_bytes};
    /* First the books: a file that they do not know is swept. */
    int rc = chunk_book_begin(store, owner, description, owner_name, &sink->pg, ret_used_bytes, ret_err);
    if (rc == 0 && (!make_path(path, store, owner, "part") ||
                    (sink->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0))
        rc = file_error(ret_err, "opening");
    if (rc != 0) {
        sink_close(sink);
        return rc;
    }
    *ret = sink;
    return 0;
}

static void sink_interrupt(struct chunk_sink *sink)
{
    pg_interrupt(sink->pg);
}

static bool write_all(int fd, const void *data, size_t len, off_t at)
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
    if (!write_all(sink->fd, data.data, data.len, at + (off_t)sizeof head) ||
        !write_all(sink->fd, &head, sizeof head, at))
        return file_error(ret_err, "writing");
    return 0;
}

static int sink_publish(struct chunk_sink *sink, struct err *ret_err)
{
    (void)sink;
    (void)ret_err;
    return 0;
}

static bool sync_directory(const char *dir)
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
        !sync_directory(sink->store->dir))
        return file_error(ret_err, "finishing");
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
        return file_error(ret_err, "removing");
    return 0;
}

static int discard(const struct chunk_store *store, const struct chunk_owner *owner, struct err *ret_err)
{
    struct pg_conn *pg;
    bool keep = true;
    int rc = chunk_book_open(store->uri, "joblogd export files", &pg, ret_err);
    if (rc != 0)
        return rc;
    rc = chunk_book_discard(pg, owner, &keep, ret_err);
    if (rc == 0 && !keep)
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

/* How many bytes there are, len at most; -1: errno. */
static ssize_t read_all(int fd, void *data, size_t len, off_t at)
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
    ssize_t n = read_all(fd, head, sizeof *head, at);
    if (n < 0)
        return file_error(err, "reading");
    if (n == 0)
        return not_there(err, seq);
    if (n < (ssize_t)sizeof *head || head->magic != MAGIC || head->seq != (uint32_t)seq ||
        head->len > (uint32_t)chunk_bytes)
        return whole ? chunk_damaged(seq, err) : not_there(err, seq);
    char *data = mem_alloc(head->len + 1);
    if (!data)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    n = read_all(fd, data, head->len, at + (off_t)sizeof *head);
    if (n == (ssize_t)head->len) {
        *ret_data = data;
        return 0;
    }
    int rc = n < 0 ? file_error(err, "reading") : whole ? chunk_damaged(seq, err) : not_there(err, seq);
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
        return errno == ENOENT ? not_there(ret_err, seq) : file_error(ret_err, "reading");
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

/* Whether it is one of our files; a directory of such a name is somebody else's, and no reason to sweep no further. */
static bool is_ours(DIR *dir, const struct dirent *entry, struct chunk_owner *ret)
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
        return file_error(ret_err, "sweeping");
    int rc = 0;
    for (const struct dirent *entry; rc == 0 && (entry = readdir(dir));) {
        struct chunk_owner owner;
        if (is_ours(dir, entry, &owner))
            rc = sweep_file(store, pg, &owner, ret_err);
    }
    closedir(dir);
    return rc;
}

/* ---- whose directory it is ---- */

enum { IDENTITY_BYTES = 64, ASKED_AT_ONCE = 1000 };
static const char MARK[] = "joblog-database";

/* The file appears as a whole, and is the first one's. */
static int put_mark(const char *mark, const char *dir, struct span id)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s-XXXXXX", dir, MARK);
    int fd = n > 0 && (size_t)n < sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
    if (fd < 0)
        return -1;
    bool ok = write_all(fd, id.data, id.len, 0) && fsync(fd) == 0 && (link(path, mark) == 0 || errno == EEXIST);
    close(fd);
    unlink(path);
    return ok && sync_directory(dir) ? 0 : -1;
}

/* Some of the files of exports in a directory. */
struct unmarked {
    struct chunk_owner files[ASKED_AT_ONCE];
    int n;
};

/* 1: one of them is of this database; 0: none; -code. */
static int one_is_ours(struct pg_conn *pg, const struct unmarked *some, struct err *err)
{
    static const enum pg_type types[] = {PG_INT8, PG_INT8};
    struct pg_params params = {0};
    if (some->n == 0)
        return 0;
    pg_arrays(&params, types, 2);
    for (int i = 0; i < some->n; i++) {
        pg_put_int8(&params.v[0], some->files[i].job_id);
        pg_put_int8(&params.v[1], some->files[i].token);
    }
    struct pg_result *r = chunk_book_run(pg, EXPORT_SQL_FILE_OURS, &params, err);
    int rc = r ? pg_int(r, 0, 0) != 0 : -(int)err->code;
    pg_params_done(&params);
    pg_free(r);
    return rc;
}

/* None at the end. -1: see errno. */
static int next_unmarked(DIR *dir, struct unmarked *some)
{
    some->n = 0;
    errno = 0;
    for (const struct dirent *entry; some->n < ASKED_AT_ONCE && (entry = readdir(dir));)
        some->n += is_ours(dir, entry, &some->files[some->n]);
    return some->n == 0 && errno != 0 ? -1 : 0;
}

/* What lies in a directory without a mark is swept once it has ours, unless this database knows it. So it is taken as
 * ours only when it has no files of exports, or one that we know: that of the version before, which made no marks. */
static int check_unmarked(const char *path, struct pg_conn *pg, struct err *err)
{
    struct unmarked *some = mem_alloc(sizeof *some);
    DIR *dir = some ? opendir(path) : NULL;
    int rc = 0;
    bool any = false;
    if (!some)
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    else if (!dir)
        rc = file_error(err, "marking");
    while (rc == 0) {
        rc = next_unmarked(dir, some) == 0 ? 0 : file_error(err, "marking");
        if (rc != 0 || some->n == 0)
            break;
        any = true;
        rc = one_is_ours(pg, some, err);
    }
    if (dir)
        closedir(dir);
    mem_free(some);
    if (rc == 0 && any)
        rc = err_set(err, ERR_FAILED_PRECONDITION, "EXPORT_DIRECTORY",
                     "the directory for exports, %.150s, has files of exports that this database knows nothing of, and "
                     "no file %s: they may be another database's; move them away, or delete them",
                     path, MARK);
    return rc < 0 ? rc : 0;
}

/* The mark as it is now; gives its length, or -code. */
static ssize_t read_mark(const char *mark, char found[IDENTITY_BYTES], struct err *err)
{
    int fd = open(mark, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read_all(fd, found, IDENTITY_BYTES, 0) : -1;
    if (fd >= 0)
        close(fd);
    return len >= 0 ? len : file_error(err, "marking");
}

static int claim(const struct chunk_store *store, struct pg_conn *pg, const char *mark, struct span id, struct err *err)
{
    char found[IDENTITY_BYTES];
    if (access(mark, F_OK) != 0) {
        int rc = check_unmarked(store->dir, pg, err);
        if (rc != 0)
            return rc;
        if (put_mark(mark, store->dir, id) != 0)
            return file_error(err, "marking");
    }
    ssize_t len = read_mark(mark, found, err);
    if (len < 0)
        return (int)len;
    if (span_eq(span_of(found, (size_t)len), id))
        return 0;
    return err_set(err, ERR_FAILED_PRECONDITION, "EXPORT_DIRECTORY",
                   "the directory for exports, %.150s, is that of another database (%.*s in its file %s)", store->dir,
                   (int)len, found, MARK);
}

int chunk_store_dir_claim(const struct chunk_store *store, struct err *ret_err)
{
    char mark[PATH_BYTES];
    struct pg_conn *pg;
    int n = snprintf(mark, sizeof mark, "%s/%s", store->dir, MARK), rc;
    if (n <= 0 || (size_t)n >= sizeof mark)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "EXPORT_DIRECTORY", "the directory's name is too long");
    if ((rc = chunk_book_open(store->uri, "joblogd export files", &pg, ret_err)) != 0)
        return rc;
    struct pg_result *r = chunk_book_run(pg, EXPORT_SQL_IDENTITY, NULL, ret_err);
    rc = r ? claim(store, pg, mark, pg_rows(r) == 1 ? pg_text(r, 0, 0) : SPAN_LIT(""), ret_err) : -(int)ret_err->code;
    pg_free(r);
    pg_close(pg);
    return rc;
}

struct chunk_store chunk_store_dir(const char *uri, const char *dir)
{
    return (struct chunk_store){.open = sink_open,
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
