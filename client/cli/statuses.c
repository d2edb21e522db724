/* The server's catalogue of statuses. Any thread, read-only. */
#include "statuses.h"

#include <string.h>

/* Icons that the catalogue may name; others are drawn as a dot. */
static const struct {
    const char *name, *utf8, *ascii;
} icons[] = {
    {"clock", "◷", "."}, {"play", "▶", ">"},  {"check", "✔", "+"}, {"x", "✘", "x"},
    {"ban", "⊘", "-"},   {"pause", "‖", "="}, {"star", "★", "*"},  {"warning", "!", "!"},
};

static const struct joblog_status_info *statuses_find(const struct statuses *statuses, enum joblog_status status)
{
    for (size_t i = 0; i < statuses->n_rows; i++)
        if (statuses->rows[i].status == status)
            return &statuses->rows[i];
    return NULL;
}

const char *statuses_label(const struct statuses *statuses, enum joblog_status status)
{
    const struct joblog_status_info *info = statuses_find(statuses, status);
    return info && *info->label ? info->label : joblog_status_name(status);
}

const char *statuses_color(const struct statuses *statuses, enum joblog_status status)
{
    const struct joblog_status_info *info = statuses_find(statuses, status);
    return info ? info->color : NULL;
}

const char *statuses_icon(const struct statuses *statuses, enum joblog_status status, bool utf8)
{
    const struct joblog_status_info *info = statuses_find(statuses, status);
    for (size_t i = 0; info && i < sizeof(icons) / sizeof(icons[0]); i++)
        if (!strcmp(icons[i].name, info->icon))
            return utf8 ? icons[i].utf8 : icons[i].ascii;
    return utf8 ? "•" : "*";
}
