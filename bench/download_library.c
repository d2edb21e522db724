/* bench_download_library: the file of an export through libjoblog, which unpacks and checks every piece and the sum of
 * the whole, again and again. Prints `figure download <rate> MB/s`.
 *
 *     bench_download_library ADDRESS EXPORT SECONDS        $JOBLOG_TOKEN_FILE */
#include <joblog/joblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "keep_memory.h"

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int take(void *user, const void *data, size_t len, int64_t offset, int64_t total)
{
    double *bytes = user;
    (void)data;
    (void)offset;
    (void)total;
    *bytes += (double)len;
    return 0;
}

int main(int argc, char **argv)
{
    struct joblog_error error;
    keep_memory();
    if (argc != 4) {
        fprintf(stderr, "usage: bench_download_library ADDRESS EXPORT SECONDS\n");
        return 2;
    }
    struct joblog_client *client = joblog_connect(argv[1], NULL, &error);
    double bytes = 0, begin = now(), seconds = strtod(argv[3], NULL);
    int rc = client ? 0 : -1;
    while (rc >= 0 && now() - begin < seconds)
        rc = joblog_export_download(client, strtoll(argv[2], NULL, 10), 0, take, &bytes, NULL, &error);
    if (rc < 0)
        fprintf(stderr, "bench_download_library: %s\n", error.message);
    else
        printf("figure download %.0f MB/s\n", bytes / (now() - begin) / 1e6);
    joblog_close(client);
    return rc < 0;
}
