/* The table of settings as data, shared by config.c and config_print.c only. */
#ifndef SERVER_CONFIG_INTERNAL_H
#define SERVER_CONFIG_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "config_table.h"

enum config_type { CONFIG_TEXT, CONFIG_LIST, CONFIG_INT, CONFIG_LEVEL, CONFIG_BOOL };
enum config_change { CONFIG_START, CONFIG_LIVE };

struct config_setting {
    const char *name;
    enum config_type type;
    size_t offset;     /* of the member in struct config */
    const char *value; /* default, as it would be written */
    int64_t min, max;  /* of a CONFIG_INT */
    enum config_change reload;
    const char *argument; /* what --help calls the value */
    const char *help;
};

#define CONFIG_ONE(...) +1
enum { CONFIG_COUNT = 0 CONFIG_SETTINGS(CONFIG_ONE) };
#undef CONFIG_ONE

extern const struct config_setting config_settings[CONFIG_COUNT];

struct config;
struct err;
/* Settings that depend on each other. 0, or INVALID_ARGUMENT and the setting's name as field. */
int config_check(const struct config *cfg, struct err *err);

/* "JOBLOG_LOG_LEVEL" for "log-level". */
void config_env_name(const char *name, char *out, size_t size);

#endif
