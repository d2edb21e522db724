/* See sockets.h. A socket is known by its descriptor and its inode: that core has closed it is not told. */
#include "sockets.h"

#include <pthread.h>

#include "base/alloc.h"
#include "mutator.h"

/* Connections of a channel that are known; of more, the newest. */
enum { SOCKETS = 8 };

struct sockets {
    struct mutator mutator; /* first: core hands it back */
    pthread_mutex_t mu;
    struct {
        int fd;
        ino_t inode; /* 0: none */
    } known[SOCKETS];
    size_t next;
};

static bool mutate(int fd, struct mutator *mutator)
{
    (void)fd, (void)mutator;
    return true;
}

/* Always true: core takes a false for a failure of the socket. */
static bool mutate_usage(const struct mutate_info *info, struct mutator *mutator)
{
    struct sockets *s = (struct sockets *)(void *)mutator;
    if (info->usage == FD_CLIENT_CONNECTION) {
        pthread_mutex_lock(&s->mu);
        s->known[s->next].fd = info->fd;
        s->known[s->next].inode = socket_inode(info->fd);
        s->next = (s->next + 1) % SOCKETS;
        pthread_mutex_unlock(&s->mu);
    }
    return true;
}

static int compare(struct mutator *a, struct mutator *b)
{
    return (a > b) - (a < b);
}

static void destroy(struct mutator *mutator)
{
    struct sockets *s = (struct sockets *)(void *)mutator;
    pthread_mutex_destroy(&s->mu);
    mem_free(s);
}

struct sockets *sockets_new(void)
{
    static const struct mutator_vtable vtable = {mutate, compare, destroy, mutate_usage};
    struct sockets *s = mem_zalloc(sizeof *s);
    if (!s)
        return NULL;
    s->mutator.vtable = &vtable;
    gpr_ref_init(&s->mutator.refs, 1);
    pthread_mutex_init(&s->mu, NULL);
    return s;
}

static void unref(void *sockets)
{
    struct sockets *s = sockets;
    if (gpr_unref(&s->mutator.refs))
        destroy(&s->mutator);
}

void sockets_free(struct sockets *sockets)
{
    if (sockets)
        unref(sockets);
}

static void *arg_copy(void *sockets)
{
    struct sockets *s = sockets;
    gpr_ref(&s->mutator.refs);
    return s;
}

static int arg_compare(void *a, void *b)
{
    return (a > b) - (a < b);
}

grpc_arg sockets_arg(struct sockets *sockets)
{
    static const grpc_arg_pointer_vtable arg_vtable = {arg_copy, unref, arg_compare};
    return (grpc_arg){.type = GRPC_ARG_POINTER,
                      .key = (char *)GRPC_ARG_SOCKET_MUTATOR,
                      .value.pointer = {&sockets->mutator, &arg_vtable}};
}

void sockets_cork(struct sockets *sockets, struct cork *cork)
{
    pthread_mutex_lock(&sockets->mu);
    for (size_t i = 0; i < SOCKETS; i++) {
        if (sockets->known[i].inode == 0)
            continue;
        if (socket_inode(sockets->known[i].fd) == sockets->known[i].inode)
            cork_add(cork, sockets->known[i].fd);
        else
            sockets->known[i].inode = 0;
    }
    pthread_mutex_unlock(&sockets->mu);
}
