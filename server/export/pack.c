/* See pack.h. On the thread that makes the file. Memory: the window of the format and one buffer. */
#include "export/pack.h"

#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"

enum {
    ROOM = 64 << 10, /* gathered before it is packed */
    /* A file is packed once and downloaded a few times, while the rows wait: half the time of zlib's default for a
     * twentieth more bytes. */
    GZIP_LEVEL = 3,
    ZSTD_LEVEL = 3
};

struct export_pack {
    struct export_out out; /* first: full() finds the rest by it */
    struct export_out *to;
    enum export_compression compression;
    z_stream z;
    ZSTD_CCtx *zstd;
    char room[ROOM];
};

int export_out_add_slowly(struct export_out *out, const char *data, size_t len)
{
    while (len > 0) {
        size_t room = (size_t)(out->end - out->at), n = len < room ? len : room;
        memcpy(out->at, data, n);
        out->at += n;
        data += n;
        len -= n;
        if (out->at == out->end && out->full(out) != 0)
            return -1;
    }
    return 0;
}

static int pack_gzip(struct export_pack *p, bool last)
{
    p->z.next_in = (Bytef *)p->room;
    p->z.avail_in = (uInt)(p->out.at - p->room);
    for (;;) {
        if (p->to->at == p->to->end && p->to->full(p->to) != 0)
            return -1;
        p->z.next_out = (Bytef *)p->to->at;
        p->z.avail_out = (uInt)(p->to->end - p->to->at);
        int rc = deflate(&p->z, last ? Z_FINISH : Z_NO_FLUSH);
        p->to->at = (char *)p->z.next_out;
        if (rc == Z_STREAM_END || (!last && p->z.avail_in == 0 && p->z.avail_out > 0))
            return 0;
        if (rc != Z_OK && rc != Z_BUF_ERROR)
            return -1;
    }
}

static int pack_zstd(struct export_pack *p, bool last)
{
    ZSTD_inBuffer in = {p->room, (size_t)(p->out.at - p->room), 0};
    for (;;) {
        if (p->to->at == p->to->end && p->to->full(p->to) != 0)
            return -1;
        ZSTD_outBuffer out = {p->to->at, (size_t)(p->to->end - p->to->at), 0};
        size_t left = ZSTD_compressStream2(p->zstd, &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
        p->to->at += out.pos;
        if (ZSTD_isError(left))
            return -1;
        if (last ? left == 0 : in.pos == in.size)
            return 0;
    }
}

static int pack(struct export_pack *p, bool last)
{
    int rc = p->compression == EXPORT_GZIP ? pack_gzip(p, last) : pack_zstd(p, last);
    p->out.at = p->room;
    return rc;
}

static int pack_full(struct export_out *out)
{
    return pack((struct export_pack *)out, false);
}

int export_pack_new(enum export_compression compression, struct export_out *to, struct export_pack **ret,
                    struct err *ret_err)
{
    struct export_pack *p = mem_alloc(sizeof *p);
    if (!p)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    memset(p, 0, offsetof(struct export_pack, room));
    p->out = (struct export_out){p->room, p->room + ROOM, pack_full};
    p->to = to;
    p->compression = compression;
    bool ok;
    if (compression == EXPORT_GZIP) {
        ok = deflateInit2(&p->z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
    } else {
        p->zstd = ZSTD_createCCtx();
        ok = p->zstd && !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) &&
             !ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1));
    }
    if (!ok) {
        ZSTD_freeCCtx(p->zstd);
        mem_free(p);
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    }
    *ret = p;
    return 0;
}

struct export_out *export_pack_out(struct export_pack *pack)
{
    return &pack->out;
}

int export_pack_end(struct export_pack *p)
{
    return pack(p, true);
}

void export_pack_free(struct export_pack *p)
{
    if (!p)
        return;
    if (p->compression == EXPORT_GZIP)
        deflateEnd(&p->z);
    ZSTD_freeCCtx(p->zstd);
    mem_free(p);
}
