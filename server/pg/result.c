/* Reading binary results; see pg.h. A struct pg_result is libpq's PGresult under another name. Pure; the result may be
 * handed from thread to thread. */
#include <endian.h>
#include <libpq-fe.h>
#include <string.h>

#include "pg/pg.h"

enum { EPOCH_SECONDS = 946684800 };

static const PGresult *in(const struct pg_result *r)
{
    return (const PGresult *)r;
}

static uint16_t be16(const char *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return be16toh(v);
}

static uint32_t be32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return be32toh(v);
}

static uint64_t be64(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return be64toh(v);
}

int pg_rows(const struct pg_result *r)
{
    return PQntuples(in(r));
}

int pg_columns(const struct pg_result *r)
{
    return PQnfields(in(r));
}

bool pg_is_null(const struct pg_result *r, int row, int col)
{
    return PQgetisnull(in(r), row, col) != 0;
}

int64_t pg_int(const struct pg_result *r, int row, int col)
{
    const char *p = PQgetvalue(in(r), row, col);

    switch (PQgetlength(in(r), row, col)) {
    case 1:
        return *p != 0; /* bool */
    case 2:
        return (int16_t)be16(p);
    case 4:
        return (int32_t)be32(p);
    case 8:
        return (int64_t)be64(p);
    default:
        return 0;
    }
}

uint64_t pg_place(const struct pg_result *r, int row, int col)
{
    const char *p = PQgetvalue(in(r), row, col);

    return PQgetlength(in(r), row, col) == 6 ? (uint64_t)be32(p) << 16 | be16(p + 4) : 0;
}

double pg_double(const struct pg_result *r, int row, int col)
{
    const char *p = PQgetvalue(in(r), row, col);
    int len = PQgetlength(in(r), row, col);

    if (len == 4) {
        uint32_t bits = be32(p);
        float v;
        memcpy(&v, &bits, sizeof v);
        return (double)v;
    }
    if (len == 8) {
        uint64_t bits = be64(p);
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
    }
    return 0;
}

int64_t pg_time(const struct pg_result *r, int row, int col)
{
    if (PQgetlength(in(r), row, col) != 8)
        return 0;
    return (int64_t)be64(PQgetvalue(in(r), row, col)) + (int64_t)EPOCH_SECONDS * 1000000;
}

struct span pg_text(const struct pg_result *r, int row, int col)
{
    return span_of(PQgetvalue(in(r), row, col), (size_t)PQgetlength(in(r), row, col));
}

struct span pg_json(const struct pg_result *r, int row, int col)
{
    struct span s = pg_text(r, row, col);

    /* A byte of version, then the text. */
    return s.len ? span_of(s.data + 1, s.len - 1) : s;
}

void pg_add_ints(const struct pg_result *r, int row, int col, int64_t *sums, int n)
{
    struct span s = pg_text(r, row, col);

    if (s.len < 20 || be32(s.data) != 1)
        return;
    int32_t count = (int32_t)be32(s.data + 12), first = (int32_t)be32(s.data + 16);
    const char *p = s.data + 20, *end = s.data + s.len;
    for (int32_t i = 0; i < count && end - p >= 8; i++, p += 8) {
        int32_t at = first + i;
        if (at >= 0 && at < n)
            sums[at] += (int32_t)be32(p + 4);
    }
}

void pg_free(struct pg_result *r)
{
    PQclear((PGresult *)r);
}
