/* Entries of metadata that this side sends, of a client's call or of a server's answer. Any thread. */
#ifndef CRPC_SRC_METADATA_H
#define CRPC_SRC_METADATA_H

#include <stdbool.h>
#include <stddef.h>

#include <grpc/grpc.h>

#include "base/span.h"

/* Copies into *ret; false, *ret untouched: the key or value is none that may be sent. */
bool metadata_make(const char *key, struct span value, grpc_metadata *ret);
/* Frees what n entries hold. */
void metadata_drop(grpc_metadata *md, size_t n);

#endif
