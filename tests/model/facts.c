/* See facts.h. */
#include "facts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void *list_room(void *at, size_t *n, size_t *cap, size_t size)
{
    if (*n == *cap) {
        *cap = *cap ? *cap * 2 : 64;
        at = realloc(at, *cap * size);
        assert(at);
    }
    memset((char *)at + *n * size, 0, size);
    ++*n;
    return at;
}

void facts_free(struct facts *facts)
{
    free(facts->calls.at);
    free(facts->steers.at);
    free(facts->writes.at);
    free(facts->leases.at);
    free(facts->streams.at);
    free(facts->events.at);
}
