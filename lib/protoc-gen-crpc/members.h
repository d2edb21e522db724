/* Fields whose names C cannot have as members of a struct, for a generator that knows C++'s keywords only. */
#ifndef PROTOC_GEN_CRPC_MEMBERS_H
#define PROTOC_GEN_CRPC_MEMBERS_H

#include "google/protobuf/descriptor.pb-c.h"
#include "pool.h"

/* After presence_file. Gives such fields a name with underscores at its end. The encoding stays as it is. Names that
 * change are of the heap (free), as all of an unpacked message. */
void members_file(struct pool *pool, Google__Protobuf__FileDescriptorProto *file);

/* "M.result" of the first group (a way to write a message in proto2) in a file, which protobuf-c cannot generate; NULL:
 * there is none. */
const char *members_find_group(struct pool *pool, const Google__Protobuf__FileDescriptorProto *file);

#endif
