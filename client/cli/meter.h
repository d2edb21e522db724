/* One live bar for something that moves bytes: how far, how fast, how long still. Drawn on standard error, so that
 * standard output stays free for the bytes. On what is no terminal nothing is drawn but a last line. */
#ifndef JOBLOG_CLI_METER_H
#define JOBLOG_CLI_METER_H

#include "term.h"

#include <stdint.h>

struct meter;

/* Bytes so far. Called ten times a second on the meter's thread. */
typedef int64_t meter_source(void *user);

/* Copies term and title; keeps user. total: bytes in all. Gives the meter (meter_finish). */
struct meter *meter_new(const struct term *term, const char *title, int64_t total, meter_source *source, void *user);
/* Draws a last time with done bytes, ends the line and frees the meter. quiet: draws nothing, wipes the bar. Takes
 * NULL. */
void meter_finish(struct meter *meter, int64_t done, bool quiet);

#endif
