/* The settings for people: --help and docs/configuration.md, both from the table. Main thread. */
#include <inttypes.h>
#include <string.h>

#include "config.h"
#include "config_internal.h"

void config_print_help(FILE *out)
{
    fputs("usage: joblogd (--embedded DIR | --database URI) [--NAME VALUE]...\n\n"
          "The job service. Prints one line that starts with \"ready\" when it accepts calls; SIGTERM and SIGINT end\n"
          "it in an orderly way, SIGHUP reads the settings anew.\n\n"
          "A setting is taken from the first of: flag --NAME VALUE, environment variable JOBLOG_NAME, line\n"
          "\"NAME = VALUE\" of the configuration file, default.\n\n",
          out);
    for (int i = 0; i < CONFIG_COUNT; i++) {
        const struct config_setting *s = &config_settings[i];
        fprintf(out, "  --%s %s\n        %s", s->name, s->argument, s->help);
        if (s->type == CONFIG_INT)
            fprintf(out, " From %" PRId64 " to %" PRId64 ".", s->min, s->max);
        if (*s->value)
            fprintf(out, " [%s]", s->value);
        fputc('\n', out);
    }
    fputs("\n"
          "  --config FILE\n        Configuration file (variable JOBLOG_CONFIG).\n"
          "  --help, --version, --print-config-docs\n        Print, and exit.\n",
          out);
}

void config_print_docs(FILE *out)
{
    fputs("# Configuration of joblogd\n\n"
          "<!-- Made by `joblogd --print-config-docs` from server/config_table.h; a test holds it current. -->\n\n"
          "A setting is taken from the first of these that gives it:\n\n"
          "1. the flag `--NAME VALUE` or `--NAME=VALUE`;\n"
          "2. the environment variable `JOBLOG_NAME`, in upper case with underscores (other variables that start with\n"
          "   `JOBLOG_` are ignored);\n"
          "3. the file that `--config FILE` or `JOBLOG_CONFIG` names: lines `NAME = VALUE`; lines that start with `#`\n"
          "   are comments; an unknown name or the same name twice is an error;\n"
          "4. the default.\n\n"
          "A value that does not fit ends joblogd with exit code 2 and a message that names the flag, the variable or\n"
          "the line. Exactly one of `embedded` and `database` must be set. On `SIGHUP` joblogd reads everything anew\n"
          "and takes over the settings marked *live*; the others need a restart.\n\n"
          "| setting | variable | default | range | change | |\n"
          "|---|---|---|---|---|---|\n",
          out);
    for (int i = 0; i < CONFIG_COUNT; i++) {
        const struct config_setting *s = &config_settings[i];
        char env[64];
        config_env_name(s->name, env, sizeof env);
        fprintf(out, "| `%s` | `%s` | ", s->name, env);
        if (*s->value)
            fprintf(out, "`%s` | ", s->value);
        else
            fputs("– | ", out);
        if (s->type == CONFIG_INT)
            fprintf(out, "%" PRId64 " to %" PRId64 " | ", s->min, s->max);
        else
            fprintf(out, "%s | ", s->argument);
        fprintf(out, "%s | %s |\n", s->reload == CONFIG_LIVE ? "live" : "restart", s->help);
    }
    fputs("\nExample of a file:\n\n"
          "```ini\n"
          "# /etc/joblog/joblogd.conf\n"
          "listen = 0.0.0.0:7420, unix:/run/joblog/joblogd.sock\n"
          "database = postgresql://joblog@db.internal/joblog\n"
          "log-level = warning\n"
          "```\n",
          out);
}
