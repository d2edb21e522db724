/* Encoding and decoding of google.rpc.Status; see status.h. */
#include "status.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/utf8.h"
#include "wire.h"

#define TYPE_PREFIX "type.googleapis.com/"
#define ERROR_INFO  "google.rpc.ErrorInfo"  /* reason = 1, domain = 2 */
#define BAD_REQUEST "google.rpc.BadRequest" /* field_violations = 1 { field = 1, description = 2 } */
#define RETRY_INFO  "google.rpc.RetryInfo"  /* retry_delay = 1 { seconds = 1, nanos = 2 } */

enum { DOMAIN_MAX = 128, PART_ROOM = 512 };

struct out {
    char *at;
    size_t len, room;
};

static void put_varint(struct out *o, uint64_t v)
{
    do {
        assert(o->len < o->room);
        o->at[o->len++] = (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v);
}

static void put_number(struct out *o, uint32_t field, uint64_t v)
{
    if (v == 0)
        return;
    put_varint(o, field << 3 | WIRE_VARINT);
    put_varint(o, v);
}

static void put_bytes(struct out *o, uint32_t field, const char *data, size_t len)
{
    put_varint(o, field << 3 | WIRE_BYTES);
    put_varint(o, len);
    assert(len <= o->room - o->len);
    memcpy(o->at + o->len, data, len);
    o->len += len;
}

static void put_text(struct out *o, uint32_t field, const char *s)
{
    if (*s)
        put_bytes(o, field, s, strlen(s));
}

/* details = 3: google.protobuf.Any { type_url = 1, value = 2 } */
static void put_detail(struct out *o, const char *type_url, const struct out *value)
{
    char room[PART_ROOM + 64];
    struct out any = {room, 0, sizeof room};
    put_text(&any, 1, type_url);
    put_bytes(&any, 2, value->at, value->len);
    put_bytes(o, 3, any.at, any.len);
}

static void put_error_info(struct out *o, const struct err *err, const char *domain)
{
    char room[PART_ROOM];
    struct out info = {room, 0, sizeof room};
    put_text(&info, 1, err->reason[0] ? err->reason : err_code_name(err->code));
    size_t n = strnlen(domain, DOMAIN_MAX);
    if (n)
        put_bytes(&info, 2, domain, n);
    put_detail(o, TYPE_PREFIX ERROR_INFO, &info);
}

static void put_bad_request(struct out *o, const struct err *err)
{
    char room[PART_ROOM], all_room[PART_ROOM];
    struct out violation = {room, 0, sizeof room}, all = {all_room, 0, sizeof all_room};
    put_text(&violation, 1, err->field);
    put_text(&violation, 2, err->msg);
    put_bytes(&all, 1, violation.at, violation.len);
    put_detail(o, TYPE_PREFIX BAD_REQUEST, &all);
}

static void put_retry_info(struct out *o, const struct err *err)
{
    char room[64], all_room[64];
    struct out delay = {room, 0, sizeof room}, all = {all_room, 0, sizeof all_room};
    put_number(&delay, 1, (uint64_t)err->retry_after_ms / 1000);
    put_number(&delay, 2, (uint64_t)err->retry_after_ms % 1000 * 1000000);
    put_bytes(&all, 1, delay.at, delay.len);
    put_detail(o, TYPE_PREFIX RETRY_INFO, &all);
}

size_t status_encode(const struct err *err, const char *domain, char *out)
{
    struct out o = {out, 0, STATUS_ROOM};
    put_number(&o, 1, (uint64_t)err->code);
    put_text(&o, 2, err->msg);
    put_error_info(&o, err, domain);
    if (err->field[0])
        put_bad_request(&o, err);
    if (err->retry_after_ms > 0)
        put_retry_info(&o, err);
    return o.len;
}

/* First field of that number that is bytes; len 0 when there is none. */
static struct span find_bytes(struct span in, uint32_t number)
{
    const uint8_t *at = (const uint8_t *)in.data, *end = at + in.len;
    struct wire_field f;
    while (at < end && wire_next(&at, end, &f))
        if (f.number == number && f.type == WIRE_BYTES)
            return f.bytes;
    return SPAN_LIT("");
}

static uint64_t find_number(struct span in, uint32_t number)
{
    const uint8_t *at = (const uint8_t *)in.data, *end = at + in.len;
    struct wire_field f;
    while (at < end && wire_next(&at, end, &f))
        if (f.number == number && f.type == WIRE_VARINT)
            return f.value;
    return 0;
}

/* As much as fits, never half a UTF-8 sequence. A peer may send any bytes; what is no UTF-8, or a NUL, becomes "?". */
static void copy_text(char *out, size_t room, struct span in)
{
    const uint8_t *p = (const uint8_t *)in.data;
    size_t n = 0;
    for (size_t at = 0; at < in.len;) {
        size_t len = utf8_len(p + at, in.len - at);
        if (n + (len ? len : 1) >= room)
            break;
        if (len)
            memcpy(out + n, p + at, len);
        else
            out[n] = '?';
        n += len ? len : 1;
        at += len ? len : 1;
    }
    out[n] = '\0';
}

void status_set_msg(struct err *err, struct span msg)
{
    copy_text(err->msg, sizeof err->msg, msg);
}

static int32_t delay_ms(struct span delay)
{
    uint64_t s = find_number(delay, 1), ns = find_number(delay, 2);
    if (s > INT32_MAX / 1000 - 1 || ns >= 1000000000) /* negative ones are huge here */
        return s >> 63 || ns >> 63 ? 0 : INT32_MAX;
    return (int32_t)(s * 1000 + (ns + 999999) / 1000000);
}

static void decode_detail(struct span any, struct err *io_err)
{
    struct span url = find_bytes(any, 1), value = find_bytes(any, 2);
    if (span_eq(url, SPAN_LIT(TYPE_PREFIX ERROR_INFO)))
        copy_text(io_err->reason, sizeof io_err->reason, find_bytes(value, 1));
    else if (span_eq(url, SPAN_LIT(TYPE_PREFIX BAD_REQUEST)))
        copy_text(io_err->field, sizeof io_err->field, find_bytes(find_bytes(value, 1), 1));
    else if (span_eq(url, SPAN_LIT(TYPE_PREFIX RETRY_INFO)))
        io_err->retry_after_ms = delay_ms(find_bytes(value, 1));
}

void status_decode(struct span details, struct err *io_err)
{
    if (!details.len)
        return;
    const uint8_t *at = (const uint8_t *)details.data, *end = at + details.len;
    struct wire_field f;
    while (at < end && wire_next(&at, end, &f))
        if (f.number == 3 && f.type == WIRE_BYTES)
            decode_detail(f.bytes, io_err);
}
