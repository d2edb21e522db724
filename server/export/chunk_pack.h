/* Chunks as they lie in PostgreSQL: packed with Zstandard where that makes them shorter, as there every byte costs the
 * most on its way in and out (TOAST, write-ahead log, socket). One thread a packer. */
#ifndef EXPORT_CHUNK_PACK_H
#define EXPORT_CHUNK_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct chunk_packer;

/* For chunks of at most max bytes. Gives it (chunk_packer_free); NULL: out of memory. */
struct chunk_packer *chunk_packer_new(size_t max);
void chunk_packer_free(struct chunk_packer *packer); /* takes NULL */
/* Packed, borrowed from the packer until the next call; empty when it is better left as it is. */
struct span chunk_pack(struct chunk_packer *packer, struct span plain);
/* Unpacks into plain, which has room for len bytes, and must give exactly as many. */
bool chunk_unpack(struct span packed, void *plain, size_t len);
/* Does it say that it unpacks to so many bytes? Looks at its head only. */
bool chunk_unpacks_to(struct span packed, int64_t len);

#endif
