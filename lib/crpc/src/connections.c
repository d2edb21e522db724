/* See connections.h. What is known of a socket lies in a table by its descriptor. That core has closed one is seen when
 * its number comes again, or when the table is full and is looked through: the descriptor then belongs to another file,
 * by the inode, or to none. */
#include "connections.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bans.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "mutator.h"
#include "peer_address.h"

/* Descriptors that no peer gets: core stops listening for good when accept finds none left. */
enum { FDS_KEPT = 64 };
/* Looking through the table costs about a microsecond for each connection; at most a twentieth of the time for it. */
enum { SWEEP_PAUSE_US = 20 };
/* Of tcpi_state, as the kernel numbers them. */
enum { STATE_ESTABLISHED = 1 };
/* Connections that were cut are remembered so long, and so many: calls of theirs may still be waiting in core. */
enum { CUT_MS = 5000, CUTS = 64, LOG_PAUSE_MS = 10000 };
/* Of a socket, for what nobody has read yet: what core may read at one go, as it knows no other bound. The system's own
 * may grow to 32 MiB, of which core was seen to read one at once. */
enum { RECEIVE_BYTES = 256 * 1024 };
/* Of the table, to begin with: what an ordinary process may have. */
enum { FDS_EXPECTED = 1024, PORTS = 65536 };

struct connection {
    ino_t inode; /* 0: none */
    struct address address;
    uint64_t received;  /* at connections_mark */
    uint64_t swallowed; /* since then; of connections_cut_greediest alone */
    bool cut;           /* shut down from here; core is about to close it */
};

struct connections {
    struct mutator mutator; /* first: core hands it back */
    unsigned max;
    pthread_mutex_t mu;
    struct connection *by_fd;
    size_t n_fds;
    unsigned n;   /* that are known */
    int *by_port; /* a descriptor and one, by the port of the peer; the last one accepted counts */
    int64_t swept_us, logged_ms;
    struct bans bans;
    struct address cuts[CUTS];
    size_t next_cut;
    atomic_ullong refused, cut;
    atomic_llong cut_ms; /* the last one */
};

/* With mu: forgets those that core has closed. */
static void sweep(struct connections *c)
{
    for (size_t fd = 0; fd < c->n_fds; fd++) {
        if (c->by_fd[fd].inode && socket_inode((int)fd) != c->by_fd[fd].inode) {
            c->by_fd[fd].inode = 0;
            c->n--;
        }
    }
}

/* With mu: has fd a place in the table? */
static bool reserve(struct connections *c, int fd)
{
    size_t want = (size_t)fd + 1;
    if (want <= c->n_fds)
        return true;
    want = want < 2 * c->n_fds ? 2 * c->n_fds : want + 64;
    struct connection *grown = mem_realloc(c->by_fd, want * sizeof *grown);
    if (!grown)
        return false;
    memset(grown + c->n_fds, 0, (want - c->n_fds) * sizeof *grown);
    c->by_fd = grown;
    c->n_fds = want;
    return true;
}

static bool is_full(struct connections *c)
{
    if (c->n < c->max)
        return false;
    int64_t now = clock_mono_us();
    if (now - c->swept_us >= (int64_t)c->n * SWEEP_PAUSE_US) {
        sweep(c);
        c->swept_us = now;
    }
    return c->n >= c->max;
}

static bool fds_run_out(int fd)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
           (rlim_t)fd + FDS_KEPT >= limit.rlim_cur;
}

/* With mu. One line for many: who refuses a flood should not write as much. */
static void log_refused(struct connections *c, const char *why)
{
    unsigned long long n = atomic_fetch_add(&c->refused, 1) + 1;
    int64_t now = clock_mono_ms();
    if (c->logged_ms && now - c->logged_ms < LOG_PAUSE_MS)
        return;
    c->logged_ms = now;
    log_warning("connections refused reason=%s max=%u refused=%llu", why, c->max, n);
}

/* With mu. Calls of the connection are no more looked at; ban: and its address gets no new one for a while. */
static void note_cut(struct connections *c, const struct address *address, bool ban)
{
    int64_t now = clock_mono_ms();
    c->cuts[c->next_cut++ % CUTS] = *address;
    atomic_store(&c->cut_ms, now);
    if (ban)
        bans_add(&c->bans, address->ip, now);
}

static void accepted(struct connections *c, int fd)
{
    struct address address = address_of(fd);
    pthread_mutex_lock(&c->mu);
    const char *why = NULL;
    if (!reserve(c, fd)) {
        why = "out-of-memory";
    } else {
        if (c->by_fd[fd].inode) { /* the old one is closed, as its number is free */
            c->by_fd[fd].inode = 0;
            c->n--;
        }
        why = fds_run_out(fd)                                                      ? "descriptors"
              : address.port && bans_refuse(&c->bans, address.ip, clock_mono_ms()) ? "locked-out"
              : is_full(c)                                                         ? "max-connections"
                                                                                   : NULL;
    }
    if (why) {
        log_refused(c, why);
        shutdown(fd, SHUT_RDWR);
    } else {
        c->by_fd[fd] = (struct connection){.inode = socket_inode(fd), .address = address};
        c->n += c->by_fd[fd].inode != 0;
        c->by_port[address.port] = fd + 1;
    }
    pthread_mutex_unlock(&c->mu);
}

/* Always true: core takes a false for a failure of the listener and closes it. */
static bool mutate_usage(const struct mutate_info *info, struct mutator *mutator)
{
    struct connections *c = (struct connections *)(void *)mutator;
    if (info->usage == FD_SERVER_CONNECTION) {
        accepted(c, info->fd);
    } else if (info->usage == FD_SERVER_LISTENER) {
        /* Those that it accepts get the same. */
        setsockopt(info->fd, SOL_SOCKET, SO_RCVBUF, &(int){RECEIVE_BYTES}, sizeof(int));
        pthread_mutex_lock(&c->mu);
        bans_listener(&c->bans, info->fd);
        pthread_mutex_unlock(&c->mu);
    }
    return true;
}

static bool mutate(int fd, struct mutator *mutator)
{
    (void)fd, (void)mutator;
    return true;
}

static int compare(struct mutator *a, struct mutator *b)
{
    return (a > b) - (a < b);
}

static void destroy(struct mutator *mutator)
{
    (void)mutator;
}

static const struct mutator_vtable vtable = {mutate, compare, destroy, mutate_usage};

struct connections *connections_new(unsigned max)
{
    struct connections *c = mem_zalloc(sizeof *c);
    if (!c)
        return NULL;
    c->by_fd = mem_zalloc(FDS_EXPECTED * sizeof *c->by_fd);
    c->by_port = mem_zalloc(PORTS * sizeof *c->by_port);
    if (!c->by_fd || !c->by_port) {
        mem_free(c->by_fd);
        mem_free(c->by_port);
        mem_free(c);
        return NULL;
    }
    c->n_fds = FDS_EXPECTED;
    c->mutator.vtable = &vtable;
    gpr_ref_init(&c->mutator.refs, 1);
    c->max = max;
    pthread_mutex_init(&c->mu, NULL);
    return c;
}

void connections_free(struct connections *connections)
{
    if (!connections)
        return;
    pthread_mutex_destroy(&connections->mu);
    mem_free(connections->by_fd);
    mem_free(connections->by_port);
    mem_free(connections);
}

static void *arg_copy(void *p)
{
    return p;
}

static void arg_destroy(void *p)
{
    (void)p;
}

static int arg_compare(void *a, void *b)
{
    return (a > b) - (a < b);
}

grpc_arg connections_arg(struct connections *connections)
{
    static const grpc_arg_pointer_vtable arg_vtable = {arg_copy, arg_destroy, arg_compare};
    return (grpc_arg){.type = GRPC_ARG_POINTER,
                      .key = (char *)GRPC_ARG_SOCKET_MUTATOR,
                      .value.pointer = {&connections->mutator, &arg_vtable}};
}

unsigned connections_count(struct connections *connections)
{
    pthread_mutex_lock(&connections->mu);
    sweep(connections);
    unsigned n = connections->n;
    pthread_mutex_unlock(&connections->mu);
    return n;
}

uint64_t connections_refused(const struct connections *connections)
{
    return atomic_load(&connections->refused);
}

uint64_t connections_were_cut(const struct connections *connections)
{
    return atomic_load(&connections->cut);
}

/* The number may come to belong to another socket at any time, so it is held by a copy before it is looked at. */
static bool cut_fd(struct connections *c, int fd, const struct connection *known)
{
    int held = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (held < 0)
        return false;
    struct address now = address_of(held);
    struct tcp_info info = {.tcpi_state = 0};
    socklen_t len = sizeof info;
    bool same = socket_inode(held) == known->inode && address_eq(&now, &known->address) &&
                getsockopt(held, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == STATE_ESTABLISHED;
    if (same) {
        atomic_fetch_add(&c->cut, 1);
        /* Drops what it has received and nobody has read: that may be megabytes of what it is cut for. */
        (void)connect(held, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr));
        shutdown(held, SHUT_RDWR);
    }
    close(held);
    return same;
}

/* Has bytes to send, and has sent none for so long; 0: whatever it has. */
static bool is_stuck(int fd, int64_t still_ms)
{
    struct tcp_info info = {.tcpi_last_data_sent = 0};
    socklen_t len = sizeof info;
    int unsent = 0;
    return still_ms == 0 ||
           (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && ioctl(fd, SIOCOUTQNSD, &unsent) == 0 &&
            unsent > 0 && info.tcpi_last_data_sent >= still_ms);
}

/* With mu. stuck_ms: only one that has been stuck for so long; 0: whatever it is. */
static bool cut_at(struct connections *c, const struct address *address, int64_t stuck_ms)
{
    bool done = false;
    for (size_t fd = 0; address->port && fd < c->n_fds && !done; fd++) {
        struct connection *known = &c->by_fd[fd];
        if (known->inode && !known->cut && address_eq(&known->address, address) && is_stuck((int)fd, stuck_ms))
            done = known->cut = cut_fd(c, (int)fd, known);
    }
    return done;
}

bool connections_cut(struct connections *connections, const char *peer)
{
    struct address address = address_parse(peer);
    pthread_mutex_lock(&connections->mu);
    bool done = cut_at(connections, &address, 0);
    if (done)
        note_cut(connections, &address, true);
    pthread_mutex_unlock(&connections->mu);
    return done;
}

bool connections_end_stuck(struct connections *connections, const char *peer, int64_t still_ms)
{
    struct address address = address_parse(peer);
    pthread_mutex_lock(&connections->mu);
    bool done = cut_at(connections, &address, still_ms);
    pthread_mutex_unlock(&connections->mu);
    return done;
}

int connections_find(struct connections *connections, const char *peer)
{
    struct address address = address_parse(peer);
    pthread_mutex_lock(&connections->mu);
    int fd = address.port ? connections->by_port[address.port] - 1 : -1;
    bool same = fd >= 0 && connections->by_fd[fd].inode && address_eq(&connections->by_fd[fd].address, &address);
    pthread_mutex_unlock(&connections->mu);
    return same ? fd : -1;
}

/* 0 for what is no TCP connection. */
static uint64_t received_by(int fd)
{
    struct tcp_info info = {.tcpi_bytes_received = 0};
    socklen_t len = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_bytes_received : 0;
}

void connections_mark(struct connections *connections)
{
    pthread_mutex_lock(&connections->mu);
    for (size_t fd = 0; fd < connections->n_fds; fd++)
        if (connections->by_fd[fd].inode)
            connections->by_fd[fd].received = received_by((int)fd);
    pthread_mutex_unlock(&connections->mu);
}

/* With mu. */
static bool cut_known(struct connections *c, size_t fd, bool ban)
{
    struct connection *known = &c->by_fd[fd];
    if (known->cut || !known->address.port || !cut_fd(c, (int)fd, known))
        return false;
    known->cut = true;
    note_cut(c, &known->address, ban);
    return true;
}

unsigned connections_cut_greedy(struct connections *connections, uint64_t bytes, bool any)
{
    struct connections *c = connections;
    size_t fullest = 0;
    int most = 0;
    unsigned n = 0;
    pthread_mutex_lock(&c->mu);
    for (size_t fd = 0; fd < c->n_fds; fd++) {
        if (!c->by_fd[fd].inode)
            continue;
        uint64_t received = received_by((int)fd);
        int unread = 0;
        if (received >= c->by_fd[fd].received + bytes) {
            n += cut_known(c, fd, true);
        } else if (ioctl((int)fd, SIOCINQ, &unread) == 0 && unread > most && !c->by_fd[fd].cut) {
            most = unread;
            fullest = fd;
        }
    }
    if (n == 0 && any && most > 0)
        n += cut_known(c, fullest, false);
    pthread_mutex_unlock(&c->mu);
    return n;
}

/* With mu. The one that has swallowed most. */
static size_t greediest(const struct connections *c)
{
    size_t found = 0;
    for (size_t fd = 1; fd < c->n_fds; fd++)
        if (c->by_fd[fd].swallowed > c->by_fd[found].swallowed)
            found = fd;
    return found;
}

unsigned connections_cut_greediest(struct connections *connections, uint64_t bytes)
{
    struct connections *c = connections;
    uint64_t all = 0, of_cut = 0;
    unsigned n = 0;
    pthread_mutex_lock(&c->mu);
    for (size_t fd = 0; fd < c->n_fds; fd++) {
        struct connection *known = &c->by_fd[fd];
        uint64_t received = known->inode && !known->cut ? received_by((int)fd) : 0;
        known->swallowed = received > known->received ? received - known->received : 0;
        all += known->swallowed;
    }
    while (of_cut < all - all / 4 && n < CUTS) {
        size_t fd = greediest(c);
        uint64_t swallowed = c->by_fd[fd].swallowed;
        if (swallowed < bytes)
            break;
        of_cut += swallowed;
        c->by_fd[fd].swallowed = 0;
        n += cut_known(c, fd, true);
    }
    pthread_mutex_unlock(&c->mu);
    return n;
}

bool connections_cut_lately(const struct connections *connections)
{
    int64_t last = atomic_load_explicit(&connections->cut_ms, memory_order_relaxed);
    return last != 0 && clock_mono_ms() - last < CUT_MS;
}

bool connections_was_cut(struct connections *connections, const char *peer)
{
    struct address address = address_parse(peer);
    bool found = false;
    pthread_mutex_lock(&connections->mu);
    for (size_t i = 0; address.port && i < CUTS && !found; i++)
        found = address_eq(&connections->cuts[i], &address);
    pthread_mutex_unlock(&connections->mu);
    return found;
}

void connections_refresh(struct connections *connections)
{
    pthread_mutex_lock(&connections->mu);
    bans_refresh(&connections->bans, clock_mono_ms());
    pthread_mutex_unlock(&connections->mu);
}
