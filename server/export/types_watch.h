/* The types in force follow the file: read again when it changes, when somebody asks (export_reload), and while
 * something could not be held against its database. The keeper's; private to server/export. */
#ifndef EXPORT_TYPES_WATCH_H
#define EXPORT_TYPES_WATCH_H

#include "export/worker.h"

struct types_watch {
    struct exports *exports;
    struct export_stamp seen; /* of the file, when it was read last */
    bool gone;                /* it is not there, which was told */
    bool failed;              /* what was read last is not in force */
    int64_t again_ms;         /* when to read it again, though it has not changed; 0: not */
    int64_t pause_ms;         /* from then on to the next time */
    struct err told;          /* the last failure: logged once */
};

/* Begins with what is in force. */
void types_watch_init(struct types_watch *watch, struct exports *exports);
/* Blocks while it reads and checks. Is there something to look at again in a second? */
bool types_watch_look(struct types_watch *watch);

#endif
