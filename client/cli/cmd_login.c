/* joblog login, logout and whoami. A token comes from a file, from standard input or from the terminal without echo,
 * never from the command line, which every user of the machine can read. Main thread. */
#include "commands.h"
#include "grants.h"
#include "heap.h"
#include "json.h"
#include "units.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { TOKEN_MAX = 8192 /* the longest that a server takes */ };

struct login_options {
    bool no_token;
};

static const struct option_row login_rows[] = {
    {"no-token", 0, OPTION_FLAG, NULL, offsetof(struct login_options, no_token),
     "ask for none: the certificate of --cert says who calls", 0, 0},
    OPTION_END,
};

static struct termios before;

static void on_signal(int signo)
{
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    (void)signo;
    _exit(EXIT_INTERRUPTED);
}

/* Whatever ends the program meanwhile, the terminal echoes again. */
static void echo_off(struct sigaction old[3])
{
    struct termios quiet = before;
    struct sigaction act = {.sa_handler = on_signal};
    sigaction(SIGINT, &act, &old[0]);
    sigaction(SIGTERM, &act, &old[1]);
    sigaction(SIGHUP, &act, &old[2]);
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    quiet.c_lflag |= ECHONL;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
}

static void echo_on(const struct sigaction old[3])
{
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    sigaction(SIGINT, &old[0], NULL);
    sigaction(SIGTERM, &old[1], NULL);
    sigaction(SIGHUP, &old[2], NULL);
}

/* One line of standard input without blanks around it. Empty: there was none. */
static void read_line(char token[TOKEN_MAX + 2])
{
    token[0] = '\0';
    if (!fgets(token, TOKEN_MAX + 2, stdin))
        token[0] = '\0';
    size_t len = strlen(token), start = strspn(token, " \t");
    while (len > start && strchr(" \t\r\n", token[len - 1]))
        len--;
    memmove(token, token + start, len - start);
    token[len - start] = '\0';
}

static void ask_token(char token[TOKEN_MAX + 2])
{
    struct sigaction old[3];
    bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    if (terminal) {
        fputs("Token: ", stderr);
        echo_off(old);
    }
    read_line(token);
    if (terminal)
        echo_on(old);
}

static int login_with(struct cli *cli, struct joblog_options *settings)
{
    struct joblog_error error = {0};
    struct joblog_caller *caller = NULL;
    int code = EXIT_OK;
    cli->client = joblog_connect(cli->server, settings, &error);
    if (!cli->client)
        return cli_error(&error);
    if (joblog_who_am_i(cli->client, &caller, &error) < 0 || joblog_login(cli->client, &error) < 0) {
        code = cli_error(&error);
    } else if (cli->json) {
        json_print_line(json_pack("{s:s, s:s}", "server", joblog_address(cli->client), "actor", caller->actor));
    } else {
        printf("Logged in to %s as %s.\n", joblog_address(cli->client), caller->actor);
    }
    joblog_caller_free(caller);
    return code;
}

static int run_login(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct login_options *options = values;
    char token[TOKEN_MAX + 2] = "";
    struct joblog_options settings;
    cli_connection(cli, &settings);
    if (operands->n > 0)
        cli->server = operands->values[0];
    if (options->no_token && !cli->cert_file)
        return cli_usage(cli, "--no-token needs --cert");
    if (options->no_token) {
        settings.no_token = true;
    } else if (!settings.token_file) {
        ask_token(token);
        if (!*token)
            return cli_usage(cli, "no token: type one, or give it on standard input or by --token-file");
        settings.token = token;
    }
    int code = login_with(cli, &settings);
    explicit_bzero(token, sizeof token);
    return code;
}

const struct command command_login = {
    .name = "login",
    .arguments = "[ADDR]",
    .summary = "keep a server and a token for later calls",
    .text =
        "Reads the token from the terminal, without echo, from standard input or from --token-file, asks the server\n"
        "who that is, and keeps both in $XDG_CONFIG_HOME/joblog/logins.json, which only you can read. From then on\n"
        "the server is the one that is called when no other is named.",
    .examples = "joblog login jobs.example.org:7420 --tls\n"
                "joblog login 10.0.0.7:7420 --ca ca.pem --token-file token\n"
                "pass show joblog | joblog login jobs.example.org:7420 --tls\n"
                "joblog login jobs.example.org:7420 --ca ca.pem --cert me.pem --key me.key --no-token",
    .options = login_rows,
    .options_size = sizeof(struct login_options),
    .operands_max = 1,
    .offline = true, /* it connects by itself, with the token that it asks for */
    .run = run_login,
};

static int run_logout(struct cli *cli, const void *options, const struct operands *operands)
{
    struct joblog_error error = {0};
    char address[256];
    const char *which = operands->n > 0 ? operands->values[0] : cli->server;
    (void)options;
    int found = joblog_logout(which, address, &error);
    if (found < 0)
        return cli_error(&error);
    if (!found) {
        fprintf(stderr, "joblog: there is no login%s%s\n", which ? " for " : "", which ? which : "");
        return EXIT_NOT_FOUND;
    }
    if (cli->json)
        json_print_line(json_pack("{s:s}", "server", address));
    else
        printf("Logged out of %s. Its token stays valid: joblog token revoke ends it.\n", address);
    return EXIT_OK;
}

const struct command command_logout = {
    .name = "logout",
    .arguments = "[ADDR]",
    .summary = "forget a login",
    .text = "Without an address the present login, the last one made.",
    .examples = "joblog logout\njoblog logout jobs.example.org:7420",
    .operands_max = 1,
    .offline = true,
    .run = run_logout,
};

static int run_whoami(struct cli *cli, const void *options, const struct operands *operands)
{
    struct joblog_error error = {0};
    struct joblog_caller *caller;
    (void)options;
    (void)operands;
    if (joblog_who_am_i(cli->client, &caller, &error) < 0)
        return cli_error(&error);
    if (cli->json) {
        json_t *json = json_of_grant(&caller->grant);
        char time[UNITS_TEXT];
        json_object_set_new(json, "actor", json_string(caller->actor));
        json_object_set_new(json, "server", json_string(joblog_address(cli->client)));
        if (caller->expire_us)
            json_object_set_new(json, "expire_time", json_string(units_rfc3339(time, caller->expire_us)));
        json_print_line(json);
    } else {
        char *grant = grant_text(&caller->grant), time[UNITS_TEXT];
        printf("%s at %s\n%s\n", caller->actor, joblog_address(cli->client), grant);
        if (caller->expire_us)
            printf("until %s\n", units_local(time, caller->expire_us));
        free(grant);
    }
    joblog_caller_free(caller);
    return EXIT_OK;
}

const struct command command_whoami = {
    .name = "whoami",
    .arguments = "",
    .summary = "who the server takes you for, and what you may do",
    .examples = "joblog whoami\njoblog whoami --json | jq .roles",
    .run = run_whoami,
};
