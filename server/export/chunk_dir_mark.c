/* Whose directory for files of exports it is: a file in it says which database's. Blocking. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "export/chunk_book.h"
#include "export/chunk_dir.h"

enum {
    IDENTITY_BYTES = 64,
    ASKED_AT_ONCE = 1000,
    TRACE_S = 3600 /* no start takes so long to put its mark, whatever the clock of the file's server says */
};
static const char MARK[] = "joblog-database";

/* The file appears as a whole, and is the first one's. */
static int put_mark(const char *mark, const char *dir, struct span id)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/%s-XXXXXX", dir, MARK);
    int fd = n > 0 && (size_t)n < sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
    if (fd < 0)
        return -1;
    bool ok = chunk_dir_write(fd, id.data, id.len, 0) && fsync(fd) == 0 && (link(path, mark) == 0 || errno == EEXIST);
    close(fd);
    unlink(path);
    return ok && chunk_dir_sync(dir) ? 0 : -1;
}

void chunk_dir_sweep_mark(DIR *dir, const struct dirent *entry)
{
    struct stat st;
    size_t len = strlen(MARK);
    if (strncmp(entry->d_name, MARK, len) == 0 && entry->d_name[len] == '-' && strlen(entry->d_name) == len + 7 &&
        fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        st.st_mtime < clock_wall_us() / 1000000 - TRACE_S)
        unlinkat(dirfd(dir), entry->d_name, 0); /* what goes wrong shows with the files of exports */
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
        some->n += chunk_dir_is_ours(dir, entry, &some->files[some->n]);
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
        rc = chunk_dir_error(err, "marking");
    while (rc == 0 && dir) {
        rc = next_unmarked(dir, some) == 0 ? 0 : chunk_dir_error(err, "marking");
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
    ssize_t len = fd >= 0 ? chunk_dir_read(fd, found, IDENTITY_BYTES, 0) : -1;
    if (fd >= 0)
        close(fd);
    return len >= 0 ? len : chunk_dir_error(err, "marking");
}

static int claim(const struct chunk_store *store, struct pg_conn *pg, const char *mark, struct span id, struct err *err)
{
    char found[IDENTITY_BYTES];
    if (access(mark, F_OK) != 0) {
        int rc = check_unmarked(store->dir, pg, err);
        if (rc != 0)
            return rc;
        if (put_mark(mark, store->dir, id) != 0)
            return chunk_dir_error(err, "marking");
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
