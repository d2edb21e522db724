/* joblog, the command line of Joblog: finds the command, parses its options, connects, runs it. Main thread. Every
 * command is a row in commands[] and a file of its own. */
#include "cli.h"
#include "commands.h"
#include "heap.h"
#include "help.h"
#include "interrupt.h"
#include "text.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const struct command *const commands[] = {
    &command_dispatch,       &command_dispatch_many, &command_list,          &command_show,
    &command_watch,          &command_logs,          &command_cancel,        &command_retry,
    &command_queue_list,     &command_queue_pause,   &command_queue_resume,  &command_stats,
    &command_statuses,       &command_cleanup,       &command_workers_drain, &command_workers_pause,
    &command_workers_resume, &command_workers,       &command_worker,        &command_export_start,
    &command_export_list,    &command_export_show,   &command_export_watch,  &command_export_download,
    &command_export_cancel,  &command_export_delete, &command_export_types,  &command_login,
    &command_logout,         &command_whoami,        &command_token_create,  &command_token_list,
    &command_token_revoke,   &command_help,          &command_version,       NULL,
};

const struct option_row common_options[] = {
    {"server", 's', OPTION_TEXT, "ADDR", offsetof(struct cli, server),
     "HOST:PORT or unix:PATH (else $JOBLOG_SERVER, the last login, 127.0.0.1:7420)", 0, 0},
    {"token-file", 0, OPTION_TEXT, "FILE", offsetof(struct cli, token_file),
     "the token to call with (else $JOBLOG_TOKEN_FILE, that of the login)", 0, 0},
    {"tls", 0, OPTION_FLAG, NULL, offsetof(struct cli, tls), "TLS, with the system's CAs (so does $JOBLOG_TLS=1)", 0,
     0},
    {"ca", 0, OPTION_TEXT, "FILE", offsetof(struct cli, ca_file),
     "TLS, with servers signed by this CA ($JOBLOG_TLS_CA)", 0, 0},
    {"cert", 0, OPTION_TEXT, "FILE", offsetof(struct cli, cert_file), "a client certificate ($JOBLOG_TLS_CERT)", 0, 0},
    {"key", 0, OPTION_TEXT, "FILE", offsetof(struct cli, key_file), "its key ($JOBLOG_TLS_KEY)", 0, 0},
    {"json", 'j', OPTION_FLAG, NULL, offsetof(struct cli, json), "one JSON object, or one a line for lists and watches",
     0, 0},
    {"no-color", 0, OPTION_FLAG, NULL, offsetof(struct cli, no_color), "no colours (so does $NO_COLOR)", 0, 0},
    {"lang", 0, OPTION_TEXT, "LANG", offsetof(struct cli, language),
     "language of status labels and of steps of exports, such as es", 0, 0},
    {"actor", 0, OPTION_TEXT, "NAME", offsetof(struct cli, actor), "on whose behalf, which the token must allow", 0, 0},
    {"timeout", 0, OPTION_DURATION, "TIME", offsetof(struct cli, timeout_us),
     "keep trying for this long while the server is away", 0, 0},
    {"help", 'h', OPTION_FLAG, NULL, offsetof(struct cli, help), "this text", 0, 0},
    OPTION_END,
};

/* The command that words (n of them) begin with; *ret_used: how many words its name has. */
static const struct command *find_command(char **words, size_t n, size_t *ret_used)
{
    char two[64];
    if (n == 0)
        return NULL;
    snprintf(two, sizeof(two), "%.30s %.30s", words[0], n > 1 ? words[1] : "");
    for (size_t i = 0; commands[i]; i++) {
        bool long_name = !strcmp(commands[i]->name, two);
        if (long_name || !strcmp(commands[i]->name, words[0])) {
            *ret_used = long_name ? 2 : 1;
            return commands[i];
        }
    }
    return NULL;
}

/* Words before the command are common options only; these must be skipped with their values to find it. */
static int command_start(int argc, char **argv)
{
    int at = 1;
    while (at < argc && argv[at][0] == '-' && argv[at][1]) {
        const char *word = argv[at];
        size_t len = strlen(word);
        bool takes_value = false;
        for (const struct option_row *row = common_options; row->name; row++)
            if (row->kind != OPTION_FLAG &&
                ((word[1] == '-' && !strcmp(word + 2, row->name)) || (len == 2 && word[1] == row->letter)))
                takes_value = true;
        at += takes_value ? 2 : 1;
    }
    return at < argc ? at : argc;
}

static int run_command(struct cli *cli, void *options, const struct operands *operands)
{
    const struct command *command = cli->command;
    struct joblog_error error = {0};
    if (cli->help) {
        help_command(stdout, command);
        return EXIT_OK;
    }
    if (operands->n < command->operands_min)
        return cli_usage(cli, "%s needs %s", command->name, command->arguments);
    if (operands->n > command->operands_max)
        return cli_usage(cli, "%s: \"%s\" is one argument too many", command->name,
                         operands->values[command->operands_max]);
    if (!command->offline) {
        struct joblog_options settings;
        cli_connection(cli, &settings);
        interrupt_start();
        cli->client = joblog_connect(cli->server, &settings, &error);
        if (!cli->client)
            return cli_error(&error);
    }
    int code = command->run(cli, options, operands);
    joblog_statuses_free(cli->statuses.rows);
    joblog_close(cli->client);
    return code;
}

int main(int argc, char **argv)
{
    /* Before any thread. A download frees half a megabyte at a time, which malloc would give back to the kernel, to be
     * faulted in again: that took longer than all the rest. */
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
    struct cli cli = {0};
    struct operands operands;
    char problem[512];
    size_t used = 0;
    int start = command_start(argc, argv);
    cli.command = find_command(argv + start, (size_t)(argc - start), &used);
    void *options = heap_new(1, cli.command ? cli.command->options_size : 1);
    struct option_set sets[] = {{common_options, &cli}, {cli.command ? cli.command->options : NULL, options}};
    int parsed = options_parse(argc, argv, sets, 2, &operands, problem, sizeof(problem));
    cli.term = term_detect(stdout, cli.no_color);
    cli.error_term = term_detect(stderr, cli.no_color);
    int code;
    if (parsed < 0) {
        code = cli_usage(&cli, "%s", problem);
    } else if (cli.command) {
        operands.values += used;
        operands.n -= used;
        code = run_command(&cli, options, &operands);
    } else if (cli.help && operands.n == 0) {
        help_overview(stdout);
        code = EXIT_OK;
    } else if (operands.n == 0) {
        help_overview(stderr);
        code = EXIT_USAGE;
    } else if (help_group(cli.help ? stdout : stderr, operands.values[0])) {
        code = cli.help ? EXIT_OK : EXIT_USAGE;
    } else {
        code = cli_usage(&cli, "there is no command \"%s\"", operands.values[0]);
    }
    if (cli.command)
        options_done(&sets[1]);
    free(options);
    /* A full disk or a closed pipe must not pass for success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK)
        code = cli_trouble("cannot write to standard output");
    return code;
}
