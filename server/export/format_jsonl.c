/* JSON Lines: an object a row. The escapes of COPY's text format are nearly those of JSON, so a text is copied but for
 * a few bytes. */
#include "base/alloc.h"
#include "export/format_priv.h"

struct jsonl {
    struct export_encoder encoder; /* first */
    const struct export_field *fields;
    size_t n_fields;
    struct export_out *out;
    struct span *keys; /* {"id":  and  ,"email": */
    struct buf key_text;
};

/* 1: cannot stand in a JSON string as COPY writes it. A backslash can, unless it is that of \v. */
static const unsigned char special[256] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,         1,
                                           1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ['"'] = 1, ['\\'] = 2};

static int add_text(struct export_out *out, struct span text)
{
    static const char hex[] = "0123456789abcdef";
    const char *p = text.data, *end = text.data + text.len, *done = p;
    if (export_out_add(out, "\"", 1) != 0)
        return -1;
    while (p < end) {
        unsigned char c = (unsigned char)*p;
        if (__builtin_expect(!special[c], 1)) {
            p++;
            continue;
        }
        if (c == '\\' && p + 1 < end && p[1] != 'v') {
            p += 2;
            continue;
        }
        bool is_v = c == '\\';
        unsigned value = is_v ? 0x0b : c;
        char escape[6] = {'\\', 'u', '0', '0', hex[value >> 4], hex[value & 15]};
        if (export_out_add(out, done, (size_t)(p - done)) != 0 ||
            (c == '"' ? export_out_add(out, "\\\"", 2) : export_out_add(out, escape, 6)) != 0)
            return -1;
        p += is_v ? 2 : 1;
        done = p;
    }
    return export_out_add(out, done, (size_t)(end - done)) != 0 ? -1 : export_out_add(out, "\"", 1);
}

/* JSON that PostgreSQL made or has checked: only COPY's escapes are undone. A line break in it is white space. */
static int add_json(struct export_out *out, struct span text)
{
    const char *p = text.data, *end = text.data + text.len;
    while (p < end) {
        const char *back = memchr(p, '\\', (size_t)(end - p));
        size_t run = (size_t)((back ? back : end) - p);
        if (export_out_add(out, p, run) != 0)
            return -1;
        if (!back || back + 1 >= end)
            return 0;
        if (export_out_add(out, back[1] == '\\' ? "\\" : " ", 1) != 0)
            return -1;
        p = back + 2;
    }
    return 0;
}

/* "2026-01-31 12:00:00.5+00" as RFC 3339 has it. Years of five digits, those before Christ and infinity stay as they
 * are. */
static int add_time(struct export_out *out, struct span text)
{
    char room[40];
    if (text.len < 19 || text.len > 32 || text.data[10] != ' ' || text.data[text.len - 1] == 'C')
        return add_text(out, text);
    memcpy(room, text.data, text.len);
    room[10] = 'T';
    size_t len = text.len;
    if (memcmp(room + len - 3, "+00", 3) == 0) {
        room[len - 3] = 'Z';
        len -= 2;
    }
    return add_text(out, span_of(room, len));
}

static int add_value(struct export_out *out, enum export_value value, struct span text)
{
    int digits;
    switch (value) {
    case EXPORT_VALUE_INTEGER:
    case EXPORT_VALUE_NUMBER:
        return export_is_number(text, &digits) ? export_out_add(out, text.data, text.len) : add_text(out, text);
    case EXPORT_VALUE_BOOLEAN:
        if (text.len == 1 && (*text.data == 't' || *text.data == 'f'))
            return export_out_str(out, *text.data == 't' ? "true" : "false");
        return add_text(out, text);
    case EXPORT_VALUE_JSON:
        return add_json(out, text);
    case EXPORT_VALUE_TIMESTAMP:
        return add_time(out, text);
    default:
        return add_text(out, text);
    }
}

static int jsonl_row(struct export_encoder *encoder, struct span row)
{
    struct jsonl *j = (struct jsonl *)encoder;
    const char *at = row.data, *end = row.data + row.len;
    struct span text;
    if (end > at && end[-1] == '\n')
        end--;
    for (size_t i = 0; i < j->n_fields; i++) {
        if (export_out_add(j->out, j->keys[i].data, j->keys[i].len) != 0)
            return -1;
        bool there = export_copy_field(&at, end, &text);
        if ((there ? add_value(j->out, j->fields[i].value, text) : export_out_add(j->out, "null", 4)) != 0)
            return -1;
    }
    return export_out_add(j->out, "}\n", 2);
}

static int jsonl_nothing(struct export_encoder *encoder)
{
    (void)encoder;
    return 0;
}

static void jsonl_free(struct export_encoder *encoder)
{
    struct jsonl *j = (struct jsonl *)encoder;
    buf_done(&j->key_text);
    mem_free(j->keys);
    mem_free(j);
}

/* Names of columns as JSON: quotes, backslashes and control characters escaped. */
static void add_key(struct buf *out, const char *name, bool first)
{
    buf_add_str(out, first ? "{\"" : ",\"");
    for (; *name; name++) {
        if (*name == '"' || *name == '\\')
            buf_add_char(out, '\\');
        if ((unsigned char)*name < 0x20)
            buf_printf(out, "\\u%04x", (unsigned)*name);
        else
            buf_add_char(out, *name);
    }
    buf_add_str(out, "\":");
}

static bool make_keys(struct jsonl *j)
{
    j->keys = mem_zalloc(j->n_fields * sizeof *j->keys);
    size_t at = 0;
    for (size_t i = 0; i < j->n_fields; i++)
        add_key(&j->key_text, j->fields[i].name, i == 0);
    if (!j->keys || j->key_text.failed)
        return false;
    struct buf one = BUF_INIT; /* its length only: the text lies in key_text */
    for (size_t i = 0; i < j->n_fields; i++) {
        buf_clear(&one);
        add_key(&one, j->fields[i].name, i == 0);
        j->keys[i] = span_of(j->key_text.data + at, one.len);
        at += one.len;
    }
    bool ok = !one.failed;
    buf_done(&one);
    return ok;
}

struct export_encoder *export_jsonl_new(const struct export_field *fields, size_t n_fields, struct export_out *out)
{
    struct jsonl *j = mem_zalloc(sizeof *j);
    if (!j)
        return NULL;
    j->encoder =
        (struct export_encoder){.begin = jsonl_nothing, .row = jsonl_row, .end = jsonl_nothing, .free = jsonl_free};
    j->fields = fields;
    j->n_fields = n_fields;
    j->out = out;
    if (!make_keys(j)) {
        jsonl_free(&j->encoder);
        return NULL;
    }
    return &j->encoder;
}
