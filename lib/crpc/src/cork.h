/* Connections on which several small messages follow each other at once. To carry a segment to its peer, and to wake
 * who waits there, takes the kernel longer than to append to one; so they are corked (TCP_CORK) meanwhile. A cork that
 * stays, the kernel takes out after 200 ms. One thread. */
#ifndef CRPC_SRC_CORK_H
#define CRPC_SRC_CORK_H

#include <stddef.h>

/* Connections, at most; others go on as they are. */
enum { CORK_MAX = 64 };

/* Those that are corked; zeroed: none. */
struct cork {
    int fds[CORK_MAX];
    size_t n;
};

/* Until cork_end. What is no TCP socket stays as it is. The descriptor may come to belong to another socket at any
 * moment, since core closes them: it would be corked for a moment, which harms nobody. */
void cork_add(struct cork *cork, int fd);
/* What was sent so far goes out. */
void cork_flush(const struct cork *cork);
/* The same, and they are corked no more. */
void cork_end(struct cork *cork);

#endif
