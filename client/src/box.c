/* Boxes; see box.h. Any thread, each box by one at a time. */
#include "box.h"

#include "base/alloc.h"
#include "crpc/client.h"

enum { BOX_ROOM = 256 }; /* for labels and such: most objects need no second block */

struct box {
    ProtobufCMessage *message;
    struct arena arena;
    _Alignas(16) char object[];
};

static struct box *box_of(void *object)
{
    return (struct box *)(void *)((char *)object - offsetof(struct box, object));
}

void *box_new(ProtobufCMessage *message, size_t size)
{
    size_t rounded = (size + 15) & ~(size_t)15;
    struct box *box = mem_alloc(sizeof *box + rounded + BOX_ROOM);
    if (!box) {
        crpc_message_free(message);
        return NULL;
    }
    box->message = message;
    memset(box->object, 0, rounded);
    arena_init(&box->arena, box->object + rounded, BOX_ROOM, 0);
    return box->object;
}

struct arena *box_arena(void *object)
{
    return &box_of(object)->arena;
}

void box_free(void *object)
{
    if (!object)
        return;
    struct box *box = box_of(object);
    arena_done(&box->arena);
    crpc_message_free(box->message);
    mem_free(box);
}
