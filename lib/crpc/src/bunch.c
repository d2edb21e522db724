/* See bunch.h. */
#include "bunch.h"

#include <stdlib.h>

#include "call.h"

/* Calls that are looked at; and on one connection, that are worth the two system calls. */
enum { LOOKED_AT = 512, SEVERAL = 3 };

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void bunch_cork(struct cork *cork, struct connections *connections, const struct ready *first)
{
    int fds[LOOKED_AT];
    size_t n = 0;
    for (const struct ready *r = first; r && n < LOOKED_AT; r = r->next)
        fds[n++] = connections_find(connections, crpc_call_peer(CONTAINER_OF(r, struct crpc_call, ready)));
    qsort(fds, n, sizeof *fds, by_number);
    for (size_t i = 0, same; i < n; i += same) {
        for (same = 1; i + same < n && fds[i + same] == fds[i]; same++)
            ;
        if (fds[i] >= 0 && same >= SEVERAL)
            cork_add(cork, fds[i]);
    }
}
