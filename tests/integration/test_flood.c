/* Ten times the load that can be carried, a thousand connections, streams reset as fast as they open, bombs of messages
 * and metadata: joblogd's memory stays within its setting, a caller that does nobody harm is served all the while, and
 * all is well again afterwards. The flood comes by TCP, the good caller by the unix socket.
 *
 * Times are printed, and only that of the recovery is asserted: FLOOD_SECONDS=10 test_flood is `bench/run flood`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <zlib.h>

#include "base/clock.h"
#include "crpc/async.h"
#include "grpc/health/v1/health.crpc.h"
#include "raw_peer.h"
#include "support/calls.h"
#include "support/channel.h"
#include "support/server_fixture.h"

/* Of memory-mb, which is all that the process may have. */
enum { MEMORY_MB = 256 };
enum { IN_FLIGHT = 2560, CONNECTIONS = 1000, STORM_PEERS = 4, BOMBS = 8, RETRY_MS = 30000, RECOVERY_MS = 10000 };
/* How long a hostile peer waits for anything: who is locked out gets no answer at all. */
enum { PEER_MS = 500 };

static struct server_fixture *server;
static struct crpc_channel *good;
static int port;
static int64_t phase_us;
static int64_t idle_p99_us;
static atomic_long acknowledged;

/* ---- the good caller ---- */

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Dispatches a job; it may be told to come back: then it does. */
static void dispatch_at_last(void)
{
    Joblog__V1__JobSpec spec = spec_of("good", "flood");
    int64_t until = clock_mono_ms() + RETRY_MS;
    for (;;) {
        struct err err = ERR_NONE;
        Joblog__V1__Job *job = call_dispatch(good, &spec, "", &err);
        if (job) {
            job_free(job);
            atomic_fetch_add(&acknowledged, 1);
            return;
        }
        if ((err.code != ERR_RESOURCE_EXHAUSTED && err.code != ERR_UNAVAILABLE) || clock_mono_ms() > until)
            fail_msg("the good caller is not served: %s", err.msg);
    }
}

static void ask_health(void)
{
    Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    Grpc__Health__V1__HealthCheckResponse *r = NULL;
    struct err err = ERR_NONE;
    int64_t until = clock_mono_ms() + RETRY_MS;
    while (grpc_health_v1_health_check(good, &(struct crpc_call_options){.timeout_ms = RETRY_MS}, &q, &r, &err) != 0)
        if (clock_mono_ms() > until)
            fail_msg("health does not answer: %s", err.msg);
    crpc_message_free(&r->base);
}

/* Dispatches one after the other for the time of a phase, prints how long it took. p99. */
static int64_t measure(const char *name)
{
    enum { MAX = 100000, MIN = 20 };
    static int64_t us[MAX];
    size_t n = 0;
    int64_t health = 0, until = clock_mono_us() + phase_us;
    while (n < MAX && (n < MIN || clock_mono_us() < until)) {
        int64_t start = clock_mono_us();
        dispatch_at_last();
        us[n++] = clock_mono_us() - start;
        if (n % 10 == 0) {
            start = clock_mono_us();
            ask_health();
            int64_t took = clock_mono_us() - start;
            health = took > health ? took : health;
        }
    }
    qsort(us, n, sizeof *us, compare);
    int64_t p99 = us[n - 1 - n / 100];
    printf("figure flood_%s_p50 %.2f ms\nfigure flood_%s_p99 %.2f ms\nfigure flood_%s_health_worst %.2f ms\n", name,
           (double)us[n / 2] / 1000, name, (double)p99 / 1000, name, (double)health / 1000);
    if (idle_p99_us && strcmp(name, "after") != 0)
        printf("ratio flood_%s_p99_headroom %.2f 1\n", name, 10.0 * (double)idle_p99_us / (double)p99);
    return p99;
}

/* Of /proc/PID/status. */
static long server_kib(const char *key)
{
    char path[64], line[256], format[32];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", server_fixture_pid(server));
    snprintf(format, sizeof format, "%s: %%ld", key);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, format, &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

static void check_memory(const char *name)
{
    printf("figure flood_%s_rss %ld KiB\nfigure flood_%s_rss_peak %ld KiB\n", name, server_kib("VmRSS"), name,
           server_kib("VmHWM"));
    fflush(stdout);
    assert_in_range(server_kib("VmHWM"), 1, MEMORY_MB * 1024);
}

/* ---- ten times the load ---- */

struct load {
    pthread_t thread;
    struct crpc_channel *channel;
    struct crpc_loop *loop;
    int64_t until;
    long ok, shed, other;
};

static void load_one(struct load *load);

static void load_done(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct load *load = user;
    (void)response;
    load->ok += status->code == ERR_OK;
    load->shed += status->code == ERR_RESOURCE_EXHAUSTED;
    load->other += status->code != ERR_OK && status->code != ERR_RESOURCE_EXHAUSTED;
    if (clock_mono_us() < load->until)
        load_one(load);
}

static void load_one(struct load *load)
{
    static const struct crpc_call_options options = {.timeout_ms = RETRY_MS};
    Joblog__V1__JobSpec spec = spec_of("load", "flood");
    Joblog__V1__DispatchJobRequest request = JOBLOG__V1__DISPATCH_JOB_REQUEST__INIT;
    request.job = &spec;
    crpc_unary_start(load->channel, load->loop,
                     &joblog_v1_job_log_service.methods[JOBLOG_V1_JOB_LOG_SERVICE_DISPATCH_JOB], &options,
                     &request.base, load_done, load, NULL);
}

static void *load_main(void *arg)
{
    struct load *load = arg;
    for (int i = 0; i < IN_FLIGHT; i++)
        load_one(load);
    while (crpc_loop_run(load->loop, -1) > 0)
        ;
    return NULL;
}

static void ten_times_the_load(void **state)
{
    (void)state;
    struct load load = {.until = clock_mono_us() + phase_us};
    load.channel = channel_open_with(server_fixture_address(server), NULL, NULL);
    load.loop = crpc_loop_new();
    pthread_create(&load.thread, NULL, load_main, &load);
    measure("overload");
    pthread_join(load.thread, NULL);
    atomic_fetch_add(&acknowledged, load.ok);
    printf("figure flood_overload_served %ld calls\nfigure flood_overload_shed %ld calls\n", load.ok, load.shed);
    crpc_loop_free(load.loop);
    crpc_channel_free(load.channel);
    assert_int_equal(load.other, 0); /* served or refused, nothing else */
    assert_true(load.ok > 0);
    check_memory("overload");
}

/* ---- a thousand connections ---- */

static void a_thousand_connections(void **state)
{
    (void)state;
    static struct raw_peer peers[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++)
        assert_true(raw_connect(&peers[i], port, RETRY_MS) && raw_greet(&peers[i]));
    measure("connections");
    for (int i = 0; i < CONNECTIONS; i++)
        raw_close(&peers[i]);
    check_memory("connections");
}

/* ---- streams opened and reset ---- */

struct storm {
    pthread_t thread;
    atomic_bool *over;
    uint32_t host;
    long resets;
};

static bool open_and_reset(struct raw_peer *p, uint32_t stream, bool watch)
{
    static const uint8_t cancel[4] = {0, 0, 0, 8};
    uint8_t block[512];
    size_t n =
        raw_call_headers(block, watch ? "/joblog.v1.JobLogService/WatchJob" : "/joblog.v1.JobLogService/DispatchJob",
                         "application/grpc");
    return raw_frame(p, RAW_HEADERS, RAW_END_HEADERS, stream, block, n) &&
           raw_message(p, stream, 2, "\x08\x01", 2, RAW_END_STREAM) &&
           raw_frame(p, RAW_RST_STREAM, 0, stream, cancel, sizeof cancel);
}

/* When its connection is cut it comes again. */
static void *storm_main(void *arg)
{
    struct storm *s = arg;
    while (!atomic_load(s->over)) {
        struct raw_peer p;
        if (!raw_connect_from(&p, s->host, port, PEER_MS))
            continue;
        bool open = raw_greet(&p);
        for (uint32_t stream = 1; open && !atomic_load(s->over); stream += 2, s->resets++)
            open = open_and_reset(&p, stream, stream % 4 == 1);
        raw_close(&p);
    }
    return NULL;
}

static void streams_opened_and_reset(void **state)
{
    (void)state;
    struct storm storms[STORM_PEERS];
    atomic_bool over = false;
    long n = 0;
    for (int i = 0; i < STORM_PEERS; i++) {
        storms[i] = (struct storm){.over = &over, .host = 100 + (uint32_t)i};
        pthread_create(&storms[i].thread, NULL, storm_main, &storms[i]);
    }
    measure("resets");
    atomic_store(&over, true);
    for (int i = 0; i < STORM_PEERS; i++) {
        pthread_join(storms[i].thread, NULL);
        n += storms[i].resets;
    }
    printf("figure flood_resets %ld streams\n", n);
    check_memory("resets");
}

/* ---- bombs ---- */

/* A message that is said to have 4 GiB, and as much of it as is taken. */
static void message_bomb(struct raw_peer *p)
{
    uint8_t block[512];
    size_t n = raw_call_headers(block, "/joblog.v1.JobLogService/DispatchJob", "application/grpc");
    if (raw_frame(p, RAW_HEADERS, RAW_END_HEADERS, 1, block, n) && raw_message(p, 1, UINT32_MAX, "", 0, 0))
        raw_pour(p, 1, (size_t)512 << 20);
}

/* Headers without end. */
static void metadata_bomb(struct raw_peer *p)
{
    uint8_t block[16384];
    size_t n = raw_call_headers(block, "/joblog.v1.JobLogService/GetJob", "application/grpc");
    bool open = raw_frame(p, RAW_HEADERS, 0, 1, block, n);
    for (n = 0; n < sizeof block - 100;)
        raw_put_header(block, &n, "x-flood", "0123456789012345678901234567890123456789");
    for (size_t sent = 0; open && sent < (64 << 20); sent += n)
        open = raw_frame(p, RAW_CONTINUATION, 0, 1, block, n);
}

/* Some kilobytes that would be 64 MiB; packed once, before the flood, whose work it is not. */
static uint8_t packed[(64 << 20) / 500];
static size_t packed_len;

static void pack(void)
{
    enum { LEN = 64 << 20 };
    uint8_t *zeros = calloc(1, LEN);
    z_stream z = {.next_in = zeros, .avail_in = LEN, .next_out = packed, .avail_out = sizeof packed};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    packed_len = z.total_out;
    deflateEnd(&z);
    free(zeros);
}

static void compressed_bomb(struct raw_peer *p)
{
    enum { PIECE = 16000, WINDOW = 60000 };
    uint8_t block[512];
    size_t n = raw_call_headers(block, "/joblog.v1.JobLogService/DispatchJob", "application/grpc"), len = packed_len;
    raw_put_header(block, &n, "grpc-encoding", "gzip");
    uint8_t head[5] = {1, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
    bool open = raw_frame(p, RAW_HEADERS, RAW_END_HEADERS, 1, block, n) && raw_frame(p, RAW_DATA, 0, 1, head, 5);
    for (size_t at = 0; open && at < len && at < WINDOW; at += PIECE)
        open = raw_frame(p, RAW_DATA, 0, 1, packed + at, len - at < PIECE ? len - at : PIECE);
    if (open && len < WINDOW)
        raw_frame(p, RAW_DATA, RAW_END_STREAM, 1, "", 0);
    if (raw_read_end(p, 1, true) == RAW_STATUS)
        assert_true(p->status != 0);
}

struct bomber {
    pthread_t thread;
    atomic_bool *over;
    int kind;
    long thrown;
};

static void *bomber_main(void *arg)
{
    static void (*const bombs[])(struct raw_peer *) = {message_bomb, metadata_bomb, compressed_bomb};
    struct bomber *b = arg;
    while (!atomic_load(b->over)) {
        struct raw_peer p;
        if (!raw_connect_from(&p, 1000 + (uint32_t)b->kind, port, PEER_MS))
            continue;
        if (raw_greet(&p)) {
            bombs[b->kind % 3](&p);
            b->thrown++;
        }
        raw_close(&p);
    }
    return NULL;
}

static void bombs(void **state)
{
    (void)state;
    struct bomber bombers[BOMBS];
    atomic_bool over = false;
    long n = 0;
    pack();
    for (int i = 0; i < BOMBS; i++) {
        bombers[i] = (struct bomber){.over = &over, .kind = i};
        pthread_create(&bombers[i].thread, NULL, bomber_main, &bombers[i]);
    }
    measure("bombs");
    atomic_store(&over, true);
    for (int i = 0; i < BOMBS; i++) {
        pthread_join(bombers[i].thread, NULL);
        n += bombers[i].thrown;
    }
    printf("figure flood_bombs %ld bombs\n", n);
    check_memory("bombs");
}

/* ---- before and after ---- */

static void before_the_flood(void **state)
{
    (void)state;
    idle_p99_us = measure("idle");
    check_memory("idle");
}

/* Nothing of it remains, and nothing acknowledged is lost. */
static void after_the_flood(void **state)
{
    (void)state;
    int64_t start = clock_mono_us(), took;
    do {
        took = clock_mono_us();
        dispatch_at_last();
        took = clock_mono_us() - took;
    } while (took > 2 * idle_p99_us && clock_mono_us() - start < RETRY_MS * 1000LL);
    int64_t recovery_ms = (clock_mono_us() - start) / 1000;
    printf("figure flood_recovery %ld ms\n", (long)recovery_ms);
    assert_in_range(recovery_ms, 0, RECOVERY_MS);
    measure("after");
    Joblog__V1__GetJobStatsRequest q = JOBLOG__V1__GET_JOB_STATS_REQUEST__INIT;
    Joblog__V1__JobStats *stats = NULL;
    struct err err = ERR_NONE;
    assert_int_equal(joblog_v1_job_log_service_get_job_stats(good, NULL, &q, &stats, &err), 0);
    assert_true(stats->total->dispatched >= atomic_load(&acknowledged));
    crpc_message_free(&stats->base);
    check_memory("after");
}

static int setup(void **state)
{
    (void)state;
    static const char *const args[] = {"--memory-mb=256", "--dangerously-disable-authentication=true", NULL};
    const char *seconds = getenv("FLOOD_SECONDS");
    phase_us = seconds ? atol(seconds) * 1000000 : 500000;
    server = server_fixture_start(&(struct server_fixture_options){.args = args, .unix_socket = true});
    assert_non_null(server);
    port = atoi(strrchr(server_fixture_address(server), ':') + 1);
    good = channel_open_with(server_fixture_unix_address(server), NULL, NULL);
    assert_non_null(good);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    crpc_channel_free(good);
    if (getenv("FLOOD_LOG"))
        fputs(server_fixture_log(server), stderr);
    assert_int_equal(server_fixture_stop(server), 0);
    server_fixture_free(server);
    return 0;
}

/* An argument: only what fits this pattern, such as "*reset*". */
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_the_flood),
        cmocka_unit_test(ten_times_the_load),
        cmocka_unit_test(a_thousand_connections),
        cmocka_unit_test(streams_opened_and_reset),
        cmocka_unit_test(bombs),
        cmocka_unit_test(after_the_flood),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, setup, teardown);
}
