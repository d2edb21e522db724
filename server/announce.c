/* See announce.h. client/src/found.c reads what is written here. */
#include "announce.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

enum { ADDRESSES_MAX = 64, PATH_SIZE = 4096, LOCK_MS = 1000 };

struct announcement {
    struct {
        char path[PATH_SIZE];
        int fd;
    } files[ADDRESSES_MAX];
    size_t n;
};

static bool state_directory(char path[PATH_SIZE])
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n;
    if (state && *state == '/')
        n = snprintf(path, PATH_SIZE, "%s/joblog/servers/", state);
    else if (home && *home == '/')
        n = snprintf(path, PATH_SIZE, "%s/.local/state/joblog/servers/", home);
    else
        return false;
    return n < PATH_SIZE;
}

/* mkdir -p; path ends with a slash. */
static bool make_directories(char *path)
{
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        bool good = mkdir(path, 0700) == 0 || errno == EEXIST;
        *at = '/';
        if (!good)
            return false;
    }
    return true;
}

/* Clients of this machine reach a wildcard address by the loopback address. */
static void file_name(const char *address, size_t len, char *out, size_t size)
{
    static const char any4[] = "0.0.0.0:", any6[] = "[::]:";
    const char *end = address + len;
    const char *start = "";
    if (len > 8 && memcmp(address, any4, 8) == 0) {
        start = "127.0.0.1:";
        address += 8;
    } else if (len > 5 && memcmp(address, any6, 5) == 0) {
        start = "[::1]:";
        address += 5;
    }
    size_t n = (size_t)snprintf(out, size, "%s", start);
    for (; address < end && n + 4 < size; address++) {
        if (*address == '/' || *address == '%')
            n += (size_t)snprintf(out + n, size - n, "%%%02X", (unsigned)*address);
        else
            out[n++] = *address;
    }
    out[n] = '\0';
}

/* A client holds its lock for a moment only. Who holds it longer is another joblogd with the same note, in a container
 * with the same home for instance: then clients find that one, and this one starts all the same. */
static bool lock(int fd)
{
    for (int left_ms = LOCK_MS; flock(fd, LOCK_EX | LOCK_NB) != 0; left_ms -= 10) {
        if (left_ms <= 0 || (errno != EWOULDBLOCK && errno != EINTR))
            return false;
        nanosleep(&(struct timespec){.tv_nsec = 10L * 1000 * 1000}, NULL);
    }
    return true;
}

static bool write_file(struct announcement *a, const char *directory, const char *address, size_t len,
                       const char *token_file)
{
    char name[256], *path = a->files[a->n].path;
    file_name(address, len, name, sizeof name);
    if (snprintf(path, PATH_SIZE, "%s%s", directory, name) >= PATH_SIZE)
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool good = lock(fd) && ftruncate(fd, 0) == 0 && dprintf(fd, "%s\n", token_file) > 0;
    if (!good) {
        close(fd);
        return false;
    }
    a->files[a->n++].fd = fd;
    return true;
}

struct announcement *announce(const char *addresses, const char *token_file)
{
    char directory[PATH_SIZE], absolute[PATH_SIZE];
    struct announcement *a = mem_zalloc(sizeof *a);
    bool good = a && state_directory(directory) && make_directories(directory) && realpath(token_file, absolute);
    for (const char *at = addresses; good && *at && a->n < ADDRESSES_MAX;) {
        size_t len = strcspn(at, ",");
        good = write_file(a, directory, at, len, absolute);
        at += len + (at[len] == ',');
    }
    if (good)
        log_info("clients of this user find the administrator's token by themselves directory=%s", directory);
    else
        log_info("clients must be told of the administrator's token file=%s", token_file);
    return a;
}

void announcement_end(struct announcement *a)
{
    for (size_t i = 0; a && i < a->n; i++) {
        unlink(a->files[i].path); /* first: whoever opened it before sees that it is not locked any more */
        close(a->files[i].fd);
    }
    mem_free(a);
}
