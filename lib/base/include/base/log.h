/* Structured log: one line an event, `time level text key=value ...`, to stderr or a file descriptor.
 * Text as PostgreSQL's style guide asks: lower case, no full stop, what was being done. Any thread; one write(2) a
 * line. Libraries do not log; they return errors. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/* Lines below this level are dropped. Default LOG_INFO. */
void log_set_level(enum log_level level);
/* "debug", "info", "warning" or "error". False when name is none of these. */
bool log_level_parse(const char *name, enum log_level *ret_level);
/* Default 2. */
void log_set_fd(int fd);
bool log_enabled(enum log_level level);
/* Put the event first and then key=value pairs: log_info("lease expired job=%" PRId64, id). Control characters and
 * newlines in the result are escaped; at most 4 KiB a line. A value that may hold spaces stands in quotes,
 * "text=\"%s\"": quotes and backslashes in such a value are escaped here. */
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)   (log_enabled(LOG_DEBUG) ? log_write(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_error(...)   log_write(LOG_ERROR, __VA_ARGS__)

#endif
