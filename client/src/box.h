/* A box: what the library gives away (a job, a list, statistics), with the message whose texts it borrows and an arena
 * for what the message has no form for. One pointer, one call to free it all. */
#ifndef CLIENT_BOX_H
#define CLIENT_BOX_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"

/* A zeroed object of size bytes in a box that owns message (takes it, even on failure; may be NULL). NULL when out of
 * memory. */
void *box_new(ProtobufCMessage *message, size_t size);
/* Memory that lives as long as the object. */
struct arena *box_arena(void *object);
/* Takes NULL. */
void box_free(void *object);

#endif
