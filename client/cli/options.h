/* Command-line options from tables: a command lists its options once, and parsing, checking and --help follow from that
 * list. One thread. Values land in the command's own struct, at the offset that the row names. */
#ifndef JOBLOG_CLI_OPTIONS_H
#define JOBLOG_CLI_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char * */
    OPTION_TEXTS,  /* struct option_texts; may be given again and again */
    OPTION_LIST,   /* struct option_texts; the same, and a value may hold several with commas between; none is empty */
    OPTION_NUMBER, /* int64_t */
    OPTION_REAL,   /* double */
    OPTION_DURATION, /* int64_t, microseconds */
    OPTION_TIME      /* int64_t, microseconds since 1970 */
};

struct option_texts {
    const char **values;
    size_t n;
};

struct option_row {
    const char *name; /* without the dashes; NULL ends a table */
    char letter;      /* 0 for none */
    enum option_kind kind;
    const char *value; /* what --help calls the value; NULL for a flag */
    size_t offset;     /* of the member in the command's struct */
    const char *help;
    int64_t min, max; /* of a NUMBER, when max is not 0; of what else has a value, a min of 1: neither "" nor 0 */
};

/* What is left when the options are gone. Borrowed from argv. */
struct operands {
    char **values;
    size_t n;
};

/* One table and the struct that its values go to. */
struct option_set {
    const struct option_row *rows;
    void *values;
};

/* Parses argv[1..argc), options and operands in any order, "--" ends the options. Keeps argv's texts, and copies of
 * parts of lists for the life of the program. Returns 0, or -1 with a message in error. */
int options_parse(int argc, char **argv, const struct option_set *sets, size_t n_sets, struct operands *ret_operands,
                  char *error, size_t error_size);
/* The rows as lines of help. */
void options_print(FILE *out, const struct option_row *rows);

/* Frees the arrays in values, not values itself. */
void options_done(const struct option_set *set);

#endif
