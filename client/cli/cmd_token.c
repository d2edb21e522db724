/* joblog token create, list and revoke: for administrators. Main thread. */
#include "commands.h"
#include "grants.h"
#include "heap.h"
#include "json.h"
#include "table.h"
#include "units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct create_options {
    struct option_texts roles, queues, job_names, owners;
    const char *owner, *output;
    bool own_only, may_delegate;
    int64_t ttl_us;
};

static const struct option_row create_rows[] = {
    {"role", 'r', OPTION_LIST, "ROLE,...", offsetof(struct create_options, roles),
     "admin, dispatcher, worker, viewer, exporter. Required", 0, 0},
    {"queue", 'q', OPTION_LIST, "PATTERN,...", offsetof(struct create_options, queues),
     "only jobs in these queues; * stands for anything", 0, 0},
    {"name", 'n', OPTION_LIST, "PATTERN,...", offsetof(struct create_options, job_names), "only jobs of these names", 0,
     0},
    {"owners", 0, OPTION_LIST, "PATTERN,...", offsetof(struct create_options, owners), "only jobs of these owners", 0,
     0},
    {"owner", 0, OPTION_TEXT, "NAME", offsetof(struct create_options, owner),
     "whose jobs and exports are its own (the token's name)", 0, 0},
    {"own-only", 0, OPTION_FLAG, NULL, offsetof(struct create_options, own_only), "it sees only jobs of its own", 0, 0},
    {"may-delegate", 0, OPTION_FLAG, NULL, offsetof(struct create_options, may_delegate),
     "it may call on behalf of its users, for gateways", 0, 0},
    {"ttl", 0, OPTION_DURATION, "TIME", offsetof(struct create_options, ttl_us), "valid for this long (for ever)", 0,
     0},
    {"output", 'o', OPTION_TEXT, "FILE", offsetof(struct create_options, output),
     "write the token to this new file, which only you can read", 0, 0},
    OPTION_END,
};

static json_t *json_of_token(const struct joblog_token *token, bool secret)
{
    char time[UNITS_TEXT];
    json_t *json = json_of_grant(&token->grant);
    const struct {
        const char *name;
        int64_t us;
    } times[] = {{"create_time", token->create_us},
                 {"expire_time", token->expire_us},
                 {"last_use_time", token->last_use_us},
                 {"revoke_time", token->revoke_us}};
    json_object_set_new(json, "id", json_string(token->id));
    json_object_set_new(json, "name", json_string(token->name));
    json_object_set_new(json, "creator", json_string(token->creator));
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        if (times[i].us)
            json_object_set_new(json, times[i].name, json_string(units_rfc3339(time, times[i].us)));
    }
    if (*token->revoker)
        json_object_set_new(json, "revoker", json_string(token->revoker));
    if (secret)
        json_object_set_new(json, "secret", json_string(token->secret));
    return json;
}

/* The file is made before the token is: one that cannot be written would lose it. */
static int open_output(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        cli_trouble("cannot make %s: %s", path, strerror(errno));
    return fd;
}

static int give_secret(struct cli *cli, const struct create_options *o, int fd, const struct joblog_token *token)
{
    if (fd >= 0) {
        bool good = dprintf(fd, "%s\n", token->secret) > 0 && fsync(fd) == 0;
        if (!good)
            return cli_trouble("cannot write %s: %s; revoke the token %s", o->output, strerror(errno), token->id);
    }
    if (cli->json)
        json_print_line(json_of_token(token, fd < 0));
    else if (fd < 0)
        printf("%s\n", token->secret);
    if (!cli->json)
        fprintf(stderr, "token %s (%s) made; %s\n", token->name, token->id,
                fd < 0 ? "its text is not kept anywhere else" : o->output);
    return EXIT_OK;
}

static int run_create(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct create_options *o = values;
    struct joblog_grant grant = {.queues = o->queues.values,
                                 .n_queues = o->queues.n,
                                 .job_names = o->job_names.values,
                                 .n_job_names = o->job_names.n,
                                 .owners = o->owners.values,
                                 .n_owners = o->owners.n,
                                 .owner = o->owner,
                                 .own_only = o->own_only,
                                 .may_delegate = o->may_delegate};
    struct joblog_error error = {0};
    struct joblog_token *token;
    for (size_t i = 0; i < o->roles.n; i++) {
        unsigned role = joblog_role_of(o->roles.values[i]);
        if (!role)
            return cli_usage(cli, "there is no role \"%s\"", o->roles.values[i]);
        grant.roles |= role;
    }
    if (!grant.roles)
        return cli_usage(cli, "--role is needed");
    int fd = o->output ? open_output(o->output) : -1;
    if (o->output && fd < 0)
        return EXIT_REFUSED;
    int code;
    if (joblog_create_token(cli->client, operands->values[0], &grant, (o->ttl_us + 999) / 1000, &token, &error) < 0) {
        code = cli_error(&error);
    } else {
        code = give_secret(cli, o, fd, token);
        joblog_token_free(token);
    }
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && code != EXIT_OK)
        unlink(o->output);
    return code;
}

const struct command command_token_create = {
    .name = "token create",
    .arguments = "NAME",
    .summary = "make a token, and print it",
    .text = "The token is printed this once; the server keeps only a hash of it. NAME stands in the records of jobs.",
    .examples = "joblog token create mailer --role worker --queue 'mail*' -o mailer.token\n"
                "joblog token create dashboard --role viewer --ttl 30d >dashboard.token\n"
                "joblog token create gateway --role dispatcher,viewer,exporter --may-delegate -o gateway.token",
    .options = create_rows,
    .options_size = sizeof(struct create_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run_create,
};

struct list_options {
    bool all;
};

static const struct option_row list_rows[] = {
    {"all", 'a', OPTION_FLAG, NULL, offsetof(struct list_options, all), "revoked ones too", 0, 0},
    OPTION_END,
};

static const struct table_column columns[] = {
    {"ID", false, false},      {"NAME", false, true},       {"MAY", false, true},     {"MADE", false, false},
    {"EXPIRES", false, false}, {"LAST USED", false, false}, {"REVOKED", false, false}};

static void add_row(struct table *table, const struct joblog_token *t, int64_t now_us)
{
    char text[UNITS_TEXT], *grant = grant_text(&t->grant);
    table_cell(table, t->id, NULL);
    table_cell(table, t->name, NULL);
    table_cell(table, grant, NULL);
    table_cell(table, units_relative(text, t->create_us, now_us), NULL);
    table_cell(table, t->expire_us ? units_relative(text, t->expire_us, now_us) : "never", NULL);
    table_cell(table, t->last_use_us ? units_relative(text, t->last_use_us, now_us) : "never", NULL);
    table_cell(table, t->revoke_us ? units_relative(text, t->revoke_us, now_us) : "", NULL);
    free(grant);
}

static int run_list(struct cli *cli, const void *values, const struct operands *operands)
{
    const struct list_options *o = values;
    struct joblog_error error = {0};
    struct joblog_tokens *page;
    struct table *table = table_new(columns, sizeof columns / sizeof *columns);
    char *next = NULL;
    int code = EXIT_OK;
    (void)operands;
    do {
        if (joblog_list_tokens(cli->client, o->all, next, &page, &error) < 0) {
            code = cli_error(&error);
            break;
        }
        for (size_t i = 0; i < page->n_tokens; i++) {
            if (cli->json)
                json_print_line(json_of_token(&page->tokens[i], false));
            else
                add_row(table, &page->tokens[i], units_now_us());
        }
        free(next);
        next = *page->next_page_token ? heap_copy(page->next_page_token) : NULL;
        joblog_tokens_free(page);
    } while (next);
    if (code == EXIT_OK && !cli->json)
        table_print(table, &cli->term);
    table_free(table);
    free(next);
    return code;
}

const struct command command_token_list = {
    .name = "token list",
    .arguments = "",
    .summary = "the tokens, and when they were used",
    .examples = "joblog token list\njoblog token list --all --json",
    .options = list_rows,
    .options_size = sizeof(struct list_options),
    .run = run_list,
};

static int run_revoke(struct cli *cli, const void *options, const struct operands *operands)
{
    struct joblog_error error = {0};
    int code = EXIT_OK;
    (void)options;
    for (size_t i = 0; i < operands->n; i++) {
        int one = joblog_revoke_token(cli->client, operands->values[i], &error) < 0 ? cli_error(&error) : EXIT_OK;
        if (!one && cli->json)
            json_print_line(json_pack("{s:s}", "id", operands->values[i]));
        else if (!one)
            printf("%s revoked\n", operands->values[i]);
        code = code ? code : one;
    }
    return code;
}

const struct command command_token_revoke = {
    .name = "token revoke",
    .arguments = "ID...",
    .summary = "end tokens for good",
    .text = "Calls with them are refused at once, on other replicas within seconds; their streams end within a minute.",
    .examples = "joblog token revoke 94a88202eb66d4a6",
    .operands_min = 1,
    .operands_max = 1000,
    .run = run_revoke,
};
