/* Where a download goes: PATH.part, which one download at a time holds, and which gets the name PATH at its end. */
#ifndef CLIENT_EXPORT_PLACE_H
#define CLIENT_EXPORT_PLACE_H

#include <stdbool.h>

#include "base/err.h"

struct export_place {
    const char *path; /* borrowed */
    char *part;
    int fd;       /* of the part, locked; -1: none */
    bool resumed; /* something is there of a former download */
    struct export_place *next;
};

/* Borrows path, keeps place until export_place_close. FAILED_PRECONDITION with reason FILE when no file can be made
 * there: path is empty, it or its part is no regular file, the directory is not there or cannot be written to, another
 * download holds the part. 0, or -code with nothing to close. */
int export_place_open(struct export_place *place, const char *path, struct err *ret_err);
/* All is there and right: makes it last, and gives it its name. Once. 0, or -code: the part stays. */
int export_place_keep(struct export_place *place, struct err *ret_err);
/* What is there is worth nothing. */
void export_place_discard(struct export_place *place);
/* Lets others have it. What is there stays for the next download; a part without a byte goes. */
void export_place_close(struct export_place *place);

/* What a file refuses, in the words of errno `number`. Returns -code. */
int export_place_error(struct err *ret_err, int number, const char *what);

#endif
