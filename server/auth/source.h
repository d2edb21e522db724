/* Inside server/auth: a file that is read again when it changes. One thread at a time. */
#ifndef AUTH_SOURCE_H
#define AUTH_SOURCE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"

struct source {
    char *path; /* NULL: none */
    struct stat seen;
};

/* Is it another file, or another content, than at the last source_read? A file that is gone has not changed. */
bool source_changed(const struct source *source);
/* Its content, at most a megabyte, into ret (buf_done by the caller, also on failure). 0, or -code with a text for the
 * operator. */
int source_read(struct source *source, struct buf *ret, struct err *ret_err);

#endif
