/* The commands help and version, and what --help prints. Main thread, no connection. */
#include "help.h"

#include "commands.h"
#include "heap.h"

#include <stdlib.h>
#include <string.h>

static int print_command_line(FILE *out, const struct command *command, int width)
{
    char name[64];
    int len = snprintf(name, sizeof(name), "%s %s", command->name, command->arguments);
    if (out)
        fprintf(out, "  %-*s %s\n", width, name, command->summary);
    return len;
}

/* Of the longest command with its arguments. */
static int widest_command(void)
{
    int width = 0;
    for (size_t i = 0; commands[i]; i++) {
        int len = print_command_line(NULL, commands[i], 0);
        width = len > width ? len : width;
    }
    return width;
}

void help_overview(FILE *out)
{
    fputs("joblog: dispatch jobs, watch them, run them, export tables\n\n"
          "Usage: joblog COMMAND [OPTION...] [ARGUMENT...]\n\nCommands:\n",
          out);
    for (size_t i = 0; commands[i]; i++)
        print_command_line(out, commands[i], widest_command());
    fputs("\nOptions of every command:\n", out);
    options_print(out, common_options);
    fputs("\nExit codes: 0 done; 1 a job that was waited for failed or was cancelled; 2 wrong usage; 3 not found;\n"
          "4 server out of reach; 5 refused or failed otherwise; 130 interrupted.\n\n"
          "joblog COMMAND --help has the options of a command and examples.\n",
          out);
}

static void print_indented(FILE *out, const char *lines)
{
    while (*lines) {
        size_t n = strcspn(lines, "\n");
        fprintf(out, "  %.*s\n", (int)n, lines);
        lines += n + (lines[n] == '\n');
    }
}

void help_command(FILE *out, const struct command *command)
{
    fprintf(out, "joblog %s: %s\n\nUsage: joblog %s [OPTION...]%s%s\n", command->name, command->summary, command->name,
            *command->arguments ? " " : "", command->arguments);
    if (command->text)
        fprintf(out, "\n%s\n", command->text);
    if (command->options && command->options->name) {
        fputs("\nOptions:\n", out);
        options_print(out, command->options);
    }
    fputs("\nOptions of every command:\n", out);
    options_print(out, common_options);
    fputs("\nExamples:\n", out);
    print_indented(out, command->examples);
}

bool help_group(FILE *out, const char *word)
{
    size_t len = strlen(word), n = 0;
    for (size_t i = 0; commands[i]; i++) {
        if (strncmp(commands[i]->name, word, len) != 0 || commands[i]->name[len] != ' ')
            continue;
        if (!n++)
            fprintf(out, "Usage: joblog %s COMMAND [OPTION...] [ARGUMENT...]\n\nCommands:\n", word);
        print_command_line(out, commands[i], widest_command());
    }
    return n > 0;
}

static int run_help(struct cli *cli, const void *options, const struct operands *operands)
{
    (void)options;
    if (operands->n == 0) {
        help_overview(stdout);
        return EXIT_OK;
    }
    char *name = operands->n == 1 ? heap_copy(operands->values[0])
                                  : heap_format("%s %s", operands->values[0], operands->values[1]);
    int code = EXIT_USAGE;
    for (size_t i = 0; commands[i] && code; i++)
        if (!strcmp(commands[i]->name, name)) {
            help_command(stdout, commands[i]);
            code = EXIT_OK;
        }
    if (code && help_group(stdout, name))
        code = EXIT_OK;
    if (code)
        cli_usage(cli, "there is no command \"%s\"", name);
    free(name);
    return code;
}

const struct command command_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "what there is, or the options of a command",
    .examples = "joblog help\njoblog help export start",
    .operands_max = 2,
    .offline = true,
    .run = run_help,
};

static int run_version(struct cli *cli, const void *options, const struct operands *operands)
{
    (void)options;
    (void)operands;
    if (cli->json)
        puts("{\"version\":\"" JOBLOG_VERSION "\"}");
    else
        puts("joblog " JOBLOG_VERSION);
    return EXIT_OK;
}

const struct command command_version = {
    .name = "version",
    .arguments = "",
    .summary = "the version of this program",
    .examples = "joblog version",
    .offline = true,
    .run = run_version,
};
