/* How many bytes of chunks all downloads may have in memory together. Any thread. What was taken may be given back
 * after the engine has ended: gRPC keeps what it has not sent. */
#ifndef EXPORT_ROOM_H
#define EXPORT_ROOM_H

#include <stdbool.h>

#include "export/chunk_store.h"

struct export_room;

/* Gives it (export_room_free); NULL: out of memory. */
struct export_room *export_room_new(int64_t limit);
/* It lives on until all is given back. Takes NULL. */
void export_room_free(struct export_room *room);
/* Takes room for so many bytes. ahead: only while half of it is free. False: there is none. */
bool export_room_take(struct export_room *room, int64_t bytes, bool ahead);
void export_room_give(struct export_room *room, int64_t bytes);
/* From now on the room is given back with the chunk (chunk_data_done). False: out of memory, the chunk is as it was. */
bool export_room_hang(struct export_room *room, int64_t bytes, struct chunk_data *chunk);

#endif
