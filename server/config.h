/* What joblogd is told: the settings of config_table.h from flags, environment, file and defaults, in this order of
 * precedence. Main thread; afterwards constant and so free to be read by any. Must not act on a setting. */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "config_table.h"

struct config_list {
    char **items; /* NUL-terminated strings */
    size_t count;
};

enum config_action {
    CONFIG_RUN,
    CONFIG_HELP,       /* --help */
    CONFIG_VERSION,    /* --version */
    CONFIG_PRINT_DOCS, /* --print-config-docs */
};

#define CONFIG_TEXT_TYPE  char *
#define CONFIG_LIST_TYPE  struct config_list
#define CONFIG_INT_TYPE   int64_t
#define CONFIG_LEVEL_TYPE enum log_level
#define CONFIG_BOOL_TYPE  bool

/* Owns its strings. A TEXT that is not set is NULL. */
struct config {
    enum config_action action;
#define CONFIG_MEMBER(member, type, ...) CONFIG_##type##_TYPE member;
    CONFIG_SETTINGS(CONFIG_MEMBER)
#undef CONFIG_MEMBER
};

/* Fills cfg; argv and envp (NULL-terminated, "NAME=value") are borrowed. Reads the file that --config or JOBLOG_CONFIG
 * names. 0, then end with config_done; or -code with nothing to free: INVALID_ARGUMENT with the setting's name in
 * err->field and the source (flag, variable or FILE:LINE) in err->msg. A text for the operator.
 * When the action is not CONFIG_RUN, the rest is not checked and holds defaults. */
int config_load(struct config *cfg, int argc, char **argv, char **envp, struct err *err);

/* For SIGHUP: loads anew and takes over the settings marked LIVE; cfg is untouched on failure. The caller then makes
 * them effective. *ret_restart is the number of changed settings that need a restart. */
int config_reload(struct config *cfg, int argc, char **argv, char **envp, size_t *ret_restart, struct err *err);

/* Can an address of `listen` be reached from this machine only? */
bool config_address_is_local(const char *address);

void config_done(struct config *cfg);

void config_print_help(FILE *out);
/* docs/configuration.md. */
void config_print_docs(FILE *out);

#endif
