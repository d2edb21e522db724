/* See point.h. Pure. */
#include "store/point.h"

static void add_number(struct buf *buf, int64_t n)
{
    char digits[16];
    int i = sizeof digits;

    do {
        digits[--i] = "0123456789abcdefghijklmnopqrstuvwxyz"[n % 36];
        n /= 36;
    } while (n > 0);
    buf_add(buf, digits + i, sizeof digits - (size_t)i);
}

void point_write(const struct point *point, struct buf *buf)
{
    add_number(buf, point->time_us);
    for (int i = 0; i < POINT_REPLICAS; i++) {
        if (point->batch[i] < 0)
            continue;
        buf_add_char(buf, '.');
        add_number(buf, i);
        buf_add_char(buf, '-');
        add_number(buf, point->batch[i]);
    }
}

/* Takes a number off the front; at least one digit, at most 12. */
static bool take_number(struct span *text, int64_t *ret)
{
    int64_t n = 0;
    size_t i = 0;

    for (; i < text->len && i < 12; i++) {
        char c = text->data[i];
        if (c >= '0' && c <= '9')
            n = n * 36 + (c - '0');
        else if (c >= 'a' && c <= 'z')
            n = n * 36 + (c - 'a' + 10);
        else
            break;
    }
    text->data += i;
    text->len -= i;
    *ret = n;
    return i > 0;
}

static bool take_char(struct span *text, char c)
{
    if (text->len == 0 || text->data[0] != c)
        return false;
    text->data++;
    text->len--;
    return true;
}

int point_read(struct span text, const char *field, struct point *ret, struct err *ret_err)
{
    struct point p = {.time_us = 0};
    int64_t replica = 0, last = -1;
    bool good = take_number(&text, &p.time_us);

    for (int i = 0; i < POINT_REPLICAS; i++)
        p.batch[i] = -1;
    while (good && text.len > 0) {
        good = take_char(&text, '.') && take_number(&text, &replica) && replica < POINT_REPLICAS && replica > last &&
               take_char(&text, '-') && take_number(&text, &p.batch[replica]);
        last = replica;
    }
    if (!good)
        return err_field(ret_err, field, "%s is not one that this service gave", field);
    *ret = p;
    return 0;
}
