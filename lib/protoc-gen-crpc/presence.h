/* Proto3's optional fields, for a generator that does not know them. */
#ifndef PROTOC_GEN_CRPC_PRESENCE_H
#define PROTOC_GEN_CRPC_PRESENCE_H

#include "google/protobuf/descriptor.pb-c.h"
#include "pool.h"

/* Makes each optional field of a proto3 file the one member of an ordinary oneof called has_FIELD. The encoding stays
 * as it is. Names that change are of the heap (free), as all of an unpacked message. */
void presence_file(struct pool *pool, Google__Protobuf__FileDescriptorProto *file);

#endif
