/* One live bar for something that moves bytes: how far, how fast, how long still. Drawn on standard error, so that
 * standard output stays free for the bytes. On what is no terminal nothing is drawn but a last line. */
#ifndef JOBLOG_CLI_METER_H
#define JOBLOG_CLI_METER_H

#include "term.h"

#include <stdint.h>

struct meter;

/* Bytes so far. Called ten times a second on the meter's thread. */
typedef int64_t meter_source(void *user);

/* How far something is that is still being made while its bytes come: nobody knows its size yet. */
struct meter_making {
    bool waiting;      /* nobody makes it yet: text is all there is to say */
    char text[100];    /* what it waits for, or what is done while no byte has come */
    double percent;    /* of it is made */
    int64_t finish_us; /* when it will be; 0: not known */
};

/* Copies term and title; keeps user. total: bytes in all, 0: not known. It has the interrupt (interrupt.h) until
 * meter_finish: the program ends at once, with the line, and leaves no part of a download without a byte. Gives the
 * meter (meter_finish). */
struct meter *meter_new(const struct term *term, const char *title, int64_t total, meter_source *source, void *user);
/* What an interrupt says, on a terminal below the line, such as what becomes of the work. Copies text. Any thread. */
void meter_set_farewell(struct meter *meter, const char *text);
/* The bar is that of the making from now on. Copies making. Any thread. */
void meter_set_making(struct meter *meter, const struct meter_making *making);
/* It is made, or nothing is known of that any more: the bar is that of the bytes, of total (0: none). Any thread. */
void meter_set_total(struct meter *meter, int64_t total);
/* Draws a last time with done bytes, ends the line and frees the meter. quiet: draws nothing, wipes the bar. Takes
 * NULL. */
void meter_finish(struct meter *meter, int64_t done, bool quiet);

#endif
