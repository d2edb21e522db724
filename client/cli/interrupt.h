/* SIGINT, SIGTERM and SIGHUP (unless it is ignored) as a callback on an ordinary thread. Signals are blocked in all
 * other threads, so nothing here runs in a signal handler. */
#ifndef JOBLOG_CLI_INTERRUPT_H
#define JOBLOG_CLI_INTERRUPT_H

#include <stdbool.h>

/* Blocks the signals and starts the thread. Once, before any other thread exists. */
void interrupt_start(void);
/* first runs on the signal thread at the first signal, instead of the end of the program; again at every later one (a
 * SIGHUP is none), or the program ends with 130 when it is NULL. Keeps user until interrupt_clear. */
void interrupt_set(void (*first)(void *user), void (*again)(void *user), void *user);
/* Back to ending the program at once. After it returns no callback runs. */
void interrupt_clear(void);
/* A signal has come. */
bool interrupt_seen(void);

#endif
