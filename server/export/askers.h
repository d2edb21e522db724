/* The threads that answer; private to server/export. */
#ifndef EXPORT_ASKERS_H
#define EXPORT_ASKERS_H

#include "export/ask.h"

struct export_askers;

/* stores: by enum export_storage, those that are there have a uri; kept. room_bytes: what chunks of downloads may take
 * together. Gives *ret (export_askers_stop). */
int export_askers_start(const struct chunk_store *stores, const char *uri, int64_t room_bytes,
                        struct export_askers **ret, struct err *ret_err);
/* Answers what waits, then ends the threads. Takes NULL. */
void export_askers_stop(struct export_askers *askers);
int export_askers_put(struct export_askers *askers, struct export_ask *ask, struct err *ret_err);
/* As export_room_wanted. */
bool export_askers_room_wanted(struct export_askers *askers);
/* As export_chunk_now. */
bool export_askers_chunk_now(struct export_askers *askers, const struct export_file *file, int held_fd, int32_t seq,
                             bool as_kept, struct chunk_data *ret);

#endif
