/* Addresses that get no new connection for a while. The first that they try are accepted and closed, so that an honest
 * client learns of it at once; who goes on trying is dropped by the kernel, through a filter on the listening sockets,
 * as each connection that core accepts costs it work on its one thread. Not locked: its owner (connections.c) does.
 */
#ifndef CRPC_SRC_BANS_H
#define CRPC_SRC_BANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* LISTENERS: more have no filter. */
enum { BANS_MAX = 64, LISTENERS_MAX = 16 };

struct bans {
    struct ban {
        uint8_t ip[16];   /* IPv4 as ::ffff:a.b.c.d */
        int64_t until_ms; /* 0: none */
        unsigned tries;   /* connections refused */
        bool filtered;    /* the kernel knows */
    } list[BANS_MAX];
    size_t next;
    int listeners[LISTENERS_MAX];
    size_t n_listeners;
    int64_t filter_until_ms; /* when the filter is to be made anew; 0: there is none */
};

/* A listening socket: borrowed, for as long as connections are accepted. */
void bans_listener(struct bans *bans, int fd);
void bans_add(struct bans *bans, const uint8_t ip[16], int64_t now_ms);
/* Is a new connection of it to be refused? Counts the attempt. */
bool bans_refuse(struct bans *bans, const uint8_t ip[16], int64_t now_ms);
/* Now and then: lets those in again whose time is over. */
void bans_refresh(struct bans *bans, int64_t now_ms);

#endif
