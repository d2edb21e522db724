/* Who exports what: prints a line for each export of anybody's that begins or ends, with the size of its file, as a
 * dashboard would; first those that are there. Needs a token that sees the jobs of others. Runs until SIGINT or
 * SIGTERM; with a number, until so many have ended.
 *
 *     example-export-observer [COUNT]
 *
 * The main thread watches; signals are waited for by a thread of their own, since joblog_watch_cancel is not for
 * handlers. */
#include <inttypes.h>
#include <joblog/joblog.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static sigset_t end_signals;

static void *wait_for_signal(void *watch)
{
    int number;
    sigwait(&end_signals, &number);
    joblog_watch_cancel(watch);
    return NULL;
}

static int print_file(struct joblog_client *client, const struct joblog_job *job, struct joblog_error *error)
{
    struct joblog_export *export;
    int rc = joblog_export_get(client, job->id, &export, error);
    if (rc < 0)
        return rc;
    printf("%" PRId64 " completed: %s, %" PRId64 " rows, %" PRId64 " bytes\n", job->id, export->file_name, export->rows,
           export->size);
    joblog_export_free(export);
    return 0;
}

/* 1 when it has ended. */
static int print_change(struct joblog_client *client, const struct joblog_job *job, int64_t *last_started,
                        struct joblog_error *error)
{
    if (job->status == JOBLOG_COMPLETED)
        return print_file(client, job, error) < 0 ? -1 : 1;
    if (joblog_status_is_final(job->status)) {
        printf("%" PRId64 " %s: %s\n", job->id, joblog_status_name(job->status), job->error_message);
        return 1;
    }
    if (job->status == JOBLOG_RUNNING && job->id != *last_started) { /* not for each step of its progress */
        printf("%" PRId64 " running for %s\n", job->id, *job->owner ? job->owner : job->creator);
        *last_started = job->id;
    }
    return 0;
}

static int observe(struct joblog_client *client, struct joblog_watch *watch, int count, struct joblog_error *error)
{
    const struct joblog_job *job;
    int64_t last_started = 0;
    int rc = 0;
    for (int ended = 0; count == 0 || ended < count; ended += rc) {
        if ((rc = joblog_watch_next(watch, &job, error)) <= 0 ||
            (rc = print_change(client, job, &last_started, error)) < 0)
            break;
        fflush(stdout);
    }
    return rc < 0 && error->code != JOBLOG_CANCELLED ? -1 : 0;
}

int main(int argc, char **argv)
{
    /* Before the library makes threads, so that they inherit it. */
    sigemptyset(&end_signals);
    sigaddset(&end_signals, SIGINT);
    sigaddset(&end_signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &end_signals, NULL);

    struct joblog_error error;
    struct joblog_client *client = joblog_connect(NULL, NULL, &error);
    const char *name = "joblog.export";
    struct joblog_filter filter = {.job_names = &name, .n_job_names = 1};
    struct joblog_watch *watch = client ? joblog_watch_jobs(client, &filter, false, &error) : NULL;
    pthread_t thread;
    int rc = -1;
    if (watch && pthread_create(&thread, NULL, wait_for_signal, watch) == 0) {
        puts("observing");
        fflush(stdout);
        rc = observe(client, watch, argc > 1 ? atoi(argv[1]) : 0, &error);
        pthread_kill(thread, SIGINT); /* also when no signal came */
        pthread_join(thread, NULL);
    }
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", joblog_code_name(error.code), error.message);
    joblog_watch_free(watch);
    joblog_close(client);
    return rc < 0 ? 1 : 0;
}
