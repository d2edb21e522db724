/* Live progress of jobs. On a terminal: a bar a job, drawn over and over in place by a thread of its own, so that times
 * move on while nothing happens. Elsewhere: a line for every change of status, step or attempt and for every ten points
 * of progress, printed by the caller's thread. All functions on any thread. */
#ifndef JOBLOG_CLI_BARS_H
#define JOBLOG_CLI_BARS_H

#include "statuses.h"
#include "term.h"

struct bars;

/* Copies term; keeps statuses. From here to bars_finish nobody else may write to term->out. Gives the bars
 * (bars_finish). */
struct bars *bars_new(const struct term *term, const struct statuses *statuses);
/* What to call a job instead of its name. Copies title. Before its first bars_update. */
void bars_set_title(struct bars *bars, int64_t id, const char *title);
/* The job as it is now; borrowed. The first call for an id adds its bar. */
void bars_update(struct bars *bars, const struct joblog_job *job);
/* Draws a last time, leaves the bars on the screen and frees them. Takes NULL. */
void bars_finish(struct bars *bars);

/* A bar of width columns, fraction (0 to 1) of it filled; color of term_color. Writes to out, no line feed. */
void bar_draw(FILE *out, const struct term *term, double fraction, int width, const char *color);

#endif
