/* Command-line options from tables, over getopt_long. One thread (getopt has its state in globals), before the command
 * runs. Must not print: the caller knows which command it was. */
#include "options.h"

#include "heap.h"
#include "text.h"
#include "units.h"

#include <assert.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_MAX = 48,   /* more than any command has */
    ROW_CODE = 1000, /* getopt's codes for rows start here, clear of letters */
    HELP_COLUMN = 30
};

static void texts_add(struct option_texts *texts, const char *value)
{
    texts->values = heap_resize(texts->values, texts->n + 1, sizeof(*texts->values));
    texts->values[texts->n++] = heap_copy(value);
}

/* NULL, or what is wanted instead: a word that is missing is one that somebody meant to be there. */
static const char *texts_add_list(struct option_texts *texts, const char *value)
{
    char *copy = heap_copy(value), *rest = copy, *part;
    bool any = value[strspn(value, ",")] != '\0', all = true;
    while ((part = strsep(&rest, ","))) {
        all = all && *part;
        if (*part)
            texts_add(texts, part);
    }
    free(copy);
    return !any ? "at least one word" : all ? NULL : "words with a comma between two";
}

/* What is wanted instead of nothing, or NULL. To the server "" and 0 mean "all": an unset variable of a shell must not
 * turn "only these" into that. */
static const char *nothing_wanted(const struct option_row *row, const void *slot, const char *value)
{
    if (!row->min)
        return NULL;
    if (row->kind == OPTION_TEXT || row->kind == OPTION_TEXTS)
        return *value ? NULL : "a text that is not empty";
    if (row->kind == OPTION_DURATION)
        return *(const int64_t *)slot > 0 ? NULL : "a duration of more than 0";
    if (row->kind == OPTION_TIME)
        return *(const int64_t *)slot > 0 ? NULL : "a time after 1970-01-01T00:00:00Z";
    return NULL;
}

static int real_parse(const char *text, double *ret_value)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value > -1e15 && value < 1e15))
        return -1;
    *ret_value = value;
    return 0;
}

/* Stores value as the row says. Returns -1 with a message in error. */
static int option_store(const struct option_row *row, void *values, const char *value, char *error, size_t error_size)
{
    void *slot = (char *)values + row->offset;
    const char *wanted = NULL;
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)slot = true;
        break;
    case OPTION_TEXT:
        *(const char **)slot = value;
        break;
    case OPTION_TEXTS:
        texts_add(slot, value);
        break;
    case OPTION_LIST:
        wanted = texts_add_list(slot, value);
        break;
    case OPTION_NUMBER:
        if (units_parse_int(value, slot) < 0)
            wanted = "a whole number";
        else if (row->max && (*(int64_t *)slot < row->min || *(int64_t *)slot > row->max)) {
            snprintf(error, error_size, "--%s takes a number from %lld to %lld, not \"%s\"", row->name,
                     (long long)row->min, (long long)row->max, value);
            return -1;
        }
        break;
    case OPTION_REAL:
        wanted = real_parse(value, slot) < 0 ? "a number" : NULL;
        break;
    case OPTION_DURATION:
        wanted = units_parse_duration(value, slot) < 0 ? "a duration such as 500ms, 10m or 24h" : NULL;
        break;
    case OPTION_TIME:
        wanted = units_parse_time(value, slot) < 0 ? "a time such as 2026-01-31T10:00:00Z" : NULL;
        break;
    }
    if (!wanted)
        wanted = nothing_wanted(row, slot, value);
    if (wanted)
        snprintf(error, error_size, "--%s takes %s, not \"%s\"", row->name, wanted, value);
    return wanted ? -1 : 0;
}

/* getopt's view of the tables. */
struct tables {
    struct option longs[ROWS_MAX + 1];
    char letters[2 * ROWS_MAX + 3];
    const struct option_row *rows[ROWS_MAX];
    void *values[ROWS_MAX];
    int n;
};

static void tables_make(struct tables *tables, const struct option_set *sets, size_t n_sets)
{
    char *letter = tables->letters;
    *letter++ = ':'; /* tell a missing value from an unknown option */
    for (size_t s = 0; s < n_sets; s++)
        for (const struct option_row *row = sets[s].rows; row && row->name && tables->n < ROWS_MAX; row++) {
            int i = tables->n++;
            tables->rows[i] = row;
            tables->values[i] = sets[s].values;
            tables->longs[i] = (struct option){row->name, row->kind != OPTION_FLAG, NULL, ROW_CODE + i};
            if (row->letter) {
                /* A letter means one thing: a command's may not be one that every command has. */
                assert(!memchr(tables->letters, row->letter, (size_t)(letter - tables->letters)));
                *letter++ = row->letter;
                if (row->kind != OPTION_FLAG)
                    *letter++ = ':';
            }
        }
}

static int tables_find(const struct tables *tables, int code)
{
    if (code >= ROW_CODE)
        return code - ROW_CODE;
    for (int i = 0; i < tables->n; i++)
        if (tables->rows[i]->letter == code)
            return i;
    return -1;
}

int options_parse(int argc, char **argv, const struct option_set *sets, size_t n_sets, struct operands *ret_operands,
                  char *error, size_t error_size)
{
    struct tables tables = {.n = 0};
    int code;
    tables_make(&tables, sets, n_sets);
    opterr = 0;
    optind = 0; /* 0, not 1: glibc then forgets what an earlier parse left */
    while ((code = getopt_long(argc, argv, tables.letters, tables.longs, NULL)) != -1) {
        const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";
        if (code == ':') {
            snprintf(error, error_size, "%s needs a value", word);
            return -1;
        }
        int i = code == '?' ? -1 : tables_find(&tables, code);
        if (i < 0) {
            if (optopt >= ROW_CODE)
                snprintf(error, error_size, "%s takes no value", word);
            else if (optopt)
                snprintf(error, error_size, "unknown option -%c", optopt);
            else
                snprintf(error, error_size, "unknown option %s", word);
            return -1;
        }
        if (option_store(tables.rows[i], tables.values[i], optarg, error, error_size) < 0)
            return -1;
    }
    ret_operands->values = argv + optind;
    ret_operands->n = (size_t)(argc - optind);
    return 0;
}

void options_print(FILE *out, const struct option_row *rows)
{
    for (const struct option_row *row = rows; row && row->name; row++) {
        char left[80], letter[8] = "    ";
        if (row->letter)
            snprintf(letter, sizeof(letter), "-%c, ", row->letter);
        snprintf(left, sizeof(left), "  %s--%s%s%s", letter, row->name, row->value ? " " : "",
                 row->value ? row->value : "");
        fprintf(out, "%-*s", HELP_COLUMN, left);
        if (text_width(left) >= HELP_COLUMN)
            fprintf(out, "\n%*s", HELP_COLUMN, "");
        fprintf(out, " %s\n", row->help);
    }
}

void options_done(const struct option_set *set)
{
    for (const struct option_row *row = set->rows; row && row->name; row++) {
        if (row->kind != OPTION_TEXTS && row->kind != OPTION_LIST)
            continue;
        struct option_texts *texts = (struct option_texts *)((char *)set->values + row->offset);
        for (size_t i = 0; i < texts->n; i++)
            free((char *)texts->values[i]);
        free(texts->values);
        *texts = (struct option_texts){0};
    }
}
