/* What the output is. term_detect before other threads; the rest on any. Must not write anything. */
#include "term.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The names that an operator may give in the status catalogue, and two of our own. */
static const struct {
    const char *name, *sequence;
} colors[] = {
    {"red", "\033[31m"},    {"green", "\033[32m"}, {"yellow", "\033[33m"}, {"blue", "\033[34m"},
    {"purple", "\033[35m"}, {"cyan", "\033[36m"},  {"gray", "\033[90m"},   {"grey", "\033[90m"},
    {"orange", "\033[33m"}, {"white", "\033[37m"}, {"bold", "\033[1m"},    {"dim", "\033[2m"},
};

struct term term_detect(FILE *out, bool no_color)
{
    struct term term = {.out = out};
    setlocale(LC_CTYPE, "");
    term.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    /* Texts are UTF-8 whatever the user's locale; this one is part of Debian's libc. */
    if (!term.utf8)
        setlocale(LC_CTYPE, "C.UTF-8");
    const char *kind = getenv("TERM"), *unwanted = getenv("NO_COLOR");
    term.terminal = isatty(fileno(out)) && kind && *kind && strcmp(kind, "dumb");
    term.color = term.terminal && !no_color && !(unwanted && *unwanted);
    term_resize(&term);
    return term;
}

void term_resize(struct term *term)
{
    struct winsize size;
    if (!term->terminal)
        return;
    bool known = ioctl(fileno(term->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    term->width = known ? size.ws_col : 80;
    term->height = known && size.ws_row > 0 ? size.ws_row : 24;
}

const char *term_color(const struct term *term, const char *name)
{
    if (!term->color || !name)
        return "";
    for (size_t i = 0; i < sizeof(colors) / sizeof(colors[0]); i++)
        if (!strcmp(colors[i].name, name))
            return colors[i].sequence;
    return "";
}

const char *term_reset(const struct term *term)
{
    return term->color ? "\033[0m" : "";
}
