/* What few jobs are dispatched with, as one JSON text: column extra of joblog.job. A job without any of it has none, so
 * that it costs the others nothing. Pure; any thread. */
#ifndef CORE_EXTRA_H
#define CORE_EXTRA_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "core/job.h"

/* Has the job anything of it? */
bool extra_is_there(const struct job *job);
/* Appends it as a JSON object. */
void extra_write(struct buf *b, const struct job *job);
/* Fills what it knows of a text that extra_write wrote, and leaves the rest of the job as it is; text empty: nothing.
 * Texts of the job borrow from text, or lie in arena. Members that it does not know are of a newer server, and passed
 * over. False: out of memory. */
bool extra_read(struct span text, struct arena *arena, struct job *job);

#endif
