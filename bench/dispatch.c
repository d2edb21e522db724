/* How many durable DispatchJob calls a second, unary, N in flight on one channel and one thread, and how long each
 * takes. Every answer's status is read; a call that fails ends the run. One thread: the loop's. The jobs have one name,
 * or NAMES of them in turn.
 *
 *     bench_dispatch --server ADDR [--token-file FILE] [--ca FILE [--cert FILE --key FILE]] --in-flight N --seconds S
 *                    [--names NAMES]
 *     bench_dispatch --request >FILE     what it sends, as gRPC frames it, for another client
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "crpc/client.h"
#include "crpc/credentials.h"
#include "joblog/v1/job_log.crpc.h"

enum { LATENCIES_MAX = 4 * 1000 * 1000, NAMES_MAX = 1000 };

struct load {
    struct crpc_channel *channel;
    struct crpc_loop *loop;
    Joblog__V1__DispatchJobRequest *request;
    int n_names, next_name;
    char names[NAMES_MAX][16];
    int64_t end_us; /* monotonic: start no more calls */
    uint64_t n_done, n_failed;
    uint32_t *latencies; /* microseconds, of the calls so far */
    struct err first_error;
};

struct slot {
    struct load *load;
    int64_t start_us;
};

static void on_done(void *user, const ProtobufCMessage *response, const struct err *status);

static void start(struct slot *slot)
{
    struct load *load = slot->load;
    struct err err = ERR_NONE;

    load->request->job->job_name = load->names[load->next_name];
    load->next_name = (load->next_name + 1) % load->n_names;
    slot->start_us = clock_mono_us();
    if (joblog_v1_job_log_service_dispatch_job_start(load->channel, load->loop, NULL, load->request, on_done, slot,
                                                     &err) < 0 &&
        load->n_failed++ == 0)
        load->first_error = err;
}

static void on_done(void *user, const ProtobufCMessage *response, const struct err *status)
{
    struct slot *slot = user;
    struct load *load = slot->load;
    int64_t now = clock_mono_us();

    (void)response;
    if (status->code != ERR_OK) {
        if (load->n_failed++ == 0)
            load->first_error = *status;
        return;
    }
    if (load->n_done < LATENCIES_MAX)
        load->latencies[load->n_done] = (uint32_t)(now - slot->start_us);
    load->n_done++;
    if (now < load->end_us && load->n_failed == 0)
        start(slot);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(struct load *load, int in_flight, int64_t took_us)
{
    size_t n = load->n_done < LATENCIES_MAX ? load->n_done : LATENCIES_MAX;

    qsort(load->latencies, n, sizeof *load->latencies, by_value);
    char name[48];
    snprintf(name, sizeof name, load->n_names > 1 ? "dispatch_%d_of_%d_names" : "dispatch_%d", in_flight,
             load->n_names);
    printf("figure %s %.0f jobs/s\n", name, (double)load->n_done * 1e6 / (double)took_us);
    size_t half = n / 2, most = n - 1 - n / 100;
    printf("figure %s_p50 %.3f ms\n", name, load->latencies[half] / 1e3);
    printf("figure %s_p99 %.3f ms\n", name, load->latencies[most] / 1e3);
}

static Joblog__V1__Source source = {
    .base = PROTOBUF_C_MESSAGE_INIT(&joblog__v1__source__descriptor), .type = (char *)"User", .id = (char *)"42"};
static Joblog__V1__JobSpec spec = JOBLOG__V1__JOB_SPEC__INIT;
static Joblog__V1__DispatchJobRequest request = JOBLOG__V1__DISPATCH_JOB_REQUEST__INIT;

static void make_request(void)
{
    spec.job_name = (char *)"bench.noop";
    spec.queue = (char *)"bench";
    spec.owner = (char *)"bench";
    spec.source = &source;
    spec.payload =
        (char *)"{\"file\":\"/srv/in/2026-01-31.csv\",\"mode\":\"full\",\"notify\":[\"a@example.org\"],\"n\":12345}";
    request.job = &spec;
}

static int print_request(void)
{
    uint8_t frame[1024] = {0}; /* the first byte: not compressed */
    size_t len = protobuf_c_message_pack(&request.base, frame + 5);

    for (int i = 0; i < 4; i++)
        frame[1 + i] = (uint8_t)(len >> (24 - 8 * i));
    return fwrite(frame, 1, len + 5, stdout) == len + 5 && fflush(stdout) == 0 ? 0 : 1;
}

static int run(const char *server, const char *bearer, const struct crpc_tls_client_options *tls, int in_flight,
               int seconds, int n_names)
{
    struct load load = {.request = &request, .n_names = n_names};
    struct slot *slots = calloc((size_t)in_flight, sizeof *slots);
    struct err err = ERR_NONE;
    int64_t began;

    for (int i = 0; i < n_names; i++)
        snprintf(load.names[i], sizeof load.names[i], i ? "bench.noop%d" : "bench.noop", i);
    load.latencies = calloc(LATENCIES_MAX, sizeof *load.latencies);
    struct crpc_metadata metadata = {"authorization", span_str(bearer)};
    struct crpc_channel_credentials *credentials = tls->ca_file ? crpc_channel_credentials_tls(tls, &err) : NULL;
    struct crpc_channel_options options = {
        .metadata = &metadata, .n_metadata = *bearer != '\0', .credentials = credentials};
    load.channel = tls->ca_file && !credentials ? NULL : crpc_channel_new(server, &options, &err);
    crpc_channel_credentials_free(credentials);
    load.loop = crpc_loop_new();
    if (!slots || !load.latencies || !load.channel || !load.loop) {
        fprintf(stderr, "bench_dispatch: could not start: %s\n", err.msg);
        exit(1);
    }
    began = clock_mono_us();
    load.end_us = began + (int64_t)seconds * 1000000;
    for (int i = 0; i < in_flight; i++) {
        slots[i].load = &load;
        start(&slots[i]);
    }
    while (crpc_loop_run(load.loop, -1) > 0) {
    }
    if (load.n_failed || load.n_done == 0)
        fprintf(stderr, "bench_dispatch: %" PRIu64 " calls failed, first: %s %s\n", load.n_failed,
                err_code_name((int)load.first_error.code), load.first_error.msg);
    else
        report(&load, in_flight, clock_mono_us() - began);
    crpc_loop_free(load.loop);
    crpc_channel_free(load.channel);
    free(load.latencies);
    free(slots);
    return load.n_failed || load.n_done == 0;
}

static int read_token(const char *path, char *bearer, size_t size)
{
    FILE *f = fopen(path, "re");
    char token[8200];
    if (!f || fscanf(f, "%8191s", token) != 1) {
        fprintf(stderr, "bench_dispatch: no token in %s\n", path);
        return -1;
    }
    fclose(f);
    snprintf(bearer, size, "Bearer %s", token);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"server", required_argument, NULL, 's'},  {"token-file", required_argument, NULL, 'f'},
        {"ca", required_argument, NULL, 'a'},      {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},     {"in-flight", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 't'}, {"names", required_argument, NULL, 'm'},
        {"request", no_argument, NULL, 'r'},       {0}};
    const char *server = "127.0.0.1:7420";
    char bearer[8300] = "";
    struct crpc_tls_client_options tls = {.server_name = "localhost"};
    int in_flight = 64, seconds = 5, n_names = 1, c;

    make_request();
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'r')
            return print_request();
        if (c == 's')
            server = optarg;
        else if (c == 'a')
            tls.ca_file = optarg;
        else if (c == 'c')
            tls.cert_file = optarg;
        else if (c == 'k')
            tls.key_file = optarg;
        else if (c == 'n')
            in_flight = atoi(optarg);
        else if (c == 't')
            seconds = atoi(optarg);
        else if (c == 'm')
            n_names = atoi(optarg);
        else if (c != 'f' || read_token(optarg, bearer, sizeof bearer) != 0)
            return 2;
    }
    if (in_flight < 1 || in_flight > 100000 || seconds < 1 || n_names < 1 || n_names > NAMES_MAX) {
        fprintf(stderr, "usage: bench_dispatch --server ADDR --in-flight N --seconds S [--names NAMES]\n");
        return 2;
    }
    return run(server, bearer, &tls, in_flight, seconds, n_names);
}
