/* See peer_address.h. */
#include "peer_address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct address address_from(const struct sockaddr_storage *sa)
{
    struct address a = {.port = 0};
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        a.ip[10] = a.ip[11] = 0xff;
        memcpy(a.ip + 12, &in->sin_addr, 4);
        a.port = in->sin_port;
    } else if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)sa;
        memcpy(a.ip, &in->sin6_addr, 16);
        a.port = in->sin6_port;
    }
    return a;
}

struct address address_of(int fd)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof sa;
    return getpeername(fd, (struct sockaddr *)&sa, &len) == 0 ? address_from(&sa) : (struct address){.port = 0};
}

bool address_eq(const struct address *a, const struct address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

struct address address_parse(const char *peer)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&sa;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&sa;
    char host[INET6_ADDRSTRLEN] = "";
    const char *colon = strrchr(peer, ':'), *at = peer + 5;
    bool is_v6 = strncmp(peer, "ipv6:", 5) == 0;
    if (!colon || colon < at || (!is_v6 && strncmp(peer, "ipv4:", 5) != 0))
        return address_from(&sa);
    if (is_v6)
        at += strncasecmp(at, "%5B", 3) == 0 ? 3 : 1;
    size_t len = is_v6 ? strcspn(at, "%]") : (size_t)(colon - at);
    if (len >= sizeof host)
        return address_from(&sa);
    memcpy(host, at, len);
    in_port_t port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (is_v6 && inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        sa.ss_family = AF_INET6;
        v6->sin6_port = port;
    } else if (!is_v6 && inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        sa.ss_family = AF_INET;
        v4->sin_port = port;
    }
    return address_from(&sa);
}
