/* See room.h. A counter; who has taken of it keeps it alive. */
#include "export/room.h"

#include <pthread.h>

#include "base/alloc.h"

struct export_room {
    pthread_mutex_t lock;
    int64_t limit, used;
    int64_t courtesy_until_ms; /* who was refused comes again before it */
    int64_t wanted_until_ms;
    bool left; /* by its owner */
};

/* What a chunk in room is released by. */
struct holding {
    struct export_room *room;
    int64_t bytes;
    void (*release)(void *owner);
    void *owner;
};

struct export_room *export_room_new(int64_t limit)
{
    struct export_room *room = mem_zalloc(sizeof *room);
    if (!room)
        return NULL;
    pthread_mutex_init(&room->lock, NULL);
    room->limit = limit;
    return room;
}

static void unlock(struct export_room *room)
{
    bool last = room->left && room->used == 0;
    pthread_mutex_unlock(&room->lock);
    if (last) {
        pthread_mutex_destroy(&room->lock);
        mem_free(room);
    }
}

void export_room_free(struct export_room *room)
{
    if (!room)
        return;
    pthread_mutex_lock(&room->lock);
    room->left = true;
    unlock(room);
}

bool export_room_take(struct export_room *room, int64_t bytes, enum export_room_turn turn, int64_t now_ms)
{
    pthread_mutex_lock(&room->lock);
    int64_t most = turn == ROOM_AHEAD ? room->limit / 2 : room->limit;
    /* One always fits, however small the limit. */
    bool fits = room->used + bytes <= most || (turn != ROOM_AHEAD && room->used == 0);
    bool ok = fits && (turn == ROOM_AGAIN || now_ms >= room->courtesy_until_ms);
    if (!fits && turn != ROOM_AHEAD) {
        room->courtesy_until_ms = now_ms + ROOM_COURTESY_MS;
        room->wanted_until_ms = now_ms + ROOM_WANTED_MS;
    }
    if (ok)
        room->used += bytes;
    pthread_mutex_unlock(&room->lock);
    return ok;
}

void export_room_give(struct export_room *room, int64_t bytes)
{
    pthread_mutex_lock(&room->lock);
    room->used -= bytes;
    unlock(room);
}

bool export_room_is_wanted(struct export_room *room, int64_t now_ms)
{
    pthread_mutex_lock(&room->lock);
    bool wanted = now_ms < room->wanted_until_ms;
    pthread_mutex_unlock(&room->lock);
    return wanted;
}

static void release(void *user)
{
    struct holding *h = user;
    if (h->release)
        h->release(h->owner);
    export_room_give(h->room, h->bytes);
    mem_free(h);
}

bool export_room_hang(struct export_room *room, int64_t bytes, struct chunk_data *chunk)
{
    struct holding *h = mem_alloc(sizeof *h);
    if (!h)
        return false;
    *h = (struct holding){room, bytes, chunk->release, chunk->owner};
    chunk->release = release;
    chunk->owner = h;
    return true;
}
