/* A program that does its own work and wants it logged: progress, a result, or the error with a stack trace. The
 * callback runs on the main thread. `example-run-logged fail` shows what an error looks like. */
#include <inttypes.h>
#include <joblog/joblog.h>
#include <stdio.h>
#include <string.h>

joblog_handler rebuild_index; /* not static, so that a stack trace names it */

int rebuild_index(struct joblog_context *context, void *user)
{
    const char *mode = user;
    enum { SEGMENTS = 40 };
    joblog_job_set_step(context, "merging segments");
    for (int i = 1; i <= SEGMENTS; i++) {
        /* The work of a segment; here a pause that ends early when somebody cancels the job. */
        if (joblog_job_wait_cancelled(context, 25))
            return -1;
        joblog_job_set_progress(context, i, SEGMENTS, "segments");
        if (i == SEGMENTS / 2 && strcmp(mode, "fail") == 0)
            return joblog_job_fail(context, "DiskFull", "no room for segment %d of %d", i, SEGMENTS);
    }
    joblog_job_merge_payload(context, "{\"index\": \"articles-7\"}", NULL);
    return joblog_job_set_result(context, "{\"segments\": 40}", NULL);
}

int main(int argc, char **argv)
{
    struct joblog_error error;
    struct joblog_client *client = joblog_connect(NULL, NULL, &error);
    struct joblog_spec spec = {.job_name = "rebuild_index", .source_type = "Index", .source_id = "articles"};
    struct joblog_job *job = NULL;
    int rc = client ? joblog_run_logged(client, &spec, rebuild_index, argc > 1 ? argv[1] : "", &job, &error) : -1;
    if (!job) {
        fprintf(stderr, "%s: %s\n", joblog_code_name(error.code), error.message);
        joblog_close(client);
        return 1;
    }
    printf("job %" PRId64 " %s after %" PRId64 " ms\n", job->id, joblog_status_name(job->status),
           job->execution_us / 1000);
    if (job->status == JOBLOG_FAILED)
        printf("%s: %s\n%s", job->error_type, job->error_message, job->stack_trace);
    joblog_job_free(job);
    joblog_close(client);
    return rc == 0 ? 0 : 2;
}
