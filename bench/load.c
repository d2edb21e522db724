/* Loads against a joblogd; see load.h for the parts and docs/benchmarks.md for what they measure.
 *
 *     bench_load bulk|life|steady|progress|fanout|idle --server ADDR [--token-file FILE] [--seconds S] [--jobs N]
 *                [--in-flight N] [--streams N] [--owners] [--prefix NAME] */
#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES_MAX = 8 * 1000 * 1000 };

void load_fail(const char *what, const struct err *err)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, err ? err->msg : "");
    exit(1);
}

struct crpc_channel *load_channel(const struct load *load)
{
    struct crpc_metadata metadata = {"authorization", span_str(load->bearer)};
    struct crpc_channel_options options = {.metadata = &metadata, .n_metadata = *load->bearer != '\0'};
    struct err err = ERR_NONE;
    struct crpc_channel *channel = crpc_channel_new(load->server, &options, &err);
    if (!channel)
        load_fail("channel", &err);
    return channel;
}

void samples_add(struct samples *s, int64_t us)
{
    if (!s->at && !(s->at = malloc(SAMPLES_MAX * sizeof *s->at)))
        load_fail("out of memory", NULL);
    if (s->n < SAMPLES_MAX)
        s->at[s->n++] = us < 0 ? 0 : us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

double samples_ms(struct samples *s, double part)
{
    if (s->n == 0)
        return 0;
    qsort(s->at, s->n, sizeof *s->at, by_value);
    return s->at[(size_t)((double)(s->n - 1) * part)] / 1e3;
}

void samples_done(struct samples *s)
{
    free(s->at);
    *s = (struct samples){0};
}

static void read_token(struct load *load, const char *path)
{
    FILE *f = fopen(path, "re");
    char token[8200];
    if (!f || fscanf(f, "%8191s", token) != 1)
        load_fail("no token in the file", NULL);
    fclose(f);
    snprintf(load->bearer, sizeof load->bearer, "Bearer %s", token);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct load *load);
    } modes[] = {{"bulk", load_bulk},         {"life", load_life},     {"steady", load_steady},
                 {"progress", load_progress}, {"fanout", load_fanout}, {"idle", load_idle}};
    static const struct option options[] = {{"server", required_argument, NULL, 's'},
                                            {"token-file", required_argument, NULL, 'f'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"jobs", required_argument, NULL, 'j'},
                                            {"in-flight", required_argument, NULL, 'n'},
                                            {"streams", required_argument, NULL, 'w'},
                                            {"prefix", required_argument, NULL, 'p'},
                                            {"owners", no_argument, NULL, 'o'},
                                            {0}};
    struct load load = {
        .server = "127.0.0.1:7420", .seconds = 5, .jobs = 200000, .in_flight = 64, .streams = 100, .prefix = ""};
    int c;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 's')
            load.server = optarg;
        else if (c == 'f')
            read_token(&load, optarg);
        else if (c == 't')
            load.seconds = atoi(optarg);
        else if (c == 'j')
            load.jobs = atoi(optarg);
        else if (c == 'n')
            load.in_flight = atoi(optarg);
        else if (c == 'w')
            load.streams = atoi(optarg);
        else if (c == 'o')
            load.owners = true;
        else if (c == 'p')
            load.prefix = optarg;
        else
            return 2;
    }
    for (size_t i = 0; optind < argc && i < sizeof modes / sizeof *modes; i++)
        if (strcmp(argv[optind], modes[i].name) == 0 && load.seconds > 0 && load.jobs > 0)
            return modes[i].run(&load);
    fprintf(stderr, "usage: bench_load bulk|life|steady|progress|fanout|idle --server ADDR [OPTION...]\n");
    return 2;
}
