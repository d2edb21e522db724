/* See cut_proxy.h. One thread polls all sockets; a pair of sockets has a buffer for each direction. */
#include "cut_proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "chance.h"

enum {
    PAIRS_MAX = 64,      /* more than the actors have; a further one is closed as it comes */
    BUFFER = 64 * 1024,  /* of a direction: then the sender waits, as on a slow line */
    HARM_EVERY_MS = 150, /* on average */
    STALL_MAX_MS = 2500  /* more than twice the lease time-out */
};

struct half {
    int fd;
    char *data; /* read from fd, not yet written to the other */
    size_t len;
    bool ended; /* nothing more comes */
};

struct pair {
    struct half halves[2]; /* client, server */
    int64_t stalled_until_ms;
};

struct cut_proxy {
    struct sockaddr_in target;
    char address[32];
    int listen_fd, wake_fds[2];
    pthread_t thread;
    uint64_t chance;
    atomic_bool harm, stop;
    atomic_int n_cut, n_stalled;
    int64_t harm_ms; /* when it does the next harm */
    struct pair pairs[PAIRS_MAX];
    size_t n_pairs;
};

static void close_pair(struct cut_proxy *p, size_t i, bool reset)
{
    for (int h = 0; h < 2; h++) {
        struct half *half = &p->pairs[i].halves[h];
        if (reset) /* a close then sends RST */
            setsockopt(half->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
        close(half->fd);
        free(half->data);
    }
    p->pairs[i] = p->pairs[--p->n_pairs];
}

static void accept_pair(struct cut_proxy *p)
{
    int on = 1;
    int client = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->n_pairs == PAIRS_MAX || connect(server, (struct sockaddr *)&p->target, sizeof p->target) != 0) {
        close(client);
        close(server);
        return;
    }
    struct pair *pair = &p->pairs[p->n_pairs++];
    *pair = (struct pair){.halves = {{.fd = client, .data = malloc(BUFFER)}, {.fd = server, .data = malloc(BUFFER)}}};
    for (int h = 0; h < 2; h++) {
        fcntl(pair->halves[h].fd, F_SETFL, O_NONBLOCK);
        setsockopt(pair->halves[h].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
}

/* Moves what can be moved. False: the pair is over. */
static bool move(struct pair *pair)
{
    for (int h = 0; h < 2; h++) {
        struct half *from = &pair->halves[h], *to = &pair->halves[!h];
        ssize_t n = 0;
        if (!from->ended && from->len < BUFFER) {
            n = read(from->fd, from->data + from->len, BUFFER - from->len);
            if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                from->ended = true;
            from->len += n > 0 ? (size_t)n : 0;
        }
        n = from->len > 0 ? send(to->fd, from->data, from->len, MSG_NOSIGNAL) : 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        if (n > 0) {
            from->len -= (size_t)n;
            memmove(from->data, from->data + n, from->len);
        }
        if (from->ended && from->len == 0)
            return false;
    }
    return true;
}

static void do_harm(struct cut_proxy *p, int64_t now_ms)
{
    p->harm_ms = now_ms + chance_below(&p->chance, 2 * HARM_EVERY_MS);
    if (p->n_pairs == 0 || !atomic_load(&p->harm))
        return;
    size_t i = (size_t)chance_below(&p->chance, (int)p->n_pairs);
    if (chance_percent(&p->chance, 75)) {
        close_pair(p, i, chance_percent(&p->chance, 50));
        atomic_fetch_add(&p->n_cut, 1);
    } else {
        p->pairs[i].stalled_until_ms = now_ms + chance_below(&p->chance, STALL_MAX_MS);
        atomic_fetch_add(&p->n_stalled, 1);
    }
}

/* What to wait for of a pair. */
static void poll_pair(const struct pair *pair, int64_t now_ms, struct pollfd fds[2])
{
    for (int h = 0; h < 2; h++) {
        const struct half *half = &pair->halves[h];
        fds[h] = (struct pollfd){.fd = pair->stalled_until_ms > now_ms ? -1 : half->fd};
        if (half->len < BUFFER && !half->ended)
            fds[h].events |= POLLIN;
        if (pair->halves[!h].len > 0)
            fds[h].events |= POLLOUT;
    }
}

static void *proxy_run(void *arg)
{
    enum { TICK_MS = 20 };
    struct cut_proxy *p = arg;
    struct pollfd fds[2 + 2 * PAIRS_MAX];
    while (!atomic_load(&p->stop)) {
        int64_t now_ms = clock_mono_ms();
        size_t n = p->n_pairs;
        fds[0] = (struct pollfd){.fd = p->listen_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = p->wake_fds[0], .events = POLLIN};
        for (size_t i = 0; i < n; i++)
            poll_pair(&p->pairs[i], now_ms, &fds[2 + 2 * i]);
        poll(fds, (nfds_t)(2 + 2 * n), TICK_MS);
        for (size_t i = n; i-- > 0;) /* backwards: a closed one is replaced by the last */
            if ((fds[2 + 2 * i].revents || fds[3 + 2 * i].revents) && !move(&p->pairs[i]))
                close_pair(p, i, false);
        if (fds[0].revents)
            accept_pair(p);
        if (!atomic_load(&p->harm))
            for (size_t i = 0; i < p->n_pairs; i++)
                p->pairs[i].stalled_until_ms = 0;
        if (clock_mono_ms() >= p->harm_ms)
            do_harm(p, clock_mono_ms());
    }
    while (p->n_pairs > 0)
        close_pair(p, p->n_pairs - 1, true);
    return NULL;
}

struct cut_proxy *cut_proxy_start(const char *target, uint64_t seed)
{
    struct cut_proxy *p = calloc(1, sizeof *p);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof own;
    int port;
    if (!p || sscanf(target, "127.0.0.1:%d", &port) != 1 || pipe2(p->wake_fds, O_CLOEXEC) != 0)
        return NULL;
    p->target = own;
    p->target.sin_port = htons((uint16_t)port);
    p->chance = seed;
    atomic_store(&p->harm, true);
    p->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(p->listen_fd, (struct sockaddr *)&own, sizeof own) != 0 || listen(p->listen_fd, PAIRS_MAX) != 0 ||
        getsockname(p->listen_fd, (struct sockaddr *)&own, &len) != 0)
        return NULL;
    snprintf(p->address, sizeof p->address, "127.0.0.1:%d", ntohs(own.sin_port));
    return pthread_create(&p->thread, NULL, proxy_run, p) == 0 ? p : NULL;
}

const char *cut_proxy_address(const struct cut_proxy *proxy)
{
    return proxy->address;
}

void cut_proxy_harm(struct cut_proxy *proxy, bool harm)
{
    atomic_store(&proxy->harm, harm);
}

void cut_proxy_count(const struct cut_proxy *proxy, int *ret_cut, int *ret_stalled)
{
    *ret_cut = atomic_load(&proxy->n_cut);
    *ret_stalled = atomic_load(&proxy->n_stalled);
}

void cut_proxy_stop(struct cut_proxy *proxy)
{
    if (!proxy)
        return;
    atomic_store(&proxy->stop, true);
    if (write(proxy->wake_fds[1], "", 1) < 0)
        perror("cut_proxy");
    pthread_join(proxy->thread, NULL);
    close(proxy->listen_fd);
    close(proxy->wake_fds[0]);
    close(proxy->wake_fds[1]);
    free(proxy);
}
