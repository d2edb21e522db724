/* What reflection looks up: files by name, and by the full names and extensions that they declare. Built by one
 * thread; once finished it does not change, so any number of threads may look things up. */
#ifndef CRPC_SRC_REFLECTION_INDEX_H
#define CRPC_SRC_REFLECTION_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "crpc/method.h"

struct index_file {
    const struct crpc_file *file;
    ProtobufCBinaryData *all; /* after index_finish: the descriptors of the file and of all that it imports */
    size_t n_all;
};

struct index_symbol {
    const char *name; /* full, without a leading dot */
    size_t file;      /* in files */
    bool is_message;
};

struct index_extension {
    const char *extendee; /* full name of the message */
    int32_t number;
    size_t file;
};

struct reflection_index {
    struct arena arena; /* names and closures */
    struct index_file *files;
    struct index_symbol *symbols;       /* sorted by index_finish */
    struct index_extension *extensions; /* the same, by extendee and number */
    int32_t *numbers;                   /* the same numbers in the same order, for an answer to point to */
    size_t n_files, cap_files;
    size_t n_symbols, cap_symbols;
    size_t n_extensions, cap_extensions;
};

void index_init(struct reflection_index *index);
void index_done(struct reflection_index *index);
/* Adds a file and its imports; known ones are passed over. Keeps file. 0, or -code as crpc_reflection_add. */
int index_add(struct reflection_index *index, const struct crpc_file *file, struct err *ret_err);
/* Before the first look-up, after the last addition. 0, or -ERR_RESOURCE_EXHAUSTED. */
int index_finish(struct reflection_index *index, struct err *ret_err);

/* NULL when there is none. */
const struct index_file *index_find_file(const struct reflection_index *index, const char *name);
const struct index_file *index_find_symbol(const struct reflection_index *index, const char *full_name);
const struct index_file *index_find_extension(const struct reflection_index *index, const char *extendee,
                                              int32_t number);
/* Numbers of a message's extensions in ascending order; false when there is no such message. */
bool index_extensions_of(const struct reflection_index *index, const char *extendee, const int32_t **ret_numbers,
                         size_t *ret_n);

#endif
