/* Times, durations, sizes and numbers, from and to text. Pure (local times read TZ), any thread. */
#ifndef JOBLOG_CLI_UNITS_H
#define JOBLOG_CLI_UNITS_H

#include <stddef.h>
#include <stdint.h>

enum {
    UNITS_TEXT = 40 /* bytes that any of the texts below needs, the NUL included */
};

/* "250ms", "1.5s", "10m", "24h", "7d", "1h30m". 0, or -1 when text is none. */
int units_parse_duration(const char *text, int64_t *ret_us);
/* RFC 3339 ("2026-01-31T10:00:00Z", any offset), the same without a zone (local time), or a date (local midnight). A
 * space may stand for the T, seconds may be missing. 0, or -1. */
int units_parse_time(const char *text, int64_t *ret_us);
/* A whole number that fits. 0, or -1. */
int units_parse_int(const char *text, int64_t *ret_value);

/* RFC 3339 in UTC with microseconds, for programs. Returns buf. */
char *units_rfc3339(char buf[UNITS_TEXT], int64_t time_us);
/* "2026-01-31 10:00:00.123" in local time; "" for 0. Returns buf. */
char *units_local(char buf[UNITS_TEXT], int64_t time_us);
/* "3m ago", "in 10s", "now"; "" for 0. Returns buf. */
char *units_relative(char buf[UNITS_TEXT], int64_t time_us, int64_t now_us);
/* "850us", "12ms", "1.2s", "2m05s", "3h10m", "4d02h". Returns buf. */
char *units_duration(char buf[UNITS_TEXT], int64_t us);
/* The same in whole seconds: "5s". Returns buf. */
char *units_seconds(char buf[UNITS_TEXT], int64_t us);
/* "12.3 MiB". Returns buf. */
char *units_size(char buf[UNITS_TEXT], double bytes);
/* "1 234 567". Returns buf. */
char *units_count(char buf[UNITS_TEXT], int64_t n);
/* "1 234/s", "5.9/day": by the shortest of s, min, h and day in which one comes at least. Returns buf. */
char *units_rate(char buf[UNITS_TEXT], double per_second);

int64_t units_now_us(void);

#endif
