/* The address of a peer, as the kernel knows it and as gRPC core writes it. Any thread. */
#ifndef CRPC_SRC_PEER_ADDRESS_H
#define CRPC_SRC_PEER_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct address {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    in_port_t port; /* 0: not an IP socket */
};

/* Of the socket's other end; port 0 when that is no IP socket. */
struct address address_of(int fd);
/* From "ipv4:1.2.3.4:80" or "ipv6:%5B::1%5D:80" (brackets may stand as such); port 0 when it is neither. */
struct address address_parse(const char *peer);
bool address_eq(const struct address *a, const struct address *b);

#endif
