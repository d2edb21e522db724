/* Patches of a payload, as texts of JSON objects (mem_free; NULL: none). Numbers stay as they were written. Pure; the
 * caller's lock. */
#ifndef CLIENT_PATCH_H
#define CLIENT_PATCH_H

#include <stdbool.h>
#include <stddef.h>

/* Puts the members of newer, which json_check has passed, over those in *patch. False when out of memory: *patch is as
 * it was. */
bool patch_merge(char **patch, const char *newer);
/* Takes off *patch as many of its first members as make an object of at most max bytes, one at least: all of them, and
 * then *patch is NULL, when they fit. NULL when there is none, or when out of memory: then *patch is as it was. */
char *patch_take(char **patch, size_t max);
/* Leaves out the longest member of *patch, which is not NULL; *patch is NULL when it was the only one. When out of
 * memory nothing has changed. */
void patch_drop_longest(char **patch);
/* Puts back what was taken: the members of *patch, which came later, over those of *taken. Takes *taken and sets it to
 * NULL, except when out of memory: then nothing has changed. */
bool patch_put_back(char **patch, char **taken);

#endif
