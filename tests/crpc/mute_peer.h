/* A peer that takes connections, says the least that HTTP/2 needs to begin (its settings), and never anything more: no
 * answer, no reply to a ping. It keeps what it reads. */
#ifndef TESTS_CRPC_MUTE_PEER_H
#define TESTS_CRPC_MUTE_PEER_H

#include <pthread.h>
#include <stdbool.h>

#include "base/buf.h"

struct mute_peer {
    char target[32]; /* "127.0.0.1:PORT" */
    int listener;
    int stop[2]; /* a pipe; its end ends the thread */
    pthread_t thread;
    pthread_mutex_t mu; /* seen */
    pthread_cond_t more;
    struct buf seen;
};

/* Fails the test on an error. */
void mute_peer_start(struct mute_peer *peer);
/* Waits until it has read this text; fails the test after 20 s. */
void mute_peer_wait(struct mute_peer *peer, const char *text);
/* Has it read this text so far? */
bool mute_peer_saw(struct mute_peer *peer, const char *text);
void mute_peer_stop(struct mute_peer *peer);

#endif
