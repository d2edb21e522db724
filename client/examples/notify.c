/* A mass notification: a list of recipients becomes jobs of a hundred each, which whatever worker sends (worker.c has
 * the handler), and this program watches all of them to their end.
 *
 *     example-notify CAMPAIGN RECIPIENTS      such as: example-notify spring 2000
 *
 * The campaign names the batch and the request ids: run again, after a crash or by mistake, it makes no job twice and
 * watches those that are there. Exit code 0 when everybody was notified. */
#include <inttypes.h>
#include <joblog/joblog.h>
#include <stdio.h>
#include <stdlib.h>

enum { A_JOB = 100, JOBS_MAX = 1000 };

/* What became of the jobs, by the last that was heard of each. */
struct tally {
    int64_t ids[JOBS_MAX], done[JOBS_MAX];
    size_t n, ended[JOBLOG_STATUS_CANCELLED + 1];
};

/* On the dispatcher's thread: keeps the first refusal. */
static void on_answer(void *user, const struct joblog_outcome *outcome)
{
    struct joblog_error *first = user;
    if (outcome->code == JOBLOG_OK || first->code != JOBLOG_OK)
        return;
    first->code = (enum joblog_code)outcome->code;
    snprintf(first->message, sizeof first->message, "%s", outcome->message);
}

static int add(struct joblog_dispatcher *dispatcher, const char *campaign, int n, int from, int recipients,
               struct joblog_error *refusal, struct joblog_error *error)
{
    char payload[100], request_id[200];
    snprintf(payload, sizeof payload, "{\"from\": %d, \"recipients\": %d}", from, recipients);
    snprintf(request_id, sizeof request_id, "notify-%s-%d", campaign, n);
    struct joblog_spec spec = {.job_name = "send_notification",
                               .payload = payload,
                               .batch = campaign,
                               .request_id = request_id,
                               .max_attempts = 3};
    return joblog_dispatcher_add(dispatcher, &spec, on_answer, refusal, error);
}

/* The jobs go out together; when the dispatcher is freed all are durable, or one was refused. */
static int dispatch_all(struct joblog_client *client, const char *campaign, int recipients, struct joblog_error *error)
{
    int n = 0, rc = 0;
    struct joblog_error refusal = {.code = JOBLOG_OK};
    struct joblog_dispatcher *dispatcher = joblog_dispatcher_new(client, 0, error);
    if (!dispatcher)
        return -1;
    for (int from = 0; from < recipients && rc == 0; from += A_JOB)
        rc = add(dispatcher, campaign, n++, from, recipients - from < A_JOB ? recipients - from : A_JOB, &refusal,
                 error);
    joblog_dispatcher_free(dispatcher);
    if (rc == 0 && refusal.code != JOBLOG_OK) {
        *error = refusal;
        rc = -(int)refusal.code;
    }
    if (rc == 0)
        printf("%d jobs for %d recipients\n", n, recipients);
    return rc;
}

static void count(struct tally *tally, const struct joblog_job *job)
{
    size_t i = 0;
    while (i < tally->n && tally->ids[i] != job->id)
        i++;
    if (i == JOBS_MAX)
        return;
    tally->ids[i] = job->id;
    tally->n += i == tally->n;
    tally->done[i] = job->done;
    if (joblog_status_is_final(job->status))
        tally->ended[job->status]++;
}

/* Until all jobs of the campaign are final; each is then told of once as such. */
static int watch_all(struct joblog_client *client, const char *campaign, struct tally *tally,
                     struct joblog_error *error)
{
    struct joblog_filter filter = {.batch = campaign};
    struct joblog_watch *watch = joblog_watch_jobs(client, &filter, true, error);
    const struct joblog_job *job;
    int rc = watch ? 1 : -1;
    while (rc == 1 && (rc = joblog_watch_next(watch, &job, error)) == 1) {
        count(tally, job);
        if (job->status == JOBLOG_FAILED)
            printf("job %" PRId64 " failed: %s\n", job->id, job->error_message);
    }
    joblog_watch_free(watch);
    return rc;
}

static int64_t notified(const struct tally *tally)
{
    int64_t sum = 0;
    for (size_t i = 0; i < tally->n; i++)
        sum += tally->done[i];
    return sum;
}

int main(int argc, char **argv)
{
    int recipients = argc == 3 ? atoi(argv[2]) : 0;
    if (recipients < 1 || recipients > A_JOB * JOBS_MAX) {
        fprintf(stderr, "usage: example-notify CAMPAIGN RECIPIENTS (1 to %d)\n", A_JOB * JOBS_MAX);
        return 2;
    }
    static struct tally tally;
    struct joblog_error error;
    struct joblog_client *client = joblog_connect(NULL, NULL, &error);
    if (!client || dispatch_all(client, argv[1], recipients, &error) < 0 ||
        watch_all(client, argv[1], &tally, &error) < 0) {
        fprintf(stderr, "%s: %s\n", joblog_code_name(error.code), error.message);
        joblog_close(client);
        return 1;
    }
    printf("%" PRId64 " of %d notified: %zu jobs completed, %zu failed, %zu cancelled\n", notified(&tally), recipients,
           tally.ended[JOBLOG_COMPLETED], tally.ended[JOBLOG_FAILED], tally.ended[JOBLOG_STATUS_CANCELLED]);
    joblog_close(client);
    return notified(&tally) == recipients ? 0 : 1;
}
