/* Who is cut off when memory is short or a worker stuck, and who is let in again: over real sockets, shown to the table
 * as gRPC core shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "connections.h"

enum { PAIRS = 6, KIB = 1024 };

/* As gRPC core has them, and calls them for each socket that it accepts. */
struct mutate_info {
    int fd;
    int usage;
};

struct mutator {
    const struct {
        bool (*mutate)(int fd, struct mutator *mutator);
        int (*compare)(struct mutator *a, struct mutator *b);
        void (*destroy)(struct mutator *mutator);
        bool (*mutate_usage)(const struct mutate_info *info, struct mutator *mutator);
    } * vtable;
};

enum { FD_SERVER_LISTENER = 1, FD_SERVER_CONNECTION = 2 };

static struct connections *connections;
static struct pair {
    int client, server;
} pairs[PAIRS];

static int listener;

static void show(int fd, int usage)
{
    struct mutator *mutator = connections_arg(connections).value.pointer.p;
    struct mutate_info info = {.fd = fd, .usage = usage};
    assert_true(mutator->vtable->mutate_usage(&info, mutator));
}

static void open_pair(struct pair *pair)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    pair->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(pair->client, (const struct sockaddr *)&address, sizeof address), 0);
    pair->server = accept(listener, NULL, NULL);
    assert_true(pair->server >= 0);
    show(pair->server, FD_SERVER_CONNECTION);
}

static void close_pair(const struct pair *pair)
{
    close(pair->client);
    close(pair->server);
}

static int setup(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    connections = connections_new(100);
    assert_non_null(connections);
    show(listener, FD_SERVER_LISTENER);
    assert_int_equal(listen(listener, PAIRS), 0);
    for (int i = 0; i < PAIRS; i++)
        open_pair(&pairs[i]);
    assert_int_equal(connections_count(connections), PAIRS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < PAIRS; i++)
        close_pair(&pairs[i]);
    close(listener);
    connections_free(connections);
    return 0;
}

/* Read, too, at the other end. */
static void sends(int i, size_t n)
{
    static char block[16 * KIB];
    for (size_t sent = 0; sent < n; sent += sizeof block) {
        size_t got = 0;
        assert_int_equal(send(pairs[i].client, block, sizeof block, MSG_NOSIGNAL), sizeof block);
        while (got < sizeof block) {
            ssize_t r = recv(pairs[i].server, block, sizeof block - got, 0);
            assert_true(r > 0);
            got += (size_t)r;
        }
    }
}

static bool is_cut(int i)
{
    struct pollfd p = {.fd = pairs[i].client, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

static void assert_cut(const bool cut[PAIRS])
{
    for (int i = 0; i < PAIRS; i++)
        assert_int_equal(is_cut(i), cut[i]);
}

static void test_who_sends_most(void **state)
{
    (void)state;
    sends(5, 2048 * KIB); /* before: it does not count */
    connections_mark(connections);
    sends(0, 4096 * KIB);
    sends(1, 3072 * KIB);
    sends(2, 320 * KIB);
    sends(3, 96 * KIB);
    /* The first two have sent 94 of 100; of the rest, the third is 77 of 100; the fourth has sent too little. */
    assert_int_equal(connections_cut_greediest(connections, 128 * KIB), 2);
    assert_cut((bool[PAIRS]){true, true});
    assert_int_equal(connections_cut_greediest(connections, 128 * KIB), 1);
    assert_cut((bool[PAIRS]){true, true, true});
    assert_int_equal(connections_cut_greediest(connections, 128 * KIB), 0);
    assert_cut((bool[PAIRS]){true, true, true});
    assert_int_equal(connections_were_cut(connections), 3);
    assert_true(connections_cut_lately(connections));
}

/* Is a new connection of the same address let in? */
static bool is_let_in(void)
{
    struct pair pair;
    open_pair(&pair);
    struct pollfd p = {.fd = pair.client, .events = POLLIN};
    bool let_in = poll(&p, 1, 0) == 0;
    close_pair(&pair);
    return let_in;
}

/* Who is cut because nobody knows better may be the wrong one. */
static void test_guess(void **state)
{
    (void)state;
    connections_mark(connections);
    sends(1, 96 * KIB);
    assert_int_equal(send(pairs[2].client, "12345", 5, MSG_NOSIGNAL), 5);
    assert_int_equal(connections_cut_greedy(connections, 128 * KIB, false), 0);
    assert_int_equal(connections_cut_greedy(connections, 128 * KIB, true), 1);
    assert_cut((bool[PAIRS]){[2] = true});
    assert_true(is_let_in());
    sends(1, 32 * KIB);
    assert_int_equal(connections_cut_greedy(connections, 128 * KIB, true), 1);
    assert_cut((bool[PAIRS]){[1] = true, [2] = true});
    assert_false(is_let_in());
    assert_int_equal(connections_refused(connections), 1);
}

/* However much the system would let a socket grow to: core reads it at one go. */
static void test_receive_buffers(void **state)
{
    (void)state;
    static char block[64 * KIB];
    size_t sent = 0;
    for (ssize_t n; (n = send(pairs[0].client, block, sizeof block, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0;)
        sent += (size_t)n;
    int unread = 0;
    assert_int_equal(ioctl(pairs[0].server, FIONREAD, &unread), 0);
    assert_true(unread > 0 && unread < 1024 * KIB);
    assert_true(sent > (size_t)unread);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    static const struct CMUnitTest tests[] = {T(test_who_sends_most), T(test_guess), T(test_receive_buffers)};
#undef T
    return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}
