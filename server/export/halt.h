/* Ends what a thread of server/export does with a database, from another thread: whoever waits for an answer finds the
 * connection at its end, and whoever asks next learns that it is over. Private to server/export. */
#ifndef EXPORT_HALT_H
#define EXPORT_HALT_H

#include <pthread.h>
#include <stdbool.h>

struct export_halt {
    pthread_mutex_t lock;
    bool halted;
    int fd; /* of the connection in use; -1: none */
};

void export_halt_init(struct export_halt *halt);
void export_halt_done(struct export_halt *halt);
/* Any thread. */
void export_halt_now(struct export_halt *halt);
/* The connection that is in use from now on, -1: none; before it is closed another or none must be. False: it is over.
 * halt may be NULL: nobody ends it. One thread at a time. */
bool export_halt_use(struct export_halt *halt, int fd);

#endif
