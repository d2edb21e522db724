/* Times, durations, sizes and numbers, from and to text. Pure, any thread. */
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *suffix;
    double us;
} duration_units[] = {
    {"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"m", 60e6}, {"h", 3600e6}, {"d", 86400e6},
};

int64_t units_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The factor of the unit that starts at text (letters to the next digit or the end); 0 when there is none. */
static double duration_unit(const char *text, size_t n)
{
    for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++)
        if (strlen(duration_units[i].suffix) == n && !strncmp(duration_units[i].suffix, text, n))
            return duration_units[i].us;
    return 0;
}

int units_parse_duration(const char *text, int64_t *ret_us)
{
    double sum = 0;
    if (!*text)
        return -1;
    while (*text) {
        char *end;
        if (!isdigit((unsigned char)*text))
            return -1;
        double value = strtod(text, &end);
        size_t n = strspn(end, "abcdefghijklmnopqrstuvwxyz");
        double unit = duration_unit(end, n);
        if (unit <= 0)
            return -1;
        sum += value * unit;
        text = end + n;
    }
    if (!isfinite(sum) || sum > 100.0 * 366 * 86400e6)
        return -1;
    *ret_us = (int64_t)(sum + 0.5);
    return 0;
}

/* Two digits at *text from min to max; steps over them. -1 when there are none. */
static int time_digits(const char **text, int n, int min, int max)
{
    int value = 0;
    for (int i = 0; i < n; i++, (*text)++) {
        if (!isdigit((unsigned char)**text))
            return -1;
        value = value * 10 + (**text - '0');
    }
    return value < min || value > max ? -1 : value;
}

/* ":SS.ffffff" at *text, all of it optional. -1 on nonsense. */
static int time_seconds(const char **text, struct tm *tm, int64_t *ret_us)
{
    if (**text != ':')
        return 0;
    (*text)++;
    if ((tm->tm_sec = time_digits(text, 2, 0, 60)) < 0)
        return -1;
    if (**text != '.')
        return 0;
    (*text)++;
    if (!isdigit((unsigned char)**text))
        return -1;
    for (int64_t unit = 100000; isdigit((unsigned char)**text); unit /= 10, (*text)++)
        *ret_us += unit * (**text - '0');
    return 0;
}

/* The zone at text, to its end: "" (local), "Z" or "+01:00". */
static int time_zone(const char *text, struct tm *tm, int64_t *ret_s)
{
    if (!*text) {
        tm->tm_isdst = -1;
        *ret_s = mktime(tm);
        return 0;
    }
    *ret_s = timegm(tm);
    if ((*text == 'Z' || *text == 'z') && !text[1])
        return 0;
    int sign = *text == '+' ? 1 : *text == '-' ? -1 : 0;
    text++;
    int hours = sign ? time_digits(&text, 2, 0, 23) : -1;
    if (hours < 0 || *text++ != ':')
        return -1;
    int minutes = time_digits(&text, 2, 0, 59);
    if (minutes < 0 || *text)
        return -1;
    *ret_s -= sign * (hours * 3600L + minutes * 60L);
    return 0;
}

int units_parse_time(const char *text, int64_t *ret_us)
{
    struct tm tm = {0};
    int64_t us = 0, s;
    int year = time_digits(&text, 4, 1970, 9999);
    if (year < 0 || *text++ != '-')
        return -1;
    int month = time_digits(&text, 2, 1, 12);
    if (month < 0 || *text++ != '-')
        return -1;
    tm.tm_year = year - 1900;
    tm.tm_mon = month - 1;
    if ((tm.tm_mday = time_digits(&text, 2, 1, 31)) < 0)
        return -1;
    int day = tm.tm_mday;
    if (*text) {
        if (*text != 'T' && *text != 't' && *text != ' ')
            return -1;
        text++;
        if ((tm.tm_hour = time_digits(&text, 2, 0, 23)) < 0 || *text++ != ':' ||
            (tm.tm_min = time_digits(&text, 2, 0, 59)) < 0 || time_seconds(&text, &tm, &us) < 0)
            return -1;
    }
    /* timegm turns 31 February into March; such a date is a mistake of the caller's. */
    struct tm check = tm;
    timegm(&check);
    if (check.tm_mday != day || time_zone(text, &tm, &s) < 0)
        return -1;
    *ret_us = s * 1000000 + us;
    return 0;
}

int units_parse_int(const char *text, int64_t *ret_value)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || isspace((unsigned char)*text))
        return -1;
    *ret_value = value;
    return 0;
}

char *units_rfc3339(char buf[UNITS_TEXT], int64_t time_us)
{
    time_t s = (time_t)(time_us / 1000000);
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(buf, UNITS_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + n, UNITS_TEXT - n, ".%06dZ", (int)(time_us % 1000000));
    return buf;
}

char *units_local(char buf[UNITS_TEXT], int64_t time_us)
{
    buf[0] = '\0';
    if (!time_us)
        return buf;
    time_t s = (time_t)(time_us / 1000000);
    struct tm tm;
    localtime_r(&s, &tm);
    size_t n = strftime(buf, UNITS_TEXT, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(buf + n, UNITS_TEXT - n, ".%03d", (int)(time_us / 1000 % 1000));
    return buf;
}

char *units_duration(char buf[UNITS_TEXT], int64_t us)
{
    long long s = (long long)(us / 1000000);
    if (us < 1000)
        snprintf(buf, UNITS_TEXT, "%dus", (int)(us < 0 ? 0 : us));
    else if (us < 10000)
        snprintf(buf, UNITS_TEXT, "%.1fms", (double)us / 1e3);
    else if (us < 1000000)
        snprintf(buf, UNITS_TEXT, "%dms", (int)(us / 1000));
    else if (us < 60000000)
        snprintf(buf, UNITS_TEXT, "%lld.%ds", s, (int)(us / 100000 % 10));
    else if (s < 3600)
        snprintf(buf, UNITS_TEXT, "%lldm%02llds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(buf, UNITS_TEXT, "%lldh%02lldm", s / 3600, s / 60 % 60);
    else
        snprintf(buf, UNITS_TEXT, "%lldd%02lldh", s / 86400, s / 3600 % 24);
    return buf;
}

char *units_seconds(char buf[UNITS_TEXT], int64_t us)
{
    units_duration(buf, us / 1000000 * 1000000);
    char *fraction = strstr(buf, ".0s");
    if (fraction)
        memcpy(fraction, "s", 2);
    return buf;
}

char *units_relative(char buf[UNITS_TEXT], int64_t time_us, int64_t now_us)
{
    char length[UNITS_TEXT];
    int64_t ago = now_us - time_us;
    buf[0] = '\0';
    if (!time_us)
        return buf;
    int64_t whole = (ago < 0 ? -ago : ago) / 1000000 * 1000000;
    units_seconds(length, whole);
    if (!whole)
        snprintf(buf, UNITS_TEXT, "now");
    else if (ago >= 0)
        snprintf(buf, UNITS_TEXT, "%.20s ago", length);
    else
        snprintf(buf, UNITS_TEXT, "in %.20s", length);
    return buf;
}

char *units_size(char buf[UNITS_TEXT], double bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;
    while (bytes >= 1024 && i + 1 < sizeof(names) / sizeof(names[0])) {
        bytes /= 1024;
        i++;
    }
    snprintf(buf, UNITS_TEXT, i ? "%.1f %s" : "%.0f %s", bytes, names[i]);
    return buf;
}

char *units_count(char buf[UNITS_TEXT], int64_t n)
{
    char digits[UNITS_TEXT];
    int len = snprintf(digits, sizeof(digits), "%llu", n < 0 ? 0 - (unsigned long long)n : (unsigned long long)n),
        at = 0;
    if (n < 0)
        buf[at++] = '-';
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf[at++] = ' ';
        buf[at++] = digits[i];
    }
    buf[at] = '\0';
    return buf;
}

char *units_rate(char buf[UNITS_TEXT], double per_second)
{
    static const struct {
        double seconds;
        const char *name;
    } units[] = {{1, "s"}, {60, "min"}, {3600, "h"}, {86400, "day"}};
    char number[UNITS_TEXT];
    size_t i = 0;
    while (per_second > 0 && per_second * units[i].seconds < 1 && i + 1 < sizeof units / sizeof units[0])
        i++;
    double n = per_second * units[i].seconds;
    if (n >= 100)
        units_count(number, n < 1e18 ? (int64_t)(n + 0.5) : INT64_MAX);
    else
        snprintf(number, sizeof number, n >= 10 || n == 0 ? "%.0f" : "%.1f", n);
    snprintf(buf, UNITS_TEXT, "%.*s/%s", UNITS_TEXT - 5, number, units[i].name);
    return buf;
}
