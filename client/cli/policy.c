/* See policy.h. */
#include "policy.h"

#include "units.h"

#include <string.h>

/* Its place among the words, from 1; 0: it is none. */
static int word_at(const char *text, const char *const *words, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(text, words[i]) == 0)
            return i + 1;
    return 0;
}

bool policy_read_unique_for(const char *text, struct joblog_spec *spec)
{
    int64_t period_us;
    if (strcmp(text, "not-final") == 0) {
        spec->unique_scope = JOBLOG_UNIQUE_NOT_FINAL;
    } else if (strcmp(text, "pending") == 0) {
        spec->unique_scope = JOBLOG_UNIQUE_PENDING;
    } else if (units_parse_duration(text, &period_us) == 0) {
        spec->unique_scope = JOBLOG_UNIQUE_PERIOD;
        spec->unique_period_ms = (period_us + 999) / 1000;
    } else {
        return false;
    }
    return true;
}

bool policy_read_on_conflict(const char *text, struct joblog_spec *spec)
{
    static const char *const words[] = {"reject", "use", "replace", "merge"};
    int at = word_at(text, words, 4);
    if (at)
        spec->on_conflict = (enum joblog_on_conflict)at;
    return at != 0;
}

bool policy_read_backoff(const char *text, struct joblog_spec *spec)
{
    static const char *const words[] = {"exponential", "linear", "fixed"};
    int at = word_at(text, words, 3);
    if (at)
        spec->backoff = (enum joblog_backoff)at;
    return at != 0;
}
