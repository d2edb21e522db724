/* See export_place.h. Runs on the caller's thread.
 *
 * Two downloads into one part would mix their bytes, and each would call the mixture checked, since what is checked are
 * the bytes that came. So whoever writes a part holds a lock on it (flock, which threads of one process see as well),
 * and nobody renames or removes a part without. The lock is on the file, not on its name: who has it looks whether the
 * name still is this file. */
#include "export_place.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "client_priv.h"
#include "joblog/export.h"

/* Those that this process has open, for who ends it in the middle of their calls. With the mutex a part neither goes
 * nor changes its name. */
static struct {
    pthread_mutex_t mutex;
    struct export_place *first;
} places = {.mutex = PTHREAD_MUTEX_INITIALIZER};

int export_place_error(struct err *ret_err, int number, const char *what)
{
    char text[100];
    return err_set(ret_err, number == ENOSPC || number == EDQUOT ? ERR_RESOURCE_EXHAUSTED : ERR_FAILED_PRECONDITION,
                   "FILE", "%.150s: %s", what, strerror_r(number, text, sizeof text));
}

static int irregular(struct err *ret_err, const char *path)
{
    return err_set(ret_err, ERR_FAILED_PRECONDITION, "FILE", "%s is there and is not a regular file", path);
}

/* A device, a pipe or a directory is no place to rename a file to: as root /dev/null itself would be replaced. */
static int check_path(const char *path, struct err *ret_err)
{
    struct stat st;
    if (!*path)
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "FILE", "the file has no name");
    if (stat(path, &st) == 0)
        return S_ISREG(st.st_mode) ? 0 : irregular(ret_err, path);
    return errno == ENOENT ? 0 : export_place_error(ret_err, errno, path);
}

/* Whether the part's name is this file, and not one that somebody has put there meanwhile, or none. */
static bool has_name(const struct export_place *place)
{
    struct stat name, file;
    return lstat(place->part, &name) == 0 && fstat(place->fd, &file) == 0 && name.st_dev == file.st_dev &&
           name.st_ino == file.st_ino;
}

/* Opens the part, through no link, and locks it. On failure place->fd may be open. */
static int open_part(struct export_place *place, struct err *ret_err)
{
    struct stat st;
    place->fd = open(place->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (place->fd < 0 || fstat(place->fd, &st) != 0)
        return export_place_error(ret_err, errno, place->part);
    if (!S_ISREG(st.st_mode))
        return irregular(ret_err, place->part);
    if (flock(place->fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? err_set(ret_err, ERR_FAILED_PRECONDITION, "FILE", "another download writes %s", place->part)
                   : export_place_error(ret_err, errno, "could not lock the file");
    return 0;
}

static void close_part(struct export_place *place)
{
    if (place->fd >= 0)
        close(place->fd);
    place->fd = -1;
}

int export_place_open(struct export_place *place, const char *path, struct err *ret_err)
{
    size_t len = strlen(path);
    *place = (struct export_place){.path = path, .fd = -1};
    int rc = check_path(path, ret_err);
    if (rc < 0)
        return rc;
    if (!(place->part = mem_alloc(len + sizeof ".part")))
        return error_no_memory(ret_err);
    memcpy(place->part, path, len);
    memcpy(place->part + len, ".part", sizeof ".part");
    /* Who had the lock has renamed or removed the file between the two calls: there is another one, or none. */
    while ((rc = open_part(place, ret_err)) == 0 && !has_name(place))
        close_part(place);
    if (rc < 0) {
        close_part(place);
        mem_free(place->part);
        return rc;
    }
    struct stat st;
    place->resumed = fstat(place->fd, &st) == 0 && st.st_size > 0;
    pthread_mutex_lock(&places.mutex);
    place->next = places.first;
    places.first = place;
    pthread_mutex_unlock(&places.mutex);
    return 0;
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

int export_place_keep(struct export_place *place, struct err *ret_err)
{
    if (fsync(place->fd) != 0)
        return export_place_error(ret_err, errno, "could not write the file");
    if (!has_name(place))
        return err_set(ret_err, ERR_FAILED_PRECONDITION, "FILE", "%s was removed or replaced during the download",
                       place->part);
    pthread_mutex_lock(&places.mutex);
    int number = rename(place->part, place->path) == 0 ? 0 : errno;
    pthread_mutex_unlock(&places.mutex);
    if (number != 0)
        return export_place_error(ret_err, number, "could not rename the file");
    sync_directory(place->path);
    return 0;
}

void export_place_discard(struct export_place *place)
{
    if (has_name(place))
        unlink(place->part);
}

static void drop_empty(const struct export_place *place)
{
    struct stat st;
    if (fstat(place->fd, &st) == 0 && st.st_size == 0 && has_name(place))
        unlink(place->part);
}

void joblog_export_drop_empty_parts(void)
{
    pthread_mutex_lock(&places.mutex);
    for (const struct export_place *place = places.first; place; place = place->next)
        drop_empty(place);
    pthread_mutex_unlock(&places.mutex);
}

void export_place_close(struct export_place *place)
{
    pthread_mutex_lock(&places.mutex);
    struct export_place **at = &places.first;
    while (*at != place)
        at = &(*at)->next;
    *at = place->next;
    drop_empty(place);
    pthread_mutex_unlock(&places.mutex);
    close_part(place);
    mem_free(place->part);
    place->part = NULL;
}
