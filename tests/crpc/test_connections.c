/* Who is cut off when memory is short: over real sockets, shown to the table as gRPC core shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
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

enum { FD_SERVER_CONNECTION = 2 };

static struct connections *connections;
static struct pair {
    int client, server;
} pairs[PAIRS];

static void open_pair(struct pair *pair, int listener, const struct sockaddr_in *address)
{
    pair->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(pair->client, (const struct sockaddr *)address, sizeof *address), 0);
    pair->server = accept(listener, NULL, NULL);
    assert_true(pair->server >= 0);
    struct mutator *mutator = connections_arg(connections).value.pointer.p;
    struct mutate_info info = {.fd = pair->server, .usage = FD_SERVER_CONNECTION};
    assert_true(mutator->vtable->mutate_usage(&info, mutator));
}

static void open_pairs(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, PAIRS), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    connections = connections_new(100);
    assert_non_null(connections);
    for (int i = 0; i < PAIRS; i++)
        open_pair(&pairs[i], listener, &address);
    close(listener);
    assert_int_equal(connections_count(connections), PAIRS);
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
    open_pairs();
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
    for (int i = 0; i < PAIRS; i++) {
        close(pairs[i].client);
        close(pairs[i].server);
    }
    connections_free(connections);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_sends_most)};
    return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}
