/* See chunk_pack.h. */
#include "export/chunk_pack.h"

#include <zstd.h>

#include "base/alloc.h"

enum {
    LEVEL = 1,      /* CSV to a fifth at 450 MB/s a core; level 3 is no shorter and takes twice as long */
    GAIN_SHARE = 8, /* less than an eighth saved is not worth the unpacking: what was packed before, such as XLSX */
};

struct chunk_packer {
    ZSTD_CCtx *context;
    size_t max, room;
    char packed[];
};

struct chunk_packer *chunk_packer_new(size_t max)
{
    size_t room = ZSTD_compressBound(max);
    struct chunk_packer *p = mem_alloc(sizeof *p + room);
    if (!p)
        return NULL;
    *p = (struct chunk_packer){.context = ZSTD_createCCtx(), .max = max, .room = room};
    if (p->context)
        return p;
    mem_free(p);
    return NULL;
}

void chunk_packer_free(struct chunk_packer *packer)
{
    if (!packer)
        return;
    ZSTD_freeCCtx(packer->context);
    mem_free(packer);
}

struct span chunk_pack(struct chunk_packer *p, struct span plain)
{
    if (plain.len > p->max)
        return (struct span){0};
    size_t len = ZSTD_compressCCtx(p->context, p->packed, p->room, plain.data, plain.len, LEVEL);
    if (ZSTD_isError(len) || len > plain.len - plain.len / GAIN_SHARE)
        return (struct span){0};
    return span_of(p->packed, len);
}

bool chunk_unpack(struct span packed, void *plain, size_t len)
{
    return ZSTD_decompress(plain, len, packed.data, packed.len) == len;
}

bool chunk_unpacks_to(struct span packed, int64_t len)
{
    return len > 0 && ZSTD_getFrameContentSize(packed.data, packed.len) == (unsigned long long)len;
}
