/* Peers that break the rules of HTTP/2, of gRPC's framing, or of good manners: each ends with a clear status or with
 * its connection, nothing grows, and a well-behaved client is served before, meanwhile and after. */
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "echo_server.h"
#include "raw_peer.h"

enum { READ_MS = 20000, NO_ERROR = -1 };

/* Of this process, which is the server too; without what the allocator keeps. */
static long rss_kib(void)
{
    malloc_trim(0);
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

/* Nothing is said of it under ThreadSanitizer, which keeps a shadow of all memory that was ever touched. */
static void must_not_have_grown(long before_kib, long by_kib)
{
#ifndef __SANITIZE_THREAD__
    assert_true(rss_kib() - before_kib < by_kib);
#else
    (void)before_kib, (void)by_kib;
#endif
}

static int say(struct echo *e, struct err *err)
{
    Crpc__Test__V1__SayRequest q = CRPC__TEST__V1__SAY_REQUEST__INIT;
    Crpc__Test__V1__SayResponse *r = NULL;
    struct crpc_call_options o = {.timeout_ms = READ_MS, .wait_for_ready = true};
    *err = ERR_NONE;
    int rc = crpc_test_v1_echo_service_say(e->channel, &o, &q, &r, err);
    if (rc == 0)
        crpc_message_free(&r->base);
    return rc;
}

static void must_say(struct echo *e)
{
    struct err err;
    if (say(e, &err) != 0)
        fail_msg("the good client is not served: %s", err.msg);
}

/* When memory is short core ends connections without calls, and calls: a client that tries again is served. */
static void must_say_at_last(struct echo *e)
{
    struct err err;
    int64_t until = clock_mono_ms() + READ_MS;
    while (say(e, &err) != 0)
        if ((err.code != ERR_UNAVAILABLE && err.code != ERR_RESOURCE_EXHAUSTED) || clock_mono_ms() > until)
            fail_msg("the good client is not served: %s", err.msg);
}

/* Each from an address of its own: one that is locked out is so for the next ten seconds. */
static atomic_uint next_host = 100;

static void greet(struct echo *e, struct raw_peer *p)
{
    assert_true(raw_connect_from(p, atomic_fetch_add(&next_host, 1), e->port, READ_MS));
    assert_true(raw_greet(p));
}

/* ---- HTTP/2 ---- */

static void test_broken_frames(void **state)
{
    struct echo *e = *state;
    static const struct {
        const char *what;
        enum raw_frame type;
        uint8_t flags;
        uint32_t stream;
        size_t len;
    } cases[] = {
        {"RST_STREAM of 3 bytes", RAW_RST_STREAM, 0, 1, 3},
        {"RST_STREAM of 5 bytes", RAW_RST_STREAM, 0, 1, 5},
        {"SETTINGS of 5 bytes", RAW_SETTINGS, 0, 0, 5},
        {"SETTINGS on a stream", RAW_SETTINGS, 0, 1, 0},
        {"PING of 7 bytes", RAW_PING, 0, 0, 7},
        {"PING of 1000 bytes", RAW_PING, 0, 0, 1000},
        {"CONTINUATION of nothing", RAW_CONTINUATION, RAW_END_HEADERS, 1, 4},
        {"a frame of a megabyte", RAW_DATA, 0, 1, 1 << 20},
        {"HEADERS of nonsense", RAW_HEADERS, RAW_END_HEADERS, 1, 300},
    };
    static uint8_t junk[1 << 20];
    memset(junk, 0xff, sizeof junk);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct raw_peer p;
        greet(e, &p);
        raw_frame(&p, cases[i].type, cases[i].flags, cases[i].stream, junk, cases[i].len);
        enum raw_end end = raw_read_end(&p, 0, true);
        if (end != RAW_CLOSED)
            fail_msg("%s: %d", cases[i].what, (int)end);
        raw_close(&p);
        must_say(e);
    }
}

static void test_no_http2(void **state)
{
    struct echo *e = *state;
    static const char *const greetings[] = {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
                                            "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "\n"};
    for (size_t i = 0; i < sizeof greetings / sizeof *greetings; i++) {
        struct raw_peer p;
        assert_true(raw_connect(&p, e->port, READ_MS));
        raw_write(&p, greetings[i], strlen(greetings[i]));
        assert_int_equal(raw_read_end(&p, 0, true), RAW_CLOSED);
        raw_close(&p);
    }
    must_say(e);
}

/* ---- gRPC's framing ---- */

static void test_messages(void **state)
{
    struct echo *e = *state;
    static const struct {
        const char *what, *method;
        uint32_t says;
        size_t len;
        int status;
    } cases[] = {
        {"good", "Say", 0, 0, ERR_OK},
        {"cut short", "Say", 100, 10, ERR_UNIMPLEMENTED},
        /* Core tells it apart from a good end for nobody. */
        {"cut short, streaming", "Sum", 100, 10, ERR_OK},
        {"a message that is none", "Say", 10, 10, ERR_INVALID_ARGUMENT},
        {"an unknown method", "Nonesuch", 0, 0, ERR_UNIMPLEMENTED},
    };
    static const uint8_t junk[16] = {0x0a, 0xff, 0xff, 0xff};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct raw_peer p;
        greet(e, &p);
        raw_open(&p, 1, cases[i].method, 0);
        raw_message(&p, 1, cases[i].says, junk, cases[i].len, RAW_END_STREAM);
        enum raw_end end = raw_read_end(&p, 1, true);
        if (end != RAW_STATUS || p.status != cases[i].status)
            fail_msg("%s: end %d status %d, want %d", cases[i].what, (int)end, p.status, cases[i].status);
        raw_close(&p);
        must_say(e);
    }
}

/* Just beyond what is allowed: RESOURCE_EXHAUSTED, once it is all there. Far beyond it: core gathers what it is
 * promised, until its memory quota says no. */
static void test_large_messages(void **state)
{
    (void)state;
    enum { QUOTA_MIB = 64, ROUNDS = 3 };
    struct echo e;
    struct raw_peer p;
    echo_start(&e, &(struct crpc_server_options){.memory_bytes = QUOTA_MIB << 20}, NULL);
    must_say(&e);
    long before = rss_kib();
    for (int i = 0; i < ROUNDS; i++) {
        greet(&e, &p);
        assert_true(raw_open(&p, 1, i % 2 ? "Sum" : "Say", 0) && raw_message(&p, 1, 5 << 20, "", 0, 0));
        raw_pour(&p, 1, 5 << 20);
        if (p.status == NO_ERROR)
            raw_read_end(&p, 1, true);
        assert_int_equal(p.status, ERR_RESOURCE_EXHAUSTED);
        raw_close(&p);
        greet(&e, &p);
        assert_true(raw_open(&p, 1, i % 2 ? "Sum" : "Say", 0) && raw_message(&p, 1, UINT32_MAX, "", 0, 0));
        enum raw_end end = raw_pour(&p, 1, (size_t)1 << 30);
        assert_true(end == RAW_RESET || end == RAW_CLOSED || p.status == ERR_RESOURCE_EXHAUSTED);
        must_say_at_last(&e);
        raw_close(&p);
    }
    print_message("resident: %ld KiB, then %ld KiB\n", before, rss_kib());
    must_not_have_grown(before, 4 * QUOTA_MIB * 1024);
    echo_stop(&e, 0);
}

/* No request message at all. */
static void test_no_message(void **state)
{
    struct echo *e = *state;
    struct raw_peer p;
    greet(e, &p);
    assert_true(raw_open(&p, 1, "Say", RAW_END_STREAM));
    assert_int_equal(raw_read_end(&p, 1, true), RAW_STATUS);
    assert_int_equal(p.status, ERR_UNIMPLEMENTED);
    raw_close(&p);
}

static void test_content_types(void **state)
{
    struct echo *e = *state;
    static const char *const types[] = {
        "application/grpc", "application/grpc+proto", "text/html", "application/json", "", NULL};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        uint8_t block[512];
        struct raw_peer p;
        greet(e, &p);
        size_t n = raw_call_headers(block, "/crpc.test.v1.EchoService/Say", types[i]);
        raw_frame(&p, RAW_HEADERS, RAW_END_HEADERS, 1, block, n);
        raw_message(&p, 1, 0, NULL, 0, RAW_END_STREAM);
        enum raw_end end = raw_read_end(&p, 1, true);
        /* Core takes any; what must be right is the message. */
        if (end != RAW_STATUS || p.status != ERR_OK)
            fail_msg("type %s: end %d status %d", types[i] ? types[i] : "none", (int)end, p.status);
        raw_close(&p);
    }
    must_say(e);
}

/* ---- metadata ---- */

/* Block after block without an end of headers, as fast as they go. */
static void continuation_flood(struct echo *e, bool one_value, size_t bytes)
{
    struct raw_peer p;
    uint8_t block[16384];
    size_t n = raw_call_headers(block, "/crpc.test.v1.EchoService/Say", "application/grpc");
    greet(e, &p);
    if (one_value) { /* a value that is said to have 256 MiB */
        static const uint8_t head[] = {0, 1, 'x', 127, 0x81, 0xff, 0xff, 0x7f};
        memcpy(block + n, head, sizeof head);
        n += sizeof head;
    }
    bool open = raw_frame(&p, RAW_HEADERS, 0, 1, block, n);
    memset(block, 'y', sizeof block);
    n = sizeof block;
    if (!one_value)
        for (n = 0; n < sizeof block - 100;)
            raw_put_header(block, &n, "x-flood", "0123456789012345678901234567890123456789");
    for (size_t sent = 0; open && sent < bytes; sent += n)
        open = raw_frame(&p, RAW_CONTINUATION, 0, 1, block, n);
    must_say_at_last(e);
    if (one_value)
        assert_int_equal(raw_read_end(&p, 0, true), RAW_CLOSED);
    raw_close(&p);
}

/* Core 1.51 neither limits the frames of a header block nor stops to take it in when it is larger than allowed; what it
 * gathers counts towards the memory quota, which ends it. Its way through one long value is quadratic: seconds for
 * eight megabytes, a minute for thirty; the watchdog ends that. */
static void test_metadata_bombs(void **state)
{
    (void)state;
    enum { QUOTA_MIB = 32, FLOODS = 4 };
    struct echo e;
    echo_start(&e, &(struct crpc_server_options){.memory_bytes = QUOTA_MIB << 20}, NULL);
    must_say(&e);
    long before = rss_kib();
    for (int i = 1; i < FLOODS; i++)
        continuation_flood(&e, false, 64 << 20);
    continuation_flood(&e, true, 16 << 20);
    print_message("resident: %ld KiB, then %ld KiB\n", before, rss_kib());
    must_not_have_grown(before, 8 * QUOTA_MIB * 1024);
    /* Nobody was cut off or locked out for what one of them did. */
    assert_true(crpc_server_cut(e.server) <= FLOODS);
    assert_int_equal(crpc_server_connections_refused(e.server), 0);
    echo_stop(&e, 0);
}

/* One header after another; those of a frame of its own each, as a frame has 16 KiB. */
static enum raw_end call_with(struct raw_peer *p, uint32_t stream, const char *te, const char *scheme, const char *key)
{
    static const char *const big_keys[] = {"x-a", "x-b"};
    char big[12001] = "";
    uint8_t block[16384];
    size_t n = 0;
    memset(big, 'x', sizeof big - 1);
    raw_put_header(block, &n, ":method", "POST");
    raw_put_header(block, &n, ":scheme", scheme);
    raw_put_header(block, &n, ":path", "/crpc.test.v1.EchoService/Say");
    raw_put_header(block, &n, ":authority", "raw.test");
    raw_put_header(block, &n, "te", te);
    raw_put_header(block, &n, key, "x");
    raw_put_header(block, &n, "content-type", "application/grpc");
    raw_frame(p, RAW_HEADERS, 0, stream, block, n);
    for (int i = 0; i < 2; i++) {
        n = 0;
        raw_put_header(block, &n, big_keys[i], big);
        raw_frame(p, RAW_CONTINUATION, i ? RAW_END_HEADERS : 0, stream, block, n);
    }
    raw_message(p, stream, 0, NULL, 0, RAW_END_STREAM);
    return raw_read_end(p, stream, true);
}

/* The limit holds for who has acknowledged it and for who has not; nor does a bad header before one too many end the
 * process (CVE-2023-1428). */
static void test_large_metadata(void **state)
{
    static const struct {
        const char *te, *scheme, *key;
        bool good;
    } cases[] = {
        {"trailers", "http", "x-c", true},
        {"x", "http", "x-c", false},
        {"trailers", "x", "x-c", false},
        {"trailers", "http", "grpclb_client_stats", true},
    };
    (void)state;
    for (size_t max = 8192; max <= 16384; max += 8192) {
        struct echo e;
        echo_start(&e, &(struct crpc_server_options){.max_metadata_bytes = max}, NULL);
        for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
            struct raw_peer p;
            uint32_t stream = 1;
            greet(&e, &p);
            for (; i % 2 && stream < 5; stream += 2) { /* so that it has acknowledged the settings */
                assert_true(raw_open(&p, stream, "Say", 0) && raw_message(&p, stream, 0, NULL, 0, RAW_END_STREAM));
                assert_int_equal(raw_read_end(&p, stream, true), RAW_STATUS);
            }
            p.status = NO_ERROR;
            enum raw_end end = call_with(&p, stream, cases[i / 2].te, cases[i / 2].scheme, cases[i / 2].key);
            assert_true(end != RAW_TIMEOUT);
            if (end == RAW_STATUS && stream == 1)
                assert_true(cases[i / 2].good ? p.status == ERR_RESOURCE_EXHAUSTED : p.status != ERR_OK);
            raw_close(&p);
            must_say(&e);
        }
        echo_stop(&e, 0);
    }
}

/* ---- slow ones ---- */

static void test_handshake_timeout(void **state)
{
    (void)state;
    struct echo e;
    struct raw_peer silent, slow, half;
    echo_start(&e, &(struct crpc_server_options){.handshake_timeout_ms = 500}, NULL);
    assert_true(raw_connect(&silent, e.port, READ_MS));
    assert_true(raw_connect(&slow, e.port, READ_MS) && raw_write(&slow, "PRI *", 5));
    assert_true(raw_connect(&half, e.port, READ_MS) && raw_write(&half, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24));
    must_say(&e);
    assert_int_equal(raw_read_end(&silent, 0, true), RAW_CLOSED);
    assert_int_equal(raw_read_end(&slow, 0, true), RAW_CLOSED);
    assert_int_equal(raw_read_end(&half, 0, true), RAW_CLOSED);
    raw_close(&silent);
    raw_close(&slow);
    raw_close(&half);
    echo_stop(&e, 0);
}

/* It greets, opens a call, and is then as if unplugged: found out by a ping. */
static void test_dead_connection(void **state)
{
    (void)state;
    struct echo e;
    struct raw_peer p;
    echo_start(&e, &(struct crpc_server_options){.keepalive_ms = 300, .keepalive_timeout_ms = 300}, NULL);
    greet(&e, &p);
    assert_true(raw_open(&p, 1, "Sum", 0));
    assert_int_equal(raw_read_end(&p, 0, false), RAW_CLOSED); /* reads, but answers no ping */
    echo_wait_done(&e, 1);
    assert_int_equal(e.n_cancelled, 1);
    raw_close(&p);
    must_say(&e);
    echo_stop(&e, 0);
}

/* A message byte by byte costs the server nothing but the place of one call; its deadline ends it. */
static void test_slow_message(void **state)
{
    struct echo *e = *state;
    struct raw_peer p;
    uint8_t block[512];
    size_t n = raw_call_headers(block, "/crpc.test.v1.EchoService/Sum", "application/grpc");
    raw_put_header(block, &n, "grpc-timeout", "500m");
    greet(e, &p);
    raw_frame(&p, RAW_HEADERS, RAW_END_HEADERS, 1, block, n);
    raw_frame(&p, RAW_DATA, 0, 1, "\0\0\0\0\x10", 5);
    for (int i = 0; i < 5; i++)
        raw_frame(&p, RAW_DATA, 0, 1, "x", 1);
    must_say(e);
    echo_wait_done(e, 1);
    assert_int_equal(echo_read(e, &e->n_cancelled), 1);
    raw_close(&p);
}

/* ---- storms ---- */

struct flood {
    struct echo *e;
    pthread_t thread;
    int calls;
    bool whole; /* with a message */
};

static void *flood_main(void *arg)
{
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    struct flood *f = arg;
    struct raw_peer p;
    bool open = raw_connect_from(&p, atomic_fetch_add(&next_host, 1), f->e->port, READ_MS) && raw_greet(&p);
    uint32_t stream = 1;
    for (int i = 0; open && i < f->calls; i++, stream += 2)
        open = raw_open(&p, stream, i % 2 ? "Say" : "Count", 0) &&
               (!f->whole || raw_message(&p, stream, 0, NULL, 0, RAW_END_STREAM)) &&
               raw_frame(&p, RAW_RST_STREAM, 0, stream, cancel, 4);
    if (p.fd >= 0)
        raw_close(&p);
    return NULL;
}

/* Streams opened and reset as fast as it goes, on several connections: others are served meanwhile, all calls end, and
 * a second storm of the same kind takes no memory that the first did not. */
static void test_reset_storm(void **state)
{
    (void)state;
    struct echo echo, *e = &echo;
    enum { FLOODS = 4, CALLS = 3000, ROUNDS = 6 };
    long after_first = 0;
    echo_start(e, &(struct crpc_server_options){.max_cancels = UINT32_MAX}, NULL); /* nothing stops it */
    for (int round = 0; round < ROUNDS; round++) {
        struct flood floods[FLOODS];
        for (int i = 0; i < FLOODS; i++) {
            floods[i] = (struct flood){.e = e, .calls = CALLS, .whole = i % 2};
            pthread_create(&floods[i].thread, NULL, flood_main, &floods[i]);
        }
        int64_t worst = 0;
        for (int i = 0; i < 20; i++) {
            int64_t start = clock_mono_us();
            must_say(e);
            int64_t us = clock_mono_us() - start;
            worst = us > worst ? us : worst;
        }
        for (int i = 0; i < FLOODS; i++)
            pthread_join(floods[i].thread, NULL);
        int64_t until = clock_mono_ms() + READ_MS;
        while (crpc_server_calls(e->server) > 0 && clock_mono_ms() < until)
            must_say(e);
        assert_int_equal(crpc_server_calls(e->server), 0);
        print_message("storm %d: worst call of the good client %.1f ms, rss %ld KiB\n", round, (double)worst / 1000,
                      rss_kib());
        if (round == 0)
            after_first = rss_kib();
    }
    must_not_have_grown(after_first, 48 * 1024);
    echo_stop(e, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, echo_setup, echo_teardown)
        T(test_broken_frames),
        T(test_no_http2),
        T(test_messages),
        cmocka_unit_test(test_large_messages),
        T(test_no_message),
        T(test_content_types),
        cmocka_unit_test(test_large_metadata),
        cmocka_unit_test(test_metadata_bombs),
        cmocka_unit_test(test_handshake_timeout),
        cmocka_unit_test(test_dead_connection),
        T(test_slow_message),
        cmocka_unit_test(test_reset_storm),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
