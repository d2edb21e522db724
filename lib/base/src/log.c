/* Structured log; see log.h. One write(2) a line, so lines of threads never mix. */
#include "base/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_int level_now = LOG_INFO;
static atomic_int fd_now = 2;

static const char *const level_names[] = {"debug", "info", "warning", "error"};

void log_set_level(enum log_level level)
{
    atomic_store(&level_now, (int)level);
}

bool log_level_parse(const char *name, enum log_level *ret_level)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_fd(int fd)
{
    atomic_store(&fd_now, fd);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&level_now, memory_order_relaxed);
}

/* U+0080 to U+009F in UTF-8: among them CSI, which begins a command as ESC [ does. */
static bool is_c1(unsigned char first, unsigned char second)
{
    return first == 0xc2 && second >= 0x80 && second < 0xa0;
}

/* The text of a line, and its twin, where the quotes of fmt itself are another byte: quotes of arguments are the same
 * in both, whatever these hold. */
static void render(char *text, char *twin, size_t size, const char *fmt, va_list ap)
{
    char marked[1024];
    size_t len = strlen(fmt);
    va_list again;
    assert(len < sizeof marked);
    va_copy(again, ap);
    for (size_t i = 0; i <= len; i++)
        marked[i] = (char)(fmt[i] == '"' ? '\'' : fmt[i]);
    vsnprintf(text, size, fmt, ap);
    vsnprintf(twin, size, marked, again);
    va_end(again);
}

/* Anything that could forge a second line or a terminal command becomes \xNN; within quotes of the format a backslash
 * goes before quotes and backslashes. What is cut within quotes ends with one. */
static size_t escape(char *out, size_t room, const char *in, const char *twin)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0;
    bool quoted = false;
    unsigned char before = 0, c;
    for (; (c = (unsigned char)*in) && n + 5 < room; in++, twin++, before = c) {
        bool ends = *in != *twin;
        quoted ^= ends;
        if (c < 0x20 || c == 0x7f || is_c1(c, (unsigned char)in[1]) || is_c1(before, c)) {
            out[n++] = '\\';
            out[n++] = 'x';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
            continue;
        }
        if (quoted && !ends && (c == '"' || c == '\\'))
            out[n++] = '\\';
        out[n++] = (char)c;
    }
    if (quoted)
        out[n++] = '"';
    return n;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    char text[4096], twin[4096], line[4096];
    va_list ap;
    va_start(ap, fmt);
    render(text, twin, sizeof text, fmt, ap);
    va_end(ap);

    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof line - n, ".%03ldZ %s ", ts.tv_nsec / 1000000, level_names[level]);
    n += escape(line + n, sizeof line - n - 1, text, twin);
    line[n++] = '\n';
    if (write(atomic_load(&fd_now), line, n) < 0) {
        /* Nowhere left to say so. */
    }
}
