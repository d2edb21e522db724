/* uthash (Debian: uthash-dev) set up for this tree: memory through base/alloc.h, and no exit when it runs out. */
#ifndef STORE_HASH_H
#define STORE_HASH_H

#include "base/alloc.h"

#define HASH_NONFATAL_OOM    1
#define uthash_malloc(size)  mem_alloc(size)
#define uthash_free(p, size) mem_free(p)
/* After a failed HASH_ADD the handle's tbl is NULL. */

#include <uthash.h>

#endif
