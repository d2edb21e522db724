/* A worker of the fault campaign over libjoblog: what the jobs ask for, and a line of JSON for each attempt that begins
 * and each end that the server accepted. Lines are written at once, so that SIGKILL loses none. SIGTERM drains.
 *
 *     campaign_lib_worker ADDRESS TOKEN-FILE NAME RECORD QUEUE...
 */
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <joblog/joblog.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 6 };

static const char *name;
static int record_fd;

static void record(const char *event, const struct joblog_job *job, int status)
{
    char line[300];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* as Python's time.monotonic() */
    int n = snprintf(line, sizeof line,
                     "{\"t\": %" PRId64 ".%09ld, \"worker\": \"%s\", \"e\": \"%s\", \"job\": %" PRId64
                     ", \"attempt\": %d, \"status\": %d}\n",
                     (int64_t)now.tv_sec, now.tv_nsec, name, event, job->id, job->attempt, status);
    if (write(record_fd, line, (size_t)n) != n)
        perror("record");
}

static int wait_for_the_end(struct joblog_context *context)
{
    while (!joblog_job_wait_cancelled(context, -1))
        ;
    return -1;
}

static int finish(struct joblog_context *context, const char *how, int attempt)
{
    char result[200];
    if (strcmp(how, "fail") == 0 || (strcmp(how, "fail_first") == 0 && attempt == 1))
        return joblog_job_fail(context, "Campaign", "%s", how);
    if ((strcmp(how, "snooze") == 0 || strcmp(how, "release") == 0) && attempt == 1)
        return joblog_job_snooze(context, 100, "campaign");
    snprintf(result, sizeof result, "{\"worker\": \"%s\", \"attempt\": %d}", name, attempt);
    return joblog_job_set_result(context, result, NULL);
}

static int run(struct joblog_context *context, const char *how, int64_t ms)
{
    const struct joblog_job *job = joblog_job_info(context);
    char patch[200];
    snprintf(patch, sizeof patch, "{\"token\": \"%s %d\"}", name, job->attempt);
    joblog_job_merge_payload(context, patch, NULL);
    if (strcmp(how, "hang") == 0 && job->attempt == 1)
        return wait_for_the_end(context);
    if (joblog_job_wait_cancelled(context, ms / 2))
        return -1;
    joblog_job_set_progress(context, 1, 2, "halves");
    if (joblog_job_wait_cancelled(context, ms - ms / 2))
        return -1;
    return finish(context, how, job->attempt);
}

static int handle(struct joblog_context *context, void *user)
{
    const struct joblog_job *job = joblog_job_info(context);
    (void)user;
    record("start", job, 0);
    json_t *payload = json_loads(job->payload, 0, NULL);
    const char *how = json_string_value(json_object_get(payload, "how"));
    int rc = how ? run(context, how, json_integer_value(json_object_get(payload, "ms"))) : -1;
    json_decref(payload);
    return rc;
}

static void on_finished(void *user, const struct joblog_job *job, enum joblog_status status)
{
    (void)user;
    record("ended", job, (int)status);
}

static int work(struct joblog_client *client, const char *const *queues, size_t n_queues, struct joblog_error *error)
{
    struct joblog_worker_options options = {.name = name,
                                            .queues = queues,
                                            .n_queues = n_queues,
                                            .concurrency = SLOTS,
                                            .prefetch = -1,
                                            .on_finished = on_finished};
    struct joblog_worker *worker = joblog_worker_new(client, &options, error);
    int rc = -1;
    if (worker && joblog_worker_handle(worker, NULL, handle, NULL, error) == 0 &&
        joblog_worker_stop_on_signals(worker, error) == 0)
        rc = joblog_worker_run(worker, error);
    joblog_worker_free(worker);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: campaign_lib_worker ADDRESS TOKEN-FILE NAME RECORD QUEUE...\n");
        return 2;
    }
    struct joblog_error error;
    struct joblog_options options = {.token_file = argv[2]};
    name = argv[3];
    record_fd = open(argv[4], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    struct joblog_client *client = record_fd < 0 ? NULL : joblog_connect(argv[1], &options, &error);
    int rc = client ? work(client, (const char *const *)argv + 5, (size_t)argc - 5, &error) : -1;
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", name, record_fd < 0 ? "no record" : error.message);
    joblog_close(client);
    return rc < 0 ? 1 : 0;
}
