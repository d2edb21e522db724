/* Errors, exit codes and small parsing that commands share. Main thread. */
#include "cli.h"

#include "heap.h"
#include "text.h"
#include "units.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int cli_exit_code(const struct joblog_error *error)
{
    switch (error->code) {
    case JOBLOG_OK:
        return EXIT_OK;
    case JOBLOG_NOT_FOUND:
        return EXIT_NOT_FOUND;
    case JOBLOG_UNAVAILABLE:
    case JOBLOG_DEADLINE_EXCEEDED:
        return EXIT_UNREACHABLE;
    default:
        return EXIT_REFUSED;
    }
}

int cli_error(const struct joblog_error *error)
{
    fputs("joblog: ", stderr);
    text_print(stderr, error->message, 0);
    fprintf(stderr, " (%s", joblog_code_name((int)error->code));
    if (*error->field) {
        fputs(", field ", stderr);
        text_print(stderr, error->field, 0);
    }
    fputs(")\n", stderr);
    return cli_exit_code(error);
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
    va_list args;
    fputs("joblog: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args); // NOLINT(clang-analyzer-valist.Uninitialized): it is, one line above
    va_end(args);
    fprintf(stderr, "\nTry: joblog %s%s--help\n", cli->command ? cli->command->name : "", cli->command ? " " : "");
    return EXIT_USAGE;
}

int cli_trouble(const char *fmt, ...)
{
    va_list args;
    fputs("joblog: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args); // NOLINT(clang-analyzer-valist.Uninitialized): it is, one line above
    va_end(args);
    fputc('\n', stderr);
    return EXIT_REFUSED;
}

void cli_connection(const struct cli *cli, struct joblog_options *ret)
{
    /* A person wants to hear at once that nobody is there; who says --timeout wants it tried for that long. */
    *ret = (struct joblog_options){
        .actor = cli->actor,
        .timeout_ms = (cli->timeout_us + 999) / 1000,
        .no_retry = !cli->timeout_us,
        .token_file = cli->token_file,
        .tls = cli->tls,
        .ca_file = cli->ca_file,
        .cert_file = cli->cert_file,
        .key_file = cli->key_file,
    };
}

void cli_load_statuses(struct cli *cli)
{
    if (!cli->statuses.rows)
        joblog_list_statuses(cli->client, cli->language, &cli->statuses.rows, &cli->statuses.n_rows, NULL);
}

int cli_parse_id(const struct cli *cli, const char *text, int64_t *ret_id)
{
    if (units_parse_int(text, ret_id) == 0 && *ret_id > 0)
        return 0;
    return cli_usage(cli, "\"%s\" is no id: an id is a positive whole number", text);
}

int cli_parse_labels(const struct cli *cli, const struct option_texts *texts, struct joblog_label **ret_labels)
{
    struct joblog_label *labels = heap_new(texts->n, sizeof(*labels));
    for (size_t i = 0; i < texts->n; i++) {
        char *key = heap_copy(texts->values[i]), *equals = strchr(key, '=');
        labels[i].key = key;
        if (!equals || equals == key) {
            cli_labels_free(labels, texts->n);
            return cli_usage(cli, "--label takes KEY=VALUE, not \"%s\"", texts->values[i]);
        }
        *equals = '\0';
        labels[i].value = equals + 1; /* lives in the copy that key starts */
    }
    *ret_labels = labels;
    return 0;
}

void cli_labels_free(struct joblog_label *labels, size_t n)
{
    for (size_t i = 0; labels && i < n; i++)
        free((char *)labels[i].key);
    free(labels);
}

int cli_exit_of_job(enum joblog_status status)
{
    return status == JOBLOG_COMPLETED ? EXIT_OK : EXIT_JOB_FAILED;
}
