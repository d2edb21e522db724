/* See zip.h. On the thread that makes the file. */
#include "export/zip.h"

#include <stdio.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/buf.h"

enum {
    ROOM = 64 << 10,
    LEVEL = 2, /* sheets are mostly tags, which any level packs; the rows wait for it */
    LOCAL_HEADER = 0x04034b50,
    DESCRIPTOR = 0x08074b50,
    DIRECTORY = 0x02014b50,
    END64 = 0x06064b50,
    END64_LOCATOR = 0x07064b50,
    END = 0x06054b50,
    VERSION = 20,
    VERSION64 = 45,
    FLAGS = 8 | 0x800, /* a data descriptor follows; names are UTF-8 */
    DEFLATED = 8,
    DOS_DATE = 0x21 /* 1980-01-01: the file shall not depend on when it was made */
};

struct member {
    char name[60];
    uint32_t crc;
    uint64_t packed, size, offset;
    struct member *next;
};

struct export_zip {
    struct export_out out; /* first: full() finds the rest by it */
    struct export_out *to;
    z_stream z;
    uint64_t offset;   /* of the archive, so far */
    uint64_t far_from; /* offsets that 32 bits do not hold */
    struct member *first, **last;
    struct member *open;
    uint64_t n;
    char room[ROOM];
};

static void put(char **at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++, value >>= 8)
        *(*at)++ = (char)(value & 0xff);
}

static int add(struct export_zip *zip, const char *data, size_t len)
{
    zip->offset += len;
    return export_out_add(zip->to, data, len);
}

/* Deflates what is in the room. */
static int pack(struct export_zip *zip, bool last)
{
    struct member *m = zip->open;
    size_t len = (size_t)(zip->out.at - zip->room);
    m->crc = (uint32_t)crc32(m->crc, (const Bytef *)zip->room, (uInt)len);
    m->size += len;
    zip->z.next_in = (Bytef *)zip->room;
    zip->z.avail_in = (uInt)len;
    zip->out.at = zip->room;
    for (;;) {
        if (zip->to->at == zip->to->end && zip->to->full(zip->to) != 0)
            return -1;
        zip->z.next_out = (Bytef *)zip->to->at;
        zip->z.avail_out = (uInt)(zip->to->end - zip->to->at);
        int rc = deflate(&zip->z, last ? Z_FINISH : Z_NO_FLUSH);
        size_t n = (size_t)((char *)zip->z.next_out - zip->to->at);
        m->packed += n;
        zip->offset += n;
        zip->to->at += n;
        if (rc == Z_STREAM_END || (!last && zip->z.avail_in == 0 && zip->z.avail_out > 0))
            return 0;
        if (rc != Z_OK && rc != Z_BUF_ERROR)
            return -1;
    }
}

static int zip_full(struct export_out *out)
{
    return pack((struct export_zip *)out, false);
}

struct export_zip *export_zip_new(struct export_out *to)
{
    struct export_zip *zip = mem_alloc(sizeof *zip);
    if (!zip)
        return NULL;
    memset(zip, 0, offsetof(struct export_zip, room));
    zip->out = (struct export_out){zip->room, zip->room + ROOM, zip_full};
    zip->to = to;
    zip->last = &zip->first;
    zip->far_from = UINT32_MAX;
    if (deflateInit2(&zip->z, LEVEL, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        mem_free(zip);
        return NULL;
    }
    return zip;
}

void export_zip_far_from(struct export_zip *zip, uint64_t offset)
{
    zip->far_from = offset;
}

int export_zip_begin(struct export_zip *zip, const char *name)
{
    char header[30], *at = header;
    struct member *m = mem_zalloc(sizeof *m);
    if (!m)
        return -1;
    snprintf(m->name, sizeof m->name, "%s", name);
    m->offset = zip->offset;
    *zip->last = m;
    zip->last = &m->next;
    zip->open = m;
    zip->n++;
    deflateReset(&zip->z);
    put(&at, LOCAL_HEADER, 4);
    put(&at, VERSION, 2);
    put(&at, FLAGS, 2);
    put(&at, DEFLATED, 2);
    put(&at, 0, 2);
    put(&at, DOS_DATE, 2);
    put(&at, 0, 12); /* sum and sizes follow */
    put(&at, strlen(m->name), 2);
    put(&at, 0, 2);
    return add(zip, header, sizeof header) != 0 ? -1 : add(zip, m->name, strlen(m->name));
}

struct export_out *export_zip_out(struct export_zip *zip)
{
    return &zip->out;
}

uint64_t export_zip_member_size(const struct export_zip *zip)
{
    return zip->open->size + (uint64_t)(zip->out.at - zip->room);
}

int export_zip_end(struct export_zip *zip)
{
    char descriptor[16], *at = descriptor;
    struct member *m = zip->open;
    if (pack(zip, true) != 0)
        return -1;
    put(&at, DESCRIPTOR, 4);
    put(&at, m->crc, 4);
    put(&at, m->packed, 4);
    put(&at, m->size, 4);
    return add(zip, descriptor, sizeof descriptor);
}

static int add_entry(struct export_zip *zip, const struct member *m)
{
    char entry[46 + 12], *at = entry;
    bool far = m->offset >= zip->far_from;
    size_t name = strlen(m->name);
    put(&at, DIRECTORY, 4);
    put(&at, far ? VERSION64 : VERSION, 2);
    put(&at, far ? VERSION64 : VERSION, 2);
    put(&at, FLAGS, 2);
    put(&at, DEFLATED, 2);
    put(&at, 0, 2);
    put(&at, DOS_DATE, 2);
    put(&at, m->crc, 4);
    put(&at, m->packed, 4);
    put(&at, m->size, 4);
    put(&at, name, 2);
    put(&at, far ? 12 : 0, 2);
    put(&at, 0, 10); /* no comment, the first disk, no attributes */
    put(&at, far ? UINT32_MAX : m->offset, 4);
    if (add(zip, entry, 46) != 0 || add(zip, m->name, name) != 0)
        return -1;
    at = entry;
    put(&at, 1, 2); /* extra field of ZIP64: the offset alone */
    put(&at, 8, 2);
    put(&at, m->offset, 8);
    return far ? add(zip, entry, 12) : 0;
}

/* The end of the directory in 64 bits, and where it is. */
static int add_end64(struct export_zip *zip, uint64_t start, uint64_t size)
{
    char end[56 + 20], *at = end;
    uint64_t here = zip->offset;
    put(&at, END64, 4);
    put(&at, 56 - 12, 8);
    put(&at, VERSION64, 2);
    put(&at, VERSION64, 2);
    put(&at, 0, 8);
    put(&at, zip->n, 8);
    put(&at, zip->n, 8);
    put(&at, size, 8);
    put(&at, start, 8);
    put(&at, END64_LOCATOR, 4);
    put(&at, 0, 4);
    put(&at, here, 8);
    put(&at, 1, 4);
    return add(zip, end, sizeof end);
}

int export_zip_finish(struct export_zip *zip)
{
    char end[22], *at = end;
    uint64_t start = zip->offset;
    for (const struct member *m = zip->first; m; m = m->next)
        if (add_entry(zip, m) != 0)
            return -1;
    uint64_t size = zip->offset - start;
    bool far = start >= zip->far_from || size >= UINT32_MAX || zip->n >= UINT16_MAX;
    if (far && add_end64(zip, start, size) != 0)
        return -1;
    put(&at, END, 4);
    put(&at, 0, 4);
    put(&at, far ? UINT16_MAX : zip->n, 2);
    put(&at, far ? UINT16_MAX : zip->n, 2);
    put(&at, far ? UINT32_MAX : size, 4);
    put(&at, far ? UINT32_MAX : start, 4);
    put(&at, 0, 2);
    return add(zip, end, sizeof end);
}

void export_zip_free(struct export_zip *zip)
{
    if (!zip)
        return;
    deflateEnd(&zip->z);
    while (zip->first) {
        struct member *next = zip->first->next;
        mem_free(zip->first);
        zip->first = next;
    }
    mem_free(zip);
}
