/* What an export says to the person who asked for it, by language. Pure; constant; any thread. */
#ifndef EXPORT_WORDS_H
#define EXPORT_WORDS_H

#include <stdbool.h>

#include "base/span.h"

struct export_words {
    const char *counting, *writing, *finishing; /* steps */
    const char *started;                        /* format with %s (title) and %lld (id) */
};

/* language: as "es" or "es-MX"; English for one that is not known, or empty. */
const struct export_words *export_words(struct span language);
/* "" or letters, digits and "-", at most EXPORT_LANGUAGE_MAX bytes. */
bool export_language_is_well_formed(struct span language);

#endif
