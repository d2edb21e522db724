/* The first program: dispatch a job, wait for its end, print what became of it. One thread. */
#include <inttypes.h>
#include <joblog/joblog.h>
#include <stdio.h>

int main(void)
{
    struct joblog_error error;
    struct joblog_client *client = joblog_connect(NULL, NULL, &error); /* $JOBLOG_SERVER, or 127.0.0.1:7420 */
    struct joblog_spec spec = {.job_name = "send_notification", .payload = "{\"recipients\": 20}"};
    struct joblog_job *job = NULL;
    int64_t id;
    if (!client || joblog_dispatch(client, &spec, &id, &error) < 0 || joblog_wait(client, id, 0, &job, &error) < 0) {
        fprintf(stderr, "%s: %s\n", joblog_code_name(error.code), error.message);
        return 1;
    }
    printf("job %" PRId64 " %s: %s\n", id, joblog_status_name(job->status), job->result);
    joblog_job_free(job);
    joblog_close(client);
    return 0;
}
