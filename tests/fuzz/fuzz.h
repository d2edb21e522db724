/* What the fuzz targets share: the entry that libFuzzer calls, a check that stays in every build, and a way to take an
 * input apart. One thread. See docs/fuzzing.md. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/span.h"

/* Once before the first input; one a target. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
/* One input. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process, with the place, when the property does not hold. */
#define HOLDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            dprintf(2, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* What is left of an input. */
struct input {
    const uint8_t *at, *end;
};

/* libFuzzer gives NULL for no bytes, to which nothing may be added. */
static inline struct input input_of(const uint8_t *data, size_t size)
{
    static const uint8_t none[1];
    const uint8_t *at = size ? data : none;
    return (struct input){at, at + size};
}

static inline uint8_t input_byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

/* A length byte and so many bytes, or fewer at the end. */
static inline struct span input_span(struct input *in)
{
    size_t len = input_byte(in), left = (size_t)(in->end - in->at);
    struct span s = span_of((const char *)in->at, len < left ? len : left);
    in->at += s.len;
    return s;
}

/* Gives a NUL-terminated copy on the heap (free), just as long as it needs to be, so that a sanitizer sees a read past
 * its end. */
static inline char *input_text(struct span s)
{
    char *text = malloc(s.len + 1);
    HOLDS(text);
    if (s.len)
        memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    return text;
}

#endif
