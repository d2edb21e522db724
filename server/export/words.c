/* See words.h. A further language is a row. */
#include "export/words.h"

#include <ctype.h>
#include <strings.h>

#include "export/request.h"

static const struct {
    const char *language;
    struct export_words words;
} table[] = {
    {"en", {"counting rows", "writing file", "finishing", "export of %s has started; watch export %lld"}},
    {"es",
     {"Contando filas…", "Generando archivo…", "Terminando…",
      "La exportación de %s ha comenzado; siga la exportación %lld"}},
};

const struct export_words *export_words(struct span language)
{
    size_t len = 0;
    while (len < language.len && language.data[len] != '-')
        len++;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (len == 2 && strncasecmp(table[i].language, language.data, 2) == 0)
            return &table[i].words;
    return &table[0].words;
}

bool export_language_is_well_formed(struct span language)
{
    if (language.len > EXPORT_LANGUAGE_MAX)
        return false;
    for (size_t i = 0; i < language.len; i++)
        if (!isalnum((unsigned char)language.data[i]) && language.data[i] != '-')
            return false;
    return true;
}
