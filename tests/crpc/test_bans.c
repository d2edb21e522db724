/* Addresses that are locked out, and the kernel's filter over real sockets of both families. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "bans.h"

enum { BAN_MS = 10000, TRIES = 16, WAIT_MS = 30000 };

static void parse(const char *text, uint8_t ret[16])
{
    char mapped[80];
    snprintf(mapped, sizeof mapped, "%s%s", strchr(text, ':') ? "" : "::ffff:", text);
    assert_int_equal(inet_pton(AF_INET6, mapped, ret), 1);
}

static void test_for_a_while(void **state)
{
    (void)state;
    struct bans bans = {.next = 0};
    uint8_t ip[16], other[16];
    static const char *const pairs[][2] = {{"2001:db8::1", "2001:db8::2"}, {"10.0.0.1", "10.0.0.2"}};
    for (size_t i = 0; i < 2; i++) {
        parse(pairs[i][0], ip);
        parse(pairs[i][1], other);
        bans_add(&bans, ip, 1000);
        assert_true(bans_refuse(&bans, ip, 1000 + BAN_MS - 1));
        assert_false(bans_refuse(&bans, ip, 1000 + BAN_MS));
        assert_false(bans_refuse(&bans, other, 1000));
    }
}

/* A socket that listens on all addresses of both families; its port in *ret_port. -1: this machine has no IPv6. */
static int listen_on_both(in_port_t *ret_port)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    socklen_t len = sizeof any;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0;
    if (fd < 0)
        return -1;
    assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &len), 0);
    *ret_port = any.sin6_port;
    return fd;
}

/* A connection that has begun from that address of this machine to itself. */
static int begin(const char *address, in_port_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port}, from4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
    bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (!is_v6) {
        assert_int_equal(inet_pton(AF_INET, "127.0.0.1", &v4.sin_addr), 1);
        assert_int_equal(inet_pton(AF_INET, address, &from4.sin_addr), 1);
        assert_int_equal(bind(fd, (struct sockaddr *)&from4, sizeof from4), 0);
    }
    int rc = is_v6 ? connect(fd, (struct sockaddr *)&v6, sizeof v6) : connect(fd, (struct sockaddr *)&v4, sizeof v4);
    assert_true(rc == 0 || errno == EINPROGRESS);
    return fd;
}

static bool is_connected(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, timeout_ms) == 1 && (p.revents & (POLLERR | POLLHUP)) == 0;
}

static void assert_let_in(const char *address, in_port_t port)
{
    int fd = begin(address, port);
    assert_true(is_connected(fd, WAIT_MS));
    close(fd);
}

/* Who began before another that is let in, and is not connected then, has been dropped. */
static void assert_dropped(int fd, in_port_t port)
{
    assert_let_in("127.0.0.3", port);
    assert_false(is_connected(fd, 0));
}

static void assert_kept_out(const char *address, in_port_t port)
{
    int fd = begin(address, port);
    assert_dropped(fd, port);
    close(fd);
}

/* Locked out, until it has tried so often that the kernel is told. */
static void lock_out(struct bans *bans, const char *address, int64_t now_ms)
{
    uint8_t ip[16];
    parse(address, ip);
    bans_add(bans, ip, now_ms);
    for (int i = 0; i < TRIES; i++)
        assert_true(bans_refuse(bans, ip, now_ms));
}

static void test_the_kernel_drops(void **state)
{
    (void)state;
    struct bans bans = {.next = 0};
    in_port_t port = 0;
    int listener = listen_on_both(&port);
    if (listener < 0)
        skip();
    bans_listener(&bans, listener);
    static const char *const addresses[] = {"::1", "127.0.0.1", "127.0.0.2", "127.0.0.3"};
    for (size_t i = 0; i < 4; i++)
        assert_let_in(addresses[i], port);

    /* Others of the same family before and after it in the program. */
    lock_out(&bans, "2001:db8::1", 0);
    lock_out(&bans, "::1", 1000);
    lock_out(&bans, "0:0:0:1::1", 0);
    assert_kept_out("::1", port);
    for (size_t i = 1; i < 4; i++)
        assert_let_in(addresses[i], port);
    lock_out(&bans, "127.0.0.2", 2000);
    lock_out(&bans, "10.0.0.1", 0);
    assert_kept_out("::1", port);
    assert_let_in("127.0.0.1", port);
    assert_kept_out("127.0.0.2", port);
    assert_let_in("127.0.0.3", port);

    /* Each for its time; who goes on trying gets in by the kernel's next try. */
    int waiting = begin("::1", port);
    assert_dropped(waiting, port);
    bans_refresh(&bans, 1000 + BAN_MS);
    assert_true(is_connected(waiting, WAIT_MS));
    close(waiting);
    assert_let_in("::1", port);
    assert_kept_out("127.0.0.2", port);
    bans_refresh(&bans, 2000 + BAN_MS);
    assert_let_in("127.0.0.2", port);
    close(listener);
}

/* The longest program that there can be is one that the kernel takes. */
static void test_as_many_as_there_can_be(void **state)
{
    (void)state;
    struct bans bans = {.next = 0};
    in_port_t port = 0;
    int listener = listen_on_both(&port);
    if (listener < 0)
        skip();
    bans_listener(&bans, listener);
    char address[64];
    for (int i = 0; i < BANS_MAX - 1; i++) {
        snprintf(address, sizeof address, "2001:db8:0:%x::1", i + 1);
        lock_out(&bans, address, 0);
    }
    assert_let_in("::1", port);
    lock_out(&bans, "::1", 0);
    assert_kept_out("::1", port);
    assert_let_in("127.0.0.1", port);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_for_a_while),
        cmocka_unit_test(test_the_kernel_drops),
        cmocka_unit_test(test_as_many_as_there_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
