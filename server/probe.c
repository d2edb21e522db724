/* See probe.h. One thread, one poll over a fixed number of connections. Whatever a peer does, a connection lives a few
 * seconds and a kilobyte; when all places are taken the oldest one goes. */
#include "probe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

enum {
    CONNECTIONS_MAX = 32, /* a kubelet has one or two at a time */
    REQUEST_MAX = 1024,   /* a probe's headers are some hundred bytes */
    LIFE_MS = 3000        /* from the accept; probes give up earlier */
};

struct connection {
    int fd; /* -1: free */
    bool answered;
    int64_t end_ms;
    size_t len;
    char text[REQUEST_MAX];
};

struct probe {
    int listener, stop_fd;
    bool (*ready)(void *user);
    void *user;
    char address[128];
    pthread_t thread;
    struct connection connections[CONNECTIONS_MAX];
};

static void drop(struct connection *c)
{
    close(c->fd);
    *c = (struct connection){.fd = -1};
}

static void accept_one(struct probe *p)
{
    struct connection *place = &p->connections[0];
    int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (size_t i = 0; i < CONNECTIONS_MAX && place->fd >= 0; i++) {
        struct connection *c = &p->connections[i];
        if (c->fd < 0 || c->end_ms < place->end_ms)
            place = c;
    }
    if (place->fd >= 0)
        drop(place);
    place->fd = fd;
    place->end_ms = clock_mono_ms() + LIFE_MS;
}

/* The target of "GET TARGET HTTP/…", NUL-terminated in place; NULL: another method. */
static const char *target_of(char *text, bool *ret_head)
{
    size_t method = strcspn(text, " \r\n");
    *ret_head = method == 4 && memcmp(text, "HEAD", 4) == 0;
    if (text[method] != ' ' || !(*ret_head || (method == 3 && memcmp(text, "GET", 3) == 0)))
        return NULL;
    char *target = text + method + 1;
    target[strcspn(target, " ?\r\n")] = '\0';
    return target;
}

/* Short enough for the socket's buffer, which is empty: one send takes all. */
static void answer(struct probe *p, struct connection *c)
{
    char out[256];
    bool head;
    const char *target = target_of(c->text, &head), *status = "404 Not Found", *body = "not found\n";
    if (!target) {
        status = "405 Method Not Allowed";
        body = "only GET and HEAD\n";
    } else if (strcmp(target, "/livez") == 0) {
        status = "200 OK";
        body = "ok\n";
    } else if (strcmp(target, "/readyz") == 0) {
        bool ready = p->ready(p->user);
        status = ready ? "200 OK" : "503 Service Unavailable";
        body = ready ? "ok\n" : "not ready\n";
    }
    int len = snprintf(out, sizeof out,
                       "HTTP/1.0 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
                       "Connection: close\r\n\r\n%s",
                       status, strlen(body), head ? "" : body);
    if (send(c->fd, out, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len) {
        drop(c);
        return;
    }
    /* Closed with unread bytes, a socket resets the connection and the answer may be lost: read to the peer's end. */
    shutdown(c->fd, SHUT_WR);
    c->answered = true;
}

static void read_some(struct probe *p, struct connection *c)
{
    char waste[REQUEST_MAX];
    bool reads = !c->answered;
    ssize_t n = recv(c->fd, reads ? c->text + c->len : waste, reads ? REQUEST_MAX - 1 - c->len : sizeof waste, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    if (!reads)
        return;
    /* A NUL would hide what follows it. */
    if (memchr(c->text + c->len, '\0', (size_t)n)) {
        drop(c);
        return;
    }
    c->len += (size_t)n;
    c->text[c->len] = '\0';
    if (strstr(c->text, "\r\n\r\n") || strstr(c->text, "\n\n") || c->len == REQUEST_MAX - 1)
        answer(p, c);
}

static void end_old(struct probe *p, int64_t now_ms, int *ret_wait_ms)
{
    *ret_wait_ms = -1;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *c = &p->connections[i];
        if (c->fd >= 0 && c->end_ms <= now_ms)
            drop(c);
        else if (c->fd >= 0 && (*ret_wait_ms < 0 || c->end_ms - now_ms < *ret_wait_ms))
            *ret_wait_ms = (int)(c->end_ms - now_ms);
    }
}

static void *thread_main(void *arg)
{
    struct probe *p = arg;
    struct pollfd fds[CONNECTIONS_MAX + 2];
    for (;;) {
        int wait_ms;
        end_old(p, clock_mono_ms(), &wait_ms);
        fds[0] = (struct pollfd){.fd = p->stop_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = p->listener, .events = POLLIN};
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
            fds[i + 2] = (struct pollfd){.fd = p->connections[i].fd, .events = POLLIN};
        if (poll(fds, CONNECTIONS_MAX + 2, wait_ms) < 0)
            continue;
        if (fds[0].revents)
            return NULL;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
            if (fds[i + 2].revents)
                read_some(p, &p->connections[i]);
        }
        if (fds[1].revents)
            accept_one(p); /* last: it may take a place that was just looked at */
    }
}

static int open_listener(struct probe *p, const char *address)
{
    char host[128];
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found = NULL;
    bool brackets = *address == '[';
    if (!colon || colon - address >= (long)sizeof host)
        return -1;
    snprintf(host, sizeof host, "%.*s", (int)(colon - address) - 2 * brackets, address + brackets);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int on = 1, fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
                    bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 64) != 0)) {
        int why = errno;
        close(fd);
        errno = why;
        fd = -1;
    }
    freeaddrinfo(found);
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    char port[16] = "0";
    if (fd >= 0 && getsockname(fd, (struct sockaddr *)&bound, &size) == 0)
        getnameinfo((struct sockaddr *)&bound, size, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    snprintf(p->address, sizeof p->address, "%.*s:%s", (int)(colon - address), address, port);
    return fd;
}

int probe_start(const char *address, bool (*ready)(void *user), void *user, struct probe **ret, struct err *ret_err)
{
    struct probe *p = mem_zalloc(sizeof *p);
    if (!p)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    p->ready = ready;
    p->user = user;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        p->connections[i].fd = -1;
    p->listener = open_listener(p, address);
    p->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (p->listener < 0 || p->stop_fd < 0 || pthread_create(&p->thread, NULL, thread_main, p) != 0) {
        int rc = err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "could not listen for probes on %.100s: %s", address,
                         strerror(errno));
        snprintf(ret_err->field, sizeof ret_err->field, "probe-listen");
        if (p->listener >= 0)
            close(p->listener);
        if (p->stop_fd >= 0)
            close(p->stop_fd);
        mem_free(p);
        return rc;
    }
    *ret = p;
    return 0;
}

const char *probe_address(const struct probe *p)
{
    return p->address;
}

void probe_stop(struct probe *p)
{
    uint64_t one = 1;
    if (!p)
        return;
    if (write(p->stop_fd, &one, sizeof one) < 0) {
        /* Only when the counter is full, which one write cannot bring about. */
    }
    pthread_join(p->thread, NULL);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        if (p->connections[i].fd >= 0)
            close(p->connections[i].fd);
    }
    close(p->listener);
    close(p->stop_fd);
    mem_free(p);
}
