/* Lines by which a command of `joblog worker` speaks to its job. Pure, any thread. */
#include "worker_line.h"

#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The server's limits for units and steps, in bytes; longer ones are cut between two characters. */
static void copy_cut(char *to, size_t size, const char *from, size_t len)
{
    if (len > size - 1) {
        len = size - 1;
        while (len && ((unsigned char)from[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(to, from, len);
    to[len] = '\0';
}

static const char *skip_spaces(const char *text)
{
    return text + strspn(text, " \t");
}

/* "300/1000 rows reading" or "40 reading" or "40% reading". */
static int parse_progress(const char *text, struct worker_line *line)
{
    char *end;
    errno = 0;
    text = skip_spaces(text);
    if (!isdigit((unsigned char)*text))
        return -1;
    long long done = strtoll(text, &end, 10);
    if (*end == '/' && isdigit((unsigned char)end[1])) {
        long long total = strtoll(end + 1, &end, 10);
        if (errno || total <= 0 || done > total || (*end && *end != ' ' && *end != '\t'))
            return -1;
        line->done = done;
        line->total = total;
        const char *unit = skip_spaces(end);
        size_t len = strcspn(unit, " \t");
        copy_cut(line->unit, sizeof(line->unit), unit, len);
        end = (char *)unit + len;
    } else {
        line->percent = strtod(text, &end);
        end += *end == '%';
        if (!(line->percent >= 0 && line->percent <= 100) || (*end && *end != ' ' && *end != '\t'))
            return -1;
    }
    const char *step = skip_spaces(end);
    copy_cut(line->step, sizeof(line->step), step, strlen(step));
    return 0;
}

/* SECONDS [REASON] */
static int parse_snooze(const char *text, struct worker_line *line)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || !(seconds >= 0 && seconds <= 30 * 86400.0) || (*end && *end != ' ' && *end != '\t'))
        return -1;
    const char *reason = skip_spaces(end);
    line->snooze_ms = (int64_t)(seconds * 1000);
    copy_cut(line->step, sizeof(line->step), reason, strlen(reason));
    return 0;
}

enum worker_line_kind worker_line_parse(const char *text, struct worker_line *ret_line)
{
    *ret_line = (struct worker_line){0};
    if (!strncmp(text, "::progress ", 11) && parse_progress(text + 11, ret_line) == 0)
        return WORKER_LINE_PROGRESS;
    if (!strncmp(text, "::result ", 9)) {
        ret_line->result = skip_spaces(text + 9);
        return WORKER_LINE_RESULT;
    }
    if (!strncmp(text, "::snooze ", 9) && parse_snooze(text + 9, ret_line) == 0)
        return WORKER_LINE_SNOOZE;
    return WORKER_LINE_TEXT;
}
