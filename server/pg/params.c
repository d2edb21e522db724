/* Building binary parameters; see params.h. The formats are those of the type's receive functions
 * (src/backend/utils/adt/arrayfuncs.c, array_recv; jsonb.c, jsonb_recv). */
#include "pg/params.h"

#include <arpa/inet.h>

enum { ARRAY_HEADER = 20, KEEP_BYTES = 1 << 20, EPOCH_SECONDS = 946684800 };

void pg_params_clear(struct pg_params *p)
{
    for (int i = 0; i < p->n; i++) {
        if (p->v[i].buf.cap > KEEP_BYTES)
            buf_done(&p->v[i].buf);
        buf_clear(&p->v[i].buf);
    }
    p->n = 0;
}

void pg_params_done(struct pg_params *p)
{
    for (int i = 0; i < PG_PARAMS_MAX; i++)
        buf_done(&p->v[i].buf);
    p->n = 0;
}

bool pg_params_failed(const struct pg_params *p)
{
    for (int i = 0; i < p->n; i++) {
        if (p->v[i].buf.failed)
            return true;
    }
    return false;
}

static struct pg_param *next(struct pg_params *p, enum pg_type type)
{
    struct pg_param *v = &p->v[p->n++];

    buf_clear(&v->buf);
    v->type = type;
    v->n = 0;
    v->is_array = v->is_null = v->has_null = false;
    return v;
}

static uint64_t pg_epoch(int64_t us)
{
    return (uint64_t)(us - (int64_t)EPOCH_SECONDS * 1000000);
}

void pg_add_int8(struct pg_params *p, int64_t v)
{
    buf_add_be64(&next(p, PG_INT8)->buf, (uint64_t)v);
}

void pg_add_int4(struct pg_params *p, int32_t v)
{
    buf_add_be32(&next(p, PG_INT4)->buf, (uint32_t)v);
}

void pg_add_int2(struct pg_params *p, int16_t v)
{
    buf_add_be16(&next(p, PG_INT2)->buf, (uint16_t)v);
}

void pg_add_time(struct pg_params *p, int64_t us)
{
    buf_add_be64(&next(p, PG_TIMESTAMPTZ)->buf, pg_epoch(us));
}

static void add_tid(struct buf *buf, uint64_t place)
{
    buf_add_be32(buf, (uint32_t)(place >> 16));
    buf_add_be16(buf, (uint16_t)place);
}

void pg_add_place(struct pg_params *p, uint64_t place)
{
    add_tid(&next(p, PG_TID)->buf, place);
}

void pg_add_text(struct pg_params *p, struct span s)
{
    struct pg_param *v = next(p, PG_TEXT);

    buf_reserve(&v->buf, s.len);
    if (s.len)
        buf_add(&v->buf, s.data, s.len);
}

void pg_add_text_or_null(struct pg_params *p, struct span s)
{
    if (s.len)
        pg_add_text(p, s);
    else
        pg_add_null(p);
}

void pg_add_null(struct pg_params *p)
{
    next(p, PG_TEXT)->is_null = true;
}

struct pg_param *pg_add_array(struct pg_params *p, enum pg_type type)
{
    struct pg_param *v = next(p, type);

    v->is_array = true;
    /* Room for the header, written when the number of elements is known. */
    buf_add(&v->buf, (const char[ARRAY_HEADER]){0}, ARRAY_HEADER);
    return v;
}

void pg_arrays(struct pg_params *p, const enum pg_type *types, int n)
{
    for (int i = 0; i < n; i++)
        pg_add_array(p, types[i]);
}

void pg_put_int8(struct pg_param *a, int64_t v)
{
    buf_add_be32(&a->buf, 8);
    buf_add_be64(&a->buf, (uint64_t)v);
    a->n++;
}

void pg_put_int4(struct pg_param *a, int32_t v)
{
    buf_add_be32(&a->buf, 4);
    buf_add_be32(&a->buf, (uint32_t)v);
    a->n++;
}

void pg_put_int2(struct pg_param *a, int16_t v)
{
    buf_add_be32(&a->buf, 2);
    buf_add_be16(&a->buf, (uint16_t)v);
    a->n++;
}

void pg_put_double(struct pg_param *a, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    pg_put_int8(a, (int64_t)bits);
}

void pg_put_time(struct pg_param *a, int64_t us)
{
    if (us == 0)
        pg_put_null(a);
    else
        pg_put_int8(a, (int64_t)pg_epoch(us));
}

void pg_put_place(struct pg_param *a, uint64_t place)
{
    buf_add_be32(&a->buf, 6);
    add_tid(&a->buf, place);
    a->n++;
}

void pg_put_text(struct pg_param *a, struct span s)
{
    buf_add_be32(&a->buf, (uint32_t)s.len);
    if (s.len)
        buf_add(&a->buf, s.data, s.len);
    a->n++;
}

void pg_put_text_or_null(struct pg_param *a, struct span s)
{
    if (s.len)
        pg_put_text(a, s);
    else
        pg_put_null(a);
}

void pg_put_jsonb(struct pg_param *a, struct span s)
{
    if (s.len == 0) {
        pg_put_null(a);
        return;
    }
    buf_add_be32(&a->buf, (uint32_t)s.len + 1);
    buf_add_char(&a->buf, 1); /* version of the format */
    buf_add(&a->buf, s.data, s.len);
    a->n++;
}

void pg_put_null(struct pg_param *a)
{
    buf_add_be32(&a->buf, UINT32_MAX);
    a->has_null = true;
    a->n++;
}

/* Of the first element, with the length in front of it; 4: it is null. */
static size_t first_len(const struct pg_param *a)
{
    uint32_t len;

    memcpy(&len, a->buf.data + ARRAY_HEADER, sizeof len);
    return sizeof len + (len == UINT32_MAX ? 0 : ntohl(len));
}

bool pg_param_is_same(const struct pg_param *a)
{
    if (a->buf.failed)
        return false;
    const char *data = a->buf.data + ARRAY_HEADER;
    size_t len = a->buf.len - ARRAY_HEADER, first = first_len(a);

    /* Each element begins with its length, so what repeats its beginning to the end repeats its first element. */
    return len == (size_t)a->n * first && memcmp(data, data + first, len - first) == 0;
}

void pg_param_make_scalar(struct pg_param *a)
{
    size_t len = first_len(a) - 4;

    a->is_null = a->buf.data[ARRAY_HEADER] == (char)0xff;
    memmove(a->buf.data, a->buf.data + ARRAY_HEADER + 4, len);
    a->buf.len = len;
    a->is_array = false;
}

void pg_params_finish(struct pg_params *p)
{
    for (int i = 0; i < p->n; i++) {
        struct pg_param *v = &p->v[i];
        if (!v->is_array || v->buf.failed)
            continue;
        uint32_t header[5] = {htonl(v->n > 0), htonl(v->has_null), htonl(v->type), htonl((uint32_t)v->n), htonl(1)};
        memcpy(v->buf.data, header, sizeof header);
        if (v->n == 0)
            v->buf.len = 12; /* no dimension follows */
    }
}
