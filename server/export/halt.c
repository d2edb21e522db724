/* See halt.h. Any thread; blocks for no longer than it takes to shut a socket down. */
#include "export/halt.h"

#include <sys/socket.h>

void export_halt_init(struct export_halt *halt)
{
    *halt = (struct export_halt){.fd = -1};
    pthread_mutex_init(&halt->lock, NULL);
}

void export_halt_done(struct export_halt *halt)
{
    pthread_mutex_destroy(&halt->lock);
}

void export_halt_now(struct export_halt *halt)
{
    pthread_mutex_lock(&halt->lock);
    halt->halted = true;
    if (halt->fd >= 0)
        shutdown(halt->fd, SHUT_RDWR);
    pthread_mutex_unlock(&halt->lock);
}

bool export_halt_use(struct export_halt *halt, int fd)
{
    if (!halt)
        return true;
    pthread_mutex_lock(&halt->lock);
    halt->fd = fd;
    bool goes_on = !halt->halted;
    pthread_mutex_unlock(&halt->lock);
    return goes_on;
}
