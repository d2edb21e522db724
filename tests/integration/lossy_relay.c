/* See lossy_relay.h. One thread polls all sockets, and does one thing at a time under the lock. */
#include "lossy_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS_MAX = 16, TICK_MS = 10 };

struct pair {
    int client, server;
    bool held;
};

struct lossy_relay {
    char address[32];
    int listen_fd;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    struct sockaddr_in target;
    struct pair pairs[PAIRS_MAX];
    size_t n_pairs;
    bool swallows, stops;
};

static struct sockaddr_in address_of(const char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int port = 0;
    sscanf(text, "127.0.0.1:%d", &port);
    at.sin_port = htons((uint16_t)port);
    return at;
}

static void close_pair(struct lossy_relay *r, size_t i)
{
    close(r->pairs[i].client);
    close(r->pairs[i].server);
    r->pairs[i] = r->pairs[--r->n_pairs];
}

static void accept_pair(struct lossy_relay *r)
{
    int client = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client < 0 || r->n_pairs == PAIRS_MAX ||
        connect(server, (struct sockaddr *)&r->target, sizeof r->target) != 0) {
        close(client);
        close(server);
        return;
    }
    r->pairs[r->n_pairs++] = (struct pair){client, server, false};
}

/* Blocks for no longer than the other side needs to take it. False: the connection is over. */
static bool move(int from, int to, bool swallows)
{
    char data[16384];
    ssize_t n = read(from, data, sizeof data);
    for (ssize_t at = 0; at < n && !swallows;) {
        ssize_t sent = send(to, data + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
    }
    return n > 0;
}

static void *relay_run(void *user)
{
    struct lossy_relay *r = user;
    pthread_mutex_lock(&r->lock);
    while (!r->stops) {
        struct pollfd fds[1 + 2 * PAIRS_MAX] = {{.fd = r->listen_fd, .events = POLLIN}};
        size_t n = r->n_pairs;
        for (size_t i = 0; i < n; i++) {
            const struct pair *p = &r->pairs[i];
            fds[1 + 2 * i] = (struct pollfd){.fd = p->held ? -1 : p->client, .events = POLLIN};
            fds[2 + 2 * i] = (struct pollfd){.fd = p->held ? -1 : p->server, .events = POLLIN};
        }
        if (poll(fds, (nfds_t)(1 + 2 * n), 0) > 0) {
            for (size_t i = n; i-- > 0;) /* backwards: a closed one is replaced by the last */
                if ((fds[1 + 2 * i].revents && !move(r->pairs[i].client, r->pairs[i].server, false)) ||
                    (fds[2 + 2 * i].revents && !move(r->pairs[i].server, r->pairs[i].client, r->swallows)))
                    close_pair(r, i);
            if (fds[0].revents)
                accept_pair(r);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        poll(fds, (nfds_t)(1 + 2 * n), TICK_MS); /* what has been closed meanwhile wakes it for nothing */
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

struct lossy_relay *lossy_relay_start(const char *target)
{
    struct lossy_relay *r = calloc(1, sizeof *r);
    struct sockaddr_in own = address_of("127.0.0.1:0");
    socklen_t len = sizeof own;
    r->target = address_of(target);
    pthread_mutex_init(&r->lock, NULL);
    r->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(r->listen_fd, (struct sockaddr *)&own, sizeof own) != 0 || listen(r->listen_fd, PAIRS_MAX) != 0 ||
        getsockname(r->listen_fd, (struct sockaddr *)&own, &len) != 0)
        return NULL;
    snprintf(r->address, sizeof r->address, "127.0.0.1:%d", ntohs(own.sin_port));
    return pthread_create(&r->thread, NULL, relay_run, r) == 0 ? r : NULL;
}

const char *lossy_relay_address(const struct lossy_relay *relay)
{
    return relay->address;
}

void lossy_relay_swallow(struct lossy_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    relay->swallows = true;
    pthread_mutex_unlock(&relay->lock);
}

void lossy_relay_hold(struct lossy_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    for (size_t i = 0; i < relay->n_pairs; i++)
        relay->pairs[i].held = true;
    pthread_mutex_unlock(&relay->lock);
}

void lossy_relay_cut(struct lossy_relay *relay, const char *target)
{
    pthread_mutex_lock(&relay->lock);
    while (relay->n_pairs > 0)
        close_pair(relay, 0);
    relay->target = address_of(target);
    relay->swallows = false;
    pthread_mutex_unlock(&relay->lock);
}

void lossy_relay_stop(struct lossy_relay *relay)
{
    if (!relay)
        return;
    lossy_relay_cut(relay, "127.0.0.1:0");
    pthread_mutex_lock(&relay->lock);
    relay->stops = true;
    pthread_mutex_unlock(&relay->lock);
    pthread_join(relay->thread, NULL);
    while (relay->n_pairs > 0) /* one that came between */
        close_pair(relay, 0);
    close(relay->listen_fd);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
}
