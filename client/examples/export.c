/* Exports a table into a file in one call: the rows that are wanted, as a compressed CSV in Spanish, with its progress.
 * One thread.
 *
 *     example-export TYPE FILE [FIELD=VALUE]     such as: example-export users users.csv.gz search=john */
#include <inttypes.h>
#include <joblog/joblog.h>
#include <stdio.h>
#include <string.h>

static void on_started(void *user, const struct joblog_export *export, const char *message)
{
    (void)user;
    printf("%s, %zu filters, %s\n", message, export->n_filters, export->file_name);
}

static int on_progress(void *user, const struct joblog_job *job)
{
    (void)user;
    printf("%-9s %5.1f %%  %" PRId64 " of %" PRId64 " %s  %s\n", joblog_status_name(job->status), job->percent,
           job->done, job->total, job->unit, job->step);
    return 0; /* anything else would cancel it */
}

int main(int argc, char **argv)
{
    char *equals = argc == 4 ? strchr(argv[3], '=') : NULL;
    if (argc < 3 || argc > 4 || (argc == 4 && !equals)) {
        fprintf(stderr, "usage: example-export TYPE FILE [FIELD=VALUE]\n");
        return 2;
    }
    const char *value = equals ? equals + 1 : "";
    struct joblog_export_filter filter = {.field = equals ? argv[3] : NULL, .values = &value, .n_values = 1};
    if (equals)
        *equals = '\0';
    struct joblog_export_spec spec = {.export_type = argv[1],
                                      .filters = &filter,
                                      .n_filters = equals ? 1 : 0,
                                      .compression = "gzip",
                                      .language = "es"};
    struct joblog_export_options options = {.on_started = on_started, .on_progress = on_progress};
    struct joblog_error error;
    struct joblog_client *client = joblog_connect(NULL, NULL, &error);
    struct joblog_export *export = NULL;
    int rc = client ? joblog_export_to_file(client, &spec, argv[2], &options, &export, &error) : -1;
    if (rc < 0)
        fprintf(stderr, "%s: %s\n", joblog_code_name(error.code), error.message);
    else
        printf("%s: %" PRId64 " rows, %" PRId64 " bytes, SHA-256 %s\n", argv[2], export->rows, export->size,
               export->sha256);
    joblog_export_free(export);
    joblog_close(client);
    return rc < 0 ? 1 : 0;
}
