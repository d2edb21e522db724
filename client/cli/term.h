/* What the output is: a terminal or not, its size, whether it takes colours and UTF-8. */
#ifndef JOBLOG_CLI_TERM_H
#define JOBLOG_CLI_TERM_H

#include <stdbool.h>
#include <stdio.h>

struct term {
    FILE *out;
    bool terminal; /* cursor movement makes sense */
    bool color;
    bool utf8;         /* the user's locale says UTF-8; otherwise bars are drawn in ASCII */
    int width, height; /* 0 when it is no terminal: nothing is cut then */
};

/* Looks at out, $NO_COLOR, $TERM and the locale. Once, before other threads: it sets LC_CTYPE. */
struct term term_detect(FILE *out, bool no_color);
/* Asks for the size again. Any thread. */
void term_resize(struct term *term);

/* The escape sequence for a colour of the status catalogue ("green"), "bold" or "dim"; "" when the output takes no
 * colours or the name is none. Static. */
const char *term_color(const struct term *term, const char *name);
/* The sequence that ends a colour, or "". Static. */
const char *term_reset(const struct term *term);

#endif
