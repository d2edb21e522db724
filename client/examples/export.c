/* Exports a table into a file: starts the export, watches its progress, downloads the file. One thread.
 *
 *     example-export TYPE FILE        such as: example-export users users.csv */
#include <inttypes.h>
#include <joblog/joblog.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const struct joblog_error *error)
{
    fprintf(stderr, "%s: %s\n", joblog_code_name(error->code), error->message);
    return 1;
}

/* Prints how far it is until it is final. */
static int watch(struct joblog_client *client, int64_t id, enum joblog_status *ret_status, struct joblog_error *error)
{
    struct joblog_watch *watch = joblog_watch_export(client, id, 0, error);
    if (!watch)
        return -(int)error->code;
    const struct joblog_job *job;
    int rc;
    while ((rc = joblog_watch_next(watch, &job, error)) == 1) {
        printf("%-9s %5.1f %%  %" PRId64 " of %" PRId64 " %s\n", joblog_status_name(job->status), job->percent,
               job->done, job->total, job->unit);
        *ret_status = job->status;
    }
    joblog_watch_free(watch);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: example-export TYPE FILE\n");
        return 2;
    }
    struct joblog_error error;
    struct joblog_client *client = joblog_connect(NULL, NULL, &error);
    struct joblog_export_spec spec = {.export_type = argv[1]};
    struct joblog_export *export = NULL;
    char *message = NULL;
    if (!client || joblog_export_start(client, &spec, &export, &message, &error) < 0)
        return fail(&error);
    printf("%s\n", message);
    free(message);
    int64_t id = export->job.id;
    joblog_export_free(export);

    enum joblog_status status = JOBLOG_PENDING;
    if (watch(client, id, &status, &error) < 0 || joblog_export_save(client, id, argv[2], &export, &error) < 0)
        return fail(&error);
    printf("%s: %" PRId64 " rows, %" PRId64 " bytes, SHA-256 %s\n", argv[2], export->rows, export->size,
           export->sha256);
    joblog_export_free(export);
    joblog_close(client);
    return 0;
}
