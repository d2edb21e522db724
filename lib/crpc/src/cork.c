/* See cork.h. Errors of setsockopt are of sockets that are gone, or no TCP: nothing is lost with either. */
#include "cork.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static void set(int fd, int on)
{
    (void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

void cork_add(struct cork *cork, int fd)
{
    if (cork->n == CORK_MAX)
        return;
    cork->fds[cork->n++] = fd;
    set(fd, 1);
}

void cork_flush(const struct cork *cork)
{
    for (size_t i = 0; i < cork->n; i++) {
        set(cork->fds[i], 0);
        set(cork->fds[i], 1);
    }
}

void cork_end(struct cork *cork)
{
    for (size_t i = 0; i < cork->n; i++)
        set(cork->fds[i], 0);
    cork->n = 0;
}
