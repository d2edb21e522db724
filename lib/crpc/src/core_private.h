/* What gRPC core knows of a call and its public headers do not tell: functions that libgrpc exports for gRPC's own
 * tests. Bound weakly by their names, so that a core without them costs features and breaks nothing: then no answer
 * is compressed, and a message in an unknown encoding is taken for a malformed one. */
#ifndef CRPC_SRC_CORE_PRIVATE_H
#define CRPC_SRC_CORE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include <grpc/grpc.h>

uint32_t
core_encodings_accepted(grpc_call *call) __asm__("_Z50grpc_call_test_only_get_encodings_accepted_by_peerP9grpc_call")
    __attribute__((weak));
uint32_t core_message_flags(grpc_call *call) __asm__("_Z37grpc_call_test_only_get_message_flagsP9grpc_call")
    __attribute__((weak));

/* Set in the flags of a message that came compressed. */
#define CORE_FLAG_COMPRESSED 0x80000000u

/* Does the peer of call understand algorithm? Once its metadata has come. */
static inline bool core_accepts(grpc_call *call, grpc_compression_algorithm algorithm)
{
    return core_encodings_accepted && (core_encodings_accepted(call) >> algorithm & 1);
}

/* Was the message received last compressed, whether or not core knows how? */
static inline bool core_came_compressed(grpc_call *call)
{
    return core_message_flags && (core_message_flags(call) & CORE_FLAG_COMPRESSED);
}

#endif
