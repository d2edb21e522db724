/* Reading the settings; see config.h. Main thread. Knows no setting by name except where two depend on each other. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "config_internal.h"

#define LIST_MAX 64 /* addresses; more is a mistake */

#define CONFIG_ROW(member, type, name, value, min, max, reload, argument, help)                                        \
    {name, CONFIG_##type, offsetof(struct config, member), value, min, max, CONFIG_##reload, argument, help},
const struct config_setting config_settings[CONFIG_COUNT] = {CONFIG_SETTINGS(CONFIG_ROW)};
#undef CONFIG_ROW

/* One source on the way through: which values it gave, for each setting, and how to name it in an error. */
struct source {
    const char *values[CONFIG_COUNT]; /* borrowed; NULL: not given */
    int lines[CONFIG_COUNT];
};

void config_env_name(const char *name, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "JOBLOG_%s", name);
    for (size_t i = 0; i < n && i < size; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static int find_setting(const char *name, size_t len)
{
    for (int i = 0; i < CONFIG_COUNT; i++) {
        if (strlen(config_settings[i].name) == len && memcmp(config_settings[i].name, name, len) == 0)
            return i;
    }
    return -1;
}

static bool parse_port(const char *s)
{
    size_t digits = strspn(s, "0123456789");
    return digits > 0 && digits <= 5 && s[digits] == '\0' && atoi(s) <= 65535;
}

/* HOST:PORT, [IPV6]:PORT or unix:PATH. */
static bool is_address(const char *s)
{
    if (strncmp(s, "unix:", 5) == 0)
        return s[5] != '\0';
    const char *colon = strrchr(s, ':');
    if (!colon || colon == s || !parse_port(colon + 1))
        return false;
    return *s == '[' ? colon[-1] == ']' : memchr(s, ':', (size_t)(colon - s)) == NULL;
}

static int set_list(struct config_list *list, const char *value, const char *where, const char *name, struct err *err)
{
    char *copy = mem_strdup(value), *rest = copy, *item;
    list->items = mem_zalloc(LIST_MAX * sizeof *list->items);
    if (!copy || !list->items) {
        mem_free(copy);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    }
    int rc = 0;
    while (rc == 0 && (item = strsep(&rest, ","))) {
        item += strspn(item, " \t");
        item[strcspn(item, " \t")] = '\0';
        if (!is_address(item))
            rc = err_field(err, name, "%s: \"%.60s\" is not HOST:PORT or unix:PATH", where, item);
        else if (list->count == LIST_MAX)
            rc = err_field(err, name, "%s: more than %d addresses", where, LIST_MAX);
        else if (!(list->items[list->count++] = mem_strdup(item)))
            rc = err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    }
    mem_free(copy);
    return rc;
}

static int set_int(int64_t *out, const char *value, const struct config_setting *s, const char *where, struct err *err)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (errno || end == value || *end || isspace((unsigned char)*value) || n < s->min || n > s->max)
        return err_field(err, s->name, "%s: \"%.60s\" is not a whole number from %lld to %lld", where, value,
                         (long long)s->min, (long long)s->max);
    *out = n;
    return 0;
}

/* where names the source for the error. */
static int set_value(struct config *cfg, const struct config_setting *s, const char *value, const char *where,
                     struct err *err)
{
    void *member = (char *)cfg + s->offset;
    switch (s->type) {
    case CONFIG_TEXT: {
        char *copy = *value ? mem_strdup(value) : NULL;
        if (*value && !copy)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
        *(char **)member = copy;
        return 0;
    }
    case CONFIG_LIST:
        return set_list(member, value, where, s->name, err);
    case CONFIG_INT:
        return set_int(member, value, s, where, err);
    case CONFIG_LEVEL:
        if (!log_level_parse(value, member))
            return err_field(err, s->name, "%s: \"%.60s\" is not debug, info, warning or error", where, value);
        return 0;
    case CONFIG_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return err_field(err, s->name, "%s: \"%.60s\" is neither true nor false", where, value);
        *(bool *)member = *value == 't';
        return 0;
    }
    return 0;
}

struct flags {
    struct source source;
    const char *file;
    enum config_action action;
};

/* Takes one argument, and its value from the next when it has no "=". Gives how many it took, or -code. */
static int read_flag(struct flags *f, int left, char **argv, struct err *err)
{
    const char *arg = argv[0], *name = arg + 2;
    if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
        f->action = CONFIG_HELP;
        return 1;
    }
    if (strcmp(arg, "--version") == 0) {
        f->action = CONFIG_VERSION;
        return 1;
    }
    if (strcmp(arg, "--print-config-docs") == 0) {
        f->action = CONFIG_PRINT_DOCS;
        return 1;
    }
    if (strncmp(arg, "--", 2) != 0)
        return err_field(err, "", "argument \"%.60s\": joblogd takes only flags; see --help", arg);
    size_t len = strcspn(name, "=");
    int i = find_setting(name, len);
    bool is_file = len == 6 && memcmp(name, "config", 6) == 0;
    if (i < 0 && !is_file)
        return err_field(err, "", "flag %.60s: no such setting; see --help", arg);
    if (i >= 0 && config_settings[i].type == CONFIG_BOOL && !name[len]) {
        f->source.values[i] = "true";
        return 1;
    }
    const char *value = name[len] ? name + len + 1 : left > 1 ? argv[1] : NULL;
    if (!value)
        return err_field(err, is_file ? "config" : config_settings[i].name, "flag %s: a value must follow", arg);
    *(is_file ? &f->file : &f->source.values[i]) = value;
    return name[len] ? 1 : 2;
}

static int read_flags(struct flags *f, int argc, char **argv, struct err *err)
{
    for (int at = 1; at < argc;) {
        int rc = read_flag(f, argc - at, argv + at, err);
        if (rc < 0)
            return rc;
        at += rc;
    }
    return 0;
}

static const char *find_env(char **envp, const char *name)
{
    char env[64];
    config_env_name(name, env, sizeof env);
    size_t len = strlen(env);
    for (; *envp; envp++) {
        if (strncmp(*envp, env, len) == 0 && (*envp)[len] == '=')
            return *envp + len + 1;
    }
    return NULL;
}

static char *trim(char *s)
{
    s += strspn(s, " \t\r");
    for (size_t n = strlen(s); n > 0 && strchr(" \t\r", s[n - 1]); n--)
        s[n - 1] = '\0';
    return s;
}

/* One line of the file, cut to pieces in place. */
static int read_line(struct source *source, char *line, const char *path, int number, struct err *err)
{
    line = trim(line);
    if (!*line || *line == '#')
        return 0;
    char *equals = strchr(line, '=');
    if (!equals)
        return err_field(err, "", "%.120s:%d: not \"key = value\"", path, number);
    *equals = '\0';
    char *key = trim(line);
    int i = find_setting(key, strlen(key));
    if (i < 0)
        return err_field(err, "", "%.120s:%d: no such setting as \"%.60s\"", path, number, key);
    if (source->values[i])
        return err_field(err, key, "%.120s:%d: \"%.60s\" stands on line %d too", path, number, key, source->lines[i]);
    source->values[i] = trim(equals + 1);
    source->lines[i] = number;
    return 0;
}

#define FILE_MAX_BYTES (1 << 20) /* a configuration of a megabyte is some other file */

/* Gives the text (mem_free) that source's values borrow. */
static int read_file(struct source *source, const char *path, char **ret_text, struct err *err)
{
    char *text = mem_alloc(FILE_MAX_BYTES + 1);
    if (!text)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, FILE_MAX_BYTES + 1, f) : 0;
    int rc = 0;
    if (!f || ferror(f))
        rc = err_field(err, "config", "configuration file %.120s: could not read: %s", path, strerror(errno));
    else if (n > FILE_MAX_BYTES || memchr(text, '\0', n))
        rc = err_field(err, "config", "configuration file %.120s: not a text file of at most 1 MiB", path);
    if (f)
        fclose(f);
    if (rc == 0) {
        text[n] = '\0';
        char *rest = text, *line;
        for (int number = 1; rc == 0 && (line = strsep(&rest, "\n")); number++)
            rc = read_line(source, line, path, number, err);
    }
    if (rc < 0)
        mem_free(text);
    else
        *ret_text = text;
    return rc;
}

/* Each setting from the first source that gives it. */
static int apply(struct config *cfg, const struct source *flags, char **envp, const struct source *file,
                 const char *path, struct err *err)
{
    for (int i = 0; i < CONFIG_COUNT; i++) {
        const struct config_setting *s = &config_settings[i];
        char where[200], env[64];
        const char *value;
        if (flags && (value = flags->values[i])) {
            snprintf(where, sizeof where, "flag --%s", s->name);
        } else if (envp && (value = find_env(envp, s->name))) {
            config_env_name(s->name, env, sizeof env);
            snprintf(where, sizeof where, "variable %s", env);
        } else if (file && (value = file->values[i])) {
            snprintf(where, sizeof where, "%.120s:%d", path, file->lines[i]);
        } else {
            value = s->value;
            snprintf(where, sizeof where, "default of %s", s->name);
        }
        int rc = set_value(cfg, s, value, where, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int config_load(struct config *cfg, int argc, char **argv, char **envp, struct err *err)
{
    struct flags flags = {.action = CONFIG_RUN};
    struct source file = {0};
    struct config loaded = {0};
    char *text = NULL;
    int rc = read_flags(&flags, argc, argv, err);
    if (rc < 0)
        return rc;
    loaded.action = flags.action;
    if (flags.action != CONFIG_RUN) {
        rc = apply(&loaded, NULL, NULL, NULL, NULL, err);
    } else {
        const char *path = flags.file ? flags.file : find_env(envp, "config");
        if (path && *path)
            rc = read_file(&file, path, &text, err);
        if (rc == 0)
            rc = apply(&loaded, &flags.source, envp, &file, path, err);
        if (rc == 0)
            rc = config_check(&loaded, err);
    }
    mem_free(text);
    if (rc < 0)
        config_done(&loaded);
    else
        *cfg = loaded;
    return rc;
}

static bool text_eq(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool value_eq(const struct config *a, const struct config *b, const struct config_setting *s)
{
    const void *x = (const char *)a + s->offset, *y = (const char *)b + s->offset;
    switch (s->type) {
    case CONFIG_TEXT:
        return text_eq(*(char *const *)x, *(char *const *)y);
    case CONFIG_LIST: {
        const struct config_list *l = x, *m = y;
        bool same = l->count == m->count;
        for (size_t i = 0; same && i < l->count; i++)
            same = text_eq(l->items[i], m->items[i]);
        return same;
    }
    case CONFIG_INT:
        return *(const int64_t *)x == *(const int64_t *)y;
    case CONFIG_LEVEL:
        return *(const enum log_level *)x == *(const enum log_level *)y;
    case CONFIG_BOOL:
        return *(const bool *)x == *(const bool *)y;
    }
    return false;
}

int config_reload(struct config *cfg, int argc, char **argv, char **envp, size_t *ret_restart, struct err *err)
{
    static const size_t sizes[] = {[CONFIG_TEXT] = sizeof(char *),
                                   [CONFIG_LIST] = sizeof(struct config_list),
                                   [CONFIG_INT] = sizeof(int64_t),
                                   [CONFIG_LEVEL] = sizeof(enum log_level),
                                   [CONFIG_BOOL] = sizeof(bool)};
    struct config fresh;
    int rc = config_load(&fresh, argc, argv, envp, err);
    if (rc < 0)
        return rc;
    size_t restart = 0;
    for (int i = 0; i < CONFIG_COUNT; i++) {
        const struct config_setting *s = &config_settings[i];
        if (s->reload == CONFIG_START) {
            restart += !value_eq(cfg, &fresh, s);
            continue;
        }
        /* Swapped, so that the old value is freed with fresh. */
        char held[sizeof(struct config_list)], *mine = (char *)cfg + s->offset, *other = (char *)&fresh + s->offset;
        memcpy(held, mine, sizes[s->type]);
        memcpy(mine, other, sizes[s->type]);
        memcpy(other, held, sizes[s->type]);
    }
    config_done(&fresh);
    *ret_restart = restart;
    return 0;
}

void config_done(struct config *cfg)
{
    for (int i = 0; i < CONFIG_COUNT; i++) {
        void *member = (char *)cfg + config_settings[i].offset;
        if (config_settings[i].type == CONFIG_TEXT)
            mem_free(*(char **)member);
        if (config_settings[i].type == CONFIG_LIST) {
            struct config_list *list = member;
            for (size_t n = 0; n < list->count; n++)
                mem_free(list->items[n]);
            mem_free(list->items);
        }
    }
    *cfg = (struct config){0};
}
