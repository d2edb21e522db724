/* gRPC core's "socket mutator" (GRPC_ARG_SOCKET_MUTATOR): core shows it each socket that it makes or accepts, before
 * the first byte goes over it, with TLS or without. The key is in core's public headers, these types are not; they are
 * so since 1.38. */
#ifndef CRPC_SRC_MUTATOR_H
#define CRPC_SRC_MUTATOR_H

#include <stdbool.h>
#include <sys/stat.h>

#include <grpc/grpc.h>
#include <grpc/support/sync.h>

enum fd_usage { FD_CLIENT_CONNECTION, FD_SERVER_LISTENER, FD_SERVER_CONNECTION };

struct mutate_info {
    int fd;
    enum fd_usage usage;
};

struct mutator {
    const struct mutator_vtable *vtable;
    gpr_refcount refs; /* core's, and one of whoever made it */
};

struct mutator_vtable {
    bool (*mutate)(int fd, struct mutator *mutator);
    int (*compare)(struct mutator *a, struct mutator *b);
    void (*destroy)(struct mutator *mutator); /* at the last reference */
    bool (*mutate_usage)(const struct mutate_info *info, struct mutator *mutator);
};

/* What tells a socket from another one that got its descriptor later; 0: fd is no socket. */
static inline ino_t socket_inode(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) ? st.st_ino : 0;
}

#endif
