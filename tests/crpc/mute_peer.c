/* One thread that polls the listener and its connections; see mute_peer.h. */
#include "mute_peer.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { CONNECTIONS_MAX = 16 };

static const char SETTINGS[9] = {0, 0, 0, 4, 0, 0, 0, 0, 0}; /* a frame of none */

/* False when the connection has ended. */
static bool read_some(struct mute_peer *peer, int fd)
{
    char bytes[4096];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n <= 0)
        return false;
    pthread_mutex_lock(&peer->mu);
    buf_add(&peer->seen, bytes, (size_t)n);
    pthread_cond_broadcast(&peer->more);
    pthread_mutex_unlock(&peer->mu);
    return true;
}

static void *peer_main(void *arg)
{
    struct mute_peer *peer = arg;
    struct pollfd p[2 + CONNECTIONS_MAX] = {{.fd = peer->stop[0], .events = POLLIN},
                                            {.fd = peer->listener, .events = POLLIN}};
    nfds_t n = 2;
    while (poll(p, n, -1) > 0 && !p[0].revents) {
        for (nfds_t i = 2; i < n; i++) {
            if (p[i].revents && !read_some(peer, p[i].fd)) {
                close(p[i].fd);
                p[i] = p[--n];
                p[n].revents = 0;
                i--;
            }
        }
        if (p[1].revents && n < 2 + CONNECTIONS_MAX) {
            int fd = accept(peer->listener, NULL, NULL);
            if (fd >= 0 && write(fd, SETTINGS, sizeof SETTINGS) == (ssize_t)sizeof SETTINGS)
                p[n++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
    }
    for (nfds_t i = 2; i < n; i++)
        close(p[i].fd);
    return NULL;
}

void mute_peer_start(struct mute_peer *peer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    *peer = (struct mute_peer){.seen = BUF_INIT};
    peer->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(peer->listener, 8), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(pipe(peer->stop), 0);
    snprintf(peer->target, sizeof peer->target, "127.0.0.1:%d", ntohs(at.sin_port));
    pthread_mutex_init(&peer->mu, NULL);
    pthread_cond_init(&peer->more, NULL);
    pthread_create(&peer->thread, NULL, peer_main, peer);
}

static bool has(const struct mute_peer *peer, const char *text)
{
    return peer->seen.len && memmem(peer->seen.data, peer->seen.len, text, strlen(text));
}

void mute_peer_wait(struct mute_peer *peer, const char *text)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    int rc = 0;
    pthread_mutex_lock(&peer->mu);
    while (!has(peer, text) && rc == 0)
        rc = pthread_cond_timedwait(&peer->more, &peer->mu, &until);
    pthread_mutex_unlock(&peer->mu);
    if (rc)
        fail_msg("the peer did not read %s", text);
}

bool mute_peer_saw(struct mute_peer *peer, const char *text)
{
    pthread_mutex_lock(&peer->mu);
    bool saw = has(peer, text);
    pthread_mutex_unlock(&peer->mu);
    return saw;
}

void mute_peer_stop(struct mute_peer *peer)
{
    close(peer->stop[1]);
    pthread_join(peer->thread, NULL);
    close(peer->stop[0]);
    close(peer->listener);
    buf_done(&peer->seen);
    pthread_cond_destroy(&peer->more);
    pthread_mutex_destroy(&peer->mu);
}
