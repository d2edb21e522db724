/* See bans.h. The filter is a classic BPF program: any process may give its own sockets one. A socket that is accepted
 * keeps the program of that moment, which does not name its own address. */
#include "bans.h"

#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>

/* How long an address is locked out; and how often it may try meanwhile before the kernel drops what it sends. */
enum { BAN_MS = 10000, TRIES = 16 };
enum { IPV4_SOURCE = 12, IPV6_SOURCE = 8, KEEP = 0x7fffffff };
/* An IPv6 address takes nine instructions; eight begin and end. */
enum { PROGRAM_MAX = 9 * BANS_MAX + 8 };

struct program {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short len;
};

static void put(struct program *p, unsigned code, uint32_t k, unsigned jt, unsigned jf)
{
    p->code[p->len++] = (struct sock_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
}

static uint32_t word_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_v4(const struct ban *b)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(b->ip, mapped, sizeof mapped) == 0;
}

/* Loads are relative to the network header. */
static void load(struct program *p, unsigned size, unsigned at)
{
    put(p, BPF_LD | size | BPF_ABS, (uint32_t)SKF_NET_OFF + at, 0, 0);
}

static void put_v4(struct program *p, const struct bans *bans)
{
    load(p, BPF_W, IPV4_SOURCE);
    for (size_t i = 0; i < BANS_MAX; i++) {
        if (!bans->list[i].filtered || !is_v4(&bans->list[i]))
            continue;
        put(p, BPF_JMP | BPF_JEQ | BPF_K, word_at(bans->list[i].ip + 12), 0, 1);
        put(p, BPF_RET | BPF_K, 0, 0, 0);
    }
    put(p, BPF_RET | BPF_K, KEEP, 0, 0);
}

static void put_v6(struct program *p, const struct bans *bans)
{
    for (size_t i = 0; i < BANS_MAX; i++) {
        if (!bans->list[i].filtered || is_v4(&bans->list[i]))
            continue;
        for (size_t w = 0; w < 4; w++) {
            load(p, BPF_W, IPV6_SOURCE + 4 * (unsigned)w);
            /* Else over the words to come and the end. */
            put(p, BPF_JMP | BPF_JEQ | BPF_K, word_at(bans->list[i].ip + 4 * w), 0, 2 * (3 - (unsigned)w) + 1);
        }
        put(p, BPF_RET | BPF_K, 0, 0, 0);
    }
    put(p, BPF_RET | BPF_K, KEEP, 0, 0);
}

static void make_filter(struct bans *bans)
{
    struct program p = {.len = 0};
    load(&p, BPF_B, 0);
    put(&p, BPF_ALU | BPF_RSH | BPF_K, 4, 0, 0);
    put(&p, BPF_JMP | BPF_JEQ | BPF_K, 4, 1, 0);
    unsigned over_v4 = p.len;
    put(&p, BPF_JMP | BPF_JA, 0, 0, 0);
    put_v4(&p, bans);
    p.code[over_v4].k = p.len - over_v4 - 1;
    put_v6(&p, bans);
    struct sock_fprog fprog = {.len = p.len, .filter = p.code};
    /* Where it is not to be had, its connections are accepted and closed as before. */
    for (size_t i = 0; i < bans->n_listeners; i++)
        setsockopt(bans->listeners[i], SOL_SOCKET, SO_ATTACH_FILTER, &fprog, sizeof fprog);
}

void bans_listener(struct bans *bans, int fd)
{
    if (bans->n_listeners < LISTENERS_MAX)
        bans->listeners[bans->n_listeners++] = fd;
}

void bans_add(struct bans *bans, const uint8_t ip[16], int64_t now_ms)
{
    struct ban *b = &bans->list[bans->next++ % BANS_MAX];
    for (size_t i = 0; i < BANS_MAX; i++)
        if (bans->list[i].until_ms > now_ms && memcmp(bans->list[i].ip, ip, sizeof b->ip) == 0)
            b = &bans->list[i];
    b->until_ms = now_ms + BAN_MS;
    b->tries = 0;
    memcpy(b->ip, ip, sizeof b->ip);
}

bool bans_refuse(struct bans *bans, const uint8_t ip[16], int64_t now_ms)
{
    for (size_t i = 0; i < BANS_MAX; i++) {
        struct ban *b = &bans->list[i];
        if (b->until_ms <= now_ms || memcmp(b->ip, ip, sizeof b->ip) != 0)
            continue;
        if (++b->tries >= TRIES && !b->filtered) {
            b->filtered = true;
            if (bans->filter_until_ms == 0 || b->until_ms < bans->filter_until_ms)
                bans->filter_until_ms = b->until_ms;
            make_filter(bans);
        }
        return true;
    }
    return false;
}

void bans_refresh(struct bans *bans, int64_t now_ms)
{
    if (bans->filter_until_ms == 0 || now_ms < bans->filter_until_ms)
        return;
    bans->filter_until_ms = 0;
    for (size_t i = 0; i < BANS_MAX; i++) {
        struct ban *b = &bans->list[i];
        if (!b->filtered)
            continue;
        b->filtered = b->until_ms > now_ms;
        if (b->filtered && (bans->filter_until_ms == 0 || b->until_ms < bans->filter_until_ms))
            bans->filter_until_ms = b->until_ms;
    }
    make_filter(bans);
}
