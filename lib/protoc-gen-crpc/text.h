/* Text under construction: a growing, NUL-terminated string in a pool. */
#ifndef PROTOC_GEN_CRPC_TEXT_H
#define PROTOC_GEN_CRPC_TEXT_H

#include <stddef.h>

#include "pool.h"

struct text {
    struct pool *pool;
    char *data;
    size_t len;
    size_t cap;
};

struct text text_new(struct pool *pool);
void text_add_len(struct text *text, const char *s, size_t len);
void text_add(struct text *text, const char *s);
void text_char(struct text *text, char c);
void text_printf(struct text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A name and what stands for it; a list of them ends with a NULL name. */
struct text_var {
    const char *name;
    const char *value;
};
/* Adds a template in which @name@ stands for the value of that name. */
void text_fill(struct text *text, const char *template, const struct text_var *vars);

/* Adds s as a C string literal, quotes included. */
void text_literal(struct text *text, const char *s);
/* Length without white space at the end. */
size_t text_trimmed_len(const char *s);
/* Adds a comment of a .proto as a C comment with this indent, and nothing when it is NULL or blank. Whatever could end
 * the comment early, or make a compiler warn, is broken up by a space. */
void text_comment(struct text *text, const char *indent, const char *comment);

#endif
