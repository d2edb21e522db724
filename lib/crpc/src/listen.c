/* Addresses a server listens on. gRPC core wraps ports beyond 65535 and takes over a unix socket that another server
 * serves, so both are checked here. The caller's thread, at start. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server_priv.h"

/* sun_path holds 108; core adds nothing, but a path in a log or a client's config may get a prefix. */
enum { UNIX_PATH_MAX = 100, HOST_MAX = 253 };

static int bad_address(const char *address, const char *why, struct err *ret_err)
{
    return err_field(ret_err, "address", "cannot listen on %.100s: %s", address, why);
}

/* A live server there, a file that is no socket: refused. A socket that nobody serves: removed. */
static int check_unix(const char *address, const char *path, struct err *ret_err)
{
    size_t len = strlen(path);
    if (len == 0 || len > UNIX_PATH_MAX)
        return bad_address(address, "a socket's path has 1 to 100 bytes", ret_err);
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : bad_address(address, strerror(errno), ret_err);
    if (!S_ISSOCK(st.st_mode))
        return err_set(ret_err, ERR_ALREADY_EXISTS, "ADDRESS_IN_USE", "%s is no socket", path);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    memcpy(sa.sun_path, path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "no socket to look whether %s is served", path);
    int rc = connect(fd, (struct sockaddr *)&sa, sizeof sa);
    int why = errno;
    close(fd);
    if (rc == 0 || why != ECONNREFUSED)
        return err_set(ret_err, ERR_ALREADY_EXISTS, "ADDRESS_IN_USE", "a server listens on %s", path);
    unlink(path);
    return 0;
}

static bool host_ok(const char *host, size_t len)
{
    if (len == 0 || len > HOST_MAX)
        return false;
    bool v6 = host[0] == '[';
    if (v6 && (len < 4 || host[len - 1] != ']'))
        return false;
    for (size_t i = v6; i < len - v6; i++) {
        char c = host[i];
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
                    c == '-' || c == '_';
        if (!word && !(v6 && (c == ':' || c == '%')))
            return false;
    }
    return true;
}

static int split(const char *address, char *host, size_t room, char *port, struct err *ret_err)
{
    const char *colon = strrchr(address, ':');
    if (!colon || !host_ok(address, (size_t)(colon - address)))
        return bad_address(address, "want HOST:PORT, [IPV6]:PORT or unix:PATH", ret_err);
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] || atoi(colon + 1) > 65535)
        return bad_address(address, "a port is a number from 0 to 65535", ret_err);
    bool v6 = address[0] == '[';
    snprintf(host, room, "%.*s", (int)(colon - address) - 2 * v6, address + v6);
    snprintf(port, 6, "%s", colon + 1);
    return 0;
}

int listen_check(const char *address, char *ret_core_address, size_t room, struct err *ret_err)
{
    char host[HOST_MAX + 3], port[6];
    int rc = strncmp(address, "unix:", 5) == 0 ? check_unix(address, address + 5, ret_err)
                                               : split(address, host, sizeof host, port, ret_err);
    if (rc < 0)
        return rc;
    snprintf(ret_core_address, room, "%s", address);
    return 0;
}

/* Core only says that it failed; trying the same once more tells why. */
static int bind_error(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return ENOENT;
    int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1, why = 0;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, list->ai_addr, list->ai_addrlen) < 0)
        why = errno;
    if (fd >= 0)
        close(fd);
    freeaddrinfo(list);
    return why;
}

int listen_failed(const char *address, struct err *ret_err)
{
    char host[HOST_MAX + 3], port[6];
    int why = EIO;
    if (strncmp(address, "unix:", 5) == 0)
        why = access(address + 5, F_OK) == 0 ? EADDRINUSE : ENOENT;
    else if (split(address, host, sizeof host, port, ret_err) == 0)
        why = bind_error(host, port);
    if (why == EADDRINUSE)
        return err_set(ret_err, ERR_ALREADY_EXISTS, "ADDRESS_IN_USE", "%.100s is in use", address);
    if (why == EACCES || why == EPERM)
        return err_set(ret_err, ERR_PERMISSION_DENIED, NULL, "may not listen on %.100s", address);
    if (why == ENOENT || why == EADDRNOTAVAIL)
        return bad_address(address, "no such host, address or directory here", ret_err);
    return err_set(ret_err, ERR_UNAVAILABLE, NULL, "could not listen on %.100s", address);
}
