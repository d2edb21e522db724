/* What every command of the program joblog works with: the settings that all share, the connection, the way results and
 * errors are given. The main thread runs the command; interrupt.c has a thread for signals. */
#ifndef JOBLOG_CLI_CLI_H
#define JOBLOG_CLI_CLI_H

#include "options.h"
#include "statuses.h"
#include "term.h"

#include <joblog/joblog.h>

/* Exit codes; docs/cli.md has them for the user. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_JOB_FAILED = 1, /* a job that was waited for failed or was cancelled */
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_UNREACHABLE = 4,
    EXIT_REFUSED = 5, /* any other error of the server, of a file, of the network */
    EXIT_INTERRUPTED = 130
};

struct cli {
    /* settings, from the options that every command takes */
    const char *server, *language, *actor;
    const char *token_file, *ca_file, *cert_file, *key_file;
    bool tls, json, no_color, help;
    int64_t timeout_us;
    /* made by main */
    struct term term;              /* standard output */
    struct term error_term;        /* standard error */
    const struct command *command; /* that runs */
    struct joblog_client *client;  /* NULL for a command without a connection */
    struct statuses statuses;      /* cli_load_statuses */
};

struct command {
    const char *name;      /* "export start" */
    const char *arguments; /* "ID..." for the line of usage; "" for none */
    const char *summary;   /* one line, for the list of commands */
    const char *text;      /* more, for --help; NULL for none */
    const char *examples;  /* lines, without indentation */
    const struct option_row *options;
    size_t options_size; /* of the struct that the rows' offsets are in */
    size_t operands_min, operands_max;
    bool offline; /* works without a server */
    /* options: the struct, zeroed and filled. Returns an exit code. */
    int (*run)(struct cli *cli, const void *options, const struct operands *operands);
};

/* Ends with a row whose name is NULL. */
extern const struct command *const commands[];
/* The options that every command takes; their offsets are in struct cli. */
extern const struct option_row common_options[];

/* The settings of a connection, from these. */
void cli_connection(const struct cli *cli, struct joblog_options *ret_settings);

/* "joblog: MESSAGE (CODE, field FIELD)" on standard error. Returns the exit code for the error. */
int cli_error(const struct joblog_error *error);
/* The exit code alone. */
int cli_exit_code(const struct joblog_error *error);
/* "joblog: text" and a pointer to --help on standard error. Returns EXIT_USAGE. */
int cli_usage(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "joblog: text" on standard error. Returns EXIT_REFUSED. */
int cli_trouble(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Fills cli->statuses from the server, once. Without it names and no colours are used; a failure is not reported. */
void cli_load_statuses(struct cli *cli);
/* The id that text holds. 0, or EXIT_USAGE with a message. */
int cli_parse_id(const struct cli *cli, const char *text, int64_t *ret_id);
/* "key=value" texts. Gives an array of texts->n labels (free with cli_labels_free). 0, or EXIT_USAGE with a message. */
int cli_parse_labels(const struct cli *cli, const struct option_texts *texts, struct joblog_label **ret_labels);
void cli_labels_free(struct joblog_label *labels, size_t n); /* takes NULL */
/* The exit code for a job that was waited for. */
int cli_exit_of_job(enum joblog_status status);

#define OPTION_END                                                                                                     \
    {                                                                                                                  \
        0                                                                                                              \
    }

#endif
