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
/* Who asks: for a chunk that is not needed yet, for the next one, or for one that was refused before. */
enum export_room_turn { ROOM_AHEAD, ROOM_NEXT, ROOM_AGAIN };
/* Takes room for so many bytes; ahead only while half of it is free. False: there is none, or others have waited
 * longer: for ROOM_COURTESY_MS after somebody was refused for want of room only those who come again get any, so that
 * downloads that go on by themselves leave some to those that wait. */
enum { ROOM_COURTESY_MS = 150 };
bool export_room_take(struct export_room *room, int64_t bytes, enum export_room_turn turn, int64_t now_ms);
void export_room_give(struct export_room *room, int64_t bytes);
/* Has somebody been refused lately for want of room? Until ROOM_WANTED_MS after: those come again once a second. */
enum { ROOM_WANTED_MS = 3000 };
bool export_room_is_wanted(struct export_room *room, int64_t now_ms);
/* From now on the room is given back with the chunk (chunk_data_done). False: out of memory, the chunk is as it was. */
bool export_room_hang(struct export_room *room, int64_t bytes, struct chunk_data *chunk);

#endif
