/* The checker: one pass, recursion bounded by JSON_DEPTH_MAX, no allocation unless an object has many keys. */
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/utf8.h"

enum { JSON_DEPTH_MAX = 64, KEYS_ON_STACK = 32 };
/* PostgreSQL's numeric holds 131072 digits before and 16383 after the point. */
enum { DIGITS_BEFORE_MAX = 131072, DIGITS_AFTER_MAX = 16383 };

/* A key that was met: the object it belongs to, and a hash of its decoded bytes. Two keys of one object with the same
 * 64 bits count as the same key: a forged collision only gets its own forger refused. */
struct key {
    uint64_t hash;
    uint32_t object;
};

struct checker {
    const char *at, *end, *start;
    const char *why; /* set on failure */
    int depth;
    uint32_t n_objects;
    struct key *keys;
    size_t n_keys, cap_keys;
    struct key first_keys[KEYS_ON_STACK];
};

static bool check_value(struct checker *c);

static bool fail(struct checker *c, const char *why)
{
    if (!c->why)
        c->why = why;
    return false;
}

static void skip_space(struct checker *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t'))
        c->at++;
}

static int hex4(const char *p)
{
    int v = 0;

    for (int i = 0; i < 4; i++) {
        char ch = p[i];
        int digit = ch >= '0' && ch <= '9'   ? ch - '0'
                    : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                    : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
                                             : -1;
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

static void hash_byte(uint64_t *h, unsigned char byte)
{
    *h = (*h ^ byte) * UINT64_C(1099511628211);
}

static void hash_code_point(uint64_t *h, uint32_t cp)
{
    if (cp < 0x80) {
        hash_byte(h, (unsigned char)cp);
    } else if (cp < 0x800) {
        hash_byte(h, (unsigned char)(0xc0 | cp >> 6));
        hash_byte(h, (unsigned char)(0x80 | (cp & 63)));
    } else if (cp < 0x10000) {
        hash_byte(h, (unsigned char)(0xe0 | cp >> 12));
        hash_byte(h, (unsigned char)(0x80 | (cp >> 6 & 63)));
        hash_byte(h, (unsigned char)(0x80 | (cp & 63)));
    } else {
        hash_byte(h, (unsigned char)(0xf0 | cp >> 18));
        hash_byte(h, (unsigned char)(0x80 | (cp >> 12 & 63)));
        hash_byte(h, (unsigned char)(0x80 | (cp >> 6 & 63)));
        hash_byte(h, (unsigned char)(0x80 | (cp & 63)));
    }
}

/* at stands after "\u". */
static bool check_unicode_escape(struct checker *c, uint64_t *h)
{
    int first = c->end - c->at >= 4 ? hex4(c->at) : -1;

    if (first < 0)
        return fail(c, "a \\u needs four hex digits");
    if (first == 0)
        return fail(c, "\\u0000 cannot be stored");
    c->at += 4;
    if (first < 0xd800 || first > 0xdfff) {
        hash_code_point(h, (uint32_t)first);
        return true;
    }
    int second = c->end - c->at >= 6 && c->at[0] == '\\' && c->at[1] == 'u' ? hex4(c->at + 2) : -1;
    if (first > 0xdbff || second < 0xdc00 || second > 0xdfff)
        return fail(c, "a surrogate stands alone");
    c->at += 6;
    hash_code_point(h, 0x10000u + ((uint32_t)(first - 0xd800) << 10) + (uint32_t)(second - 0xdc00));
    return true;
}

/* at stands after the backslash. */
static bool check_escape(struct checker *c, uint64_t *h)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;

    if (c->at == c->end)
        return fail(c, "a string does not end");
    char ch = *c->at++;
    if (ch == 'u')
        return check_unicode_escape(c, h);
    found = ch ? strchr(from, ch) : NULL;
    if (!found)
        return fail(c, "an escape that JSON does not know");
    hash_byte(h, (unsigned char)to[found - from]);
    return true;
}

/* at stands on a byte of 0x80 or above. */
static bool check_utf8(struct checker *c, uint64_t *h)
{
    const unsigned char *p = (const unsigned char *)c->at;
    size_t n = utf8_len(p, (size_t)(c->end - c->at));

    if (n == 0)
        return fail(c, "text is not UTF-8");
    for (size_t i = 0; i < n; i++)
        hash_byte(h, p[i]);
    c->at += n;
    return true;
}

/* at stands on the opening quote. */
static bool check_string(struct checker *c, uint64_t *ret_hash)
{
    uint64_t h = UINT64_C(14695981039346656037);

    c->at++;
    while (c->at < c->end) {
        unsigned char ch = (unsigned char)*c->at;
        if (ch == '"') {
            c->at++;
            *ret_hash = h;
            return true;
        }
        if (ch == '\\') {
            c->at++;
            if (!check_escape(c, &h))
                return false;
        } else if (ch >= 0x80) {
            if (!check_utf8(c, &h))
                return false;
        } else if (ch < 0x20) {
            return fail(c, "a control character in a string must be escaped");
        } else {
            hash_byte(&h, ch);
            c->at++;
        }
    }
    return fail(c, "a string does not end");
}

static int64_t skip_digits(struct checker *c)
{
    const char *from = c->at;

    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    return c->at - from;
}

static bool check_number(struct checker *c)
{
    int64_t before, after = 0, exponent = 0;

    if (*c->at == '-')
        c->at++;
    bool zero = c->at < c->end && *c->at == '0';
    before = skip_digits(c);
    if (before == 0 || (zero && before > 1))
        return fail(c, "a value is expected here");
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        after = skip_digits(c);
        if (after == 0)
            return fail(c, "digits are missing after the point");
    }
    if (c->at < c->end && (*c->at == 'e' || *c->at == 'E')) {
        c->at++;
        bool minus = c->at < c->end && *c->at == '-';
        if (c->at < c->end && (*c->at == '-' || *c->at == '+'))
            c->at++;
        const char *digits = c->at;
        int64_t n = skip_digits(c);
        if (n == 0)
            return fail(c, "digits are missing in the exponent");
        for (int64_t i = 0; i < n && exponent < 1000000; i++)
            exponent = exponent * 10 + (digits[i] - '0');
        exponent = minus ? -exponent : exponent;
    }
    if (before + exponent > DIGITS_BEFORE_MAX || after - exponent > DIGITS_AFTER_MAX)
        return fail(c, "a number is too large or too fine to be stored");
    return true;
}

static bool add_key(struct checker *c, uint32_t object, uint64_t hash)
{
    if (c->n_keys == c->cap_keys) {
        size_t cap = c->cap_keys * 2;
        struct key *keys = mem_alloc(cap * sizeof *keys);
        if (!keys)
            return fail(c, "out of memory");
        memcpy(keys, c->keys, c->n_keys * sizeof *keys);
        if (c->keys != c->first_keys)
            mem_free(c->keys);
        c->keys = keys;
        c->cap_keys = cap;
    }
    c->keys[c->n_keys++] = (struct key){hash, object};
    return true;
}

static int compare_keys(const void *pa, const void *pb)
{
    const struct key *a = pa, *b = pb;

    return a->hash != b->hash ? (a->hash > b->hash) - (a->hash < b->hash)
                              : (a->object > b->object) - (a->object < b->object);
}

/* Of the keys from `first` on, which belong to `object` and to objects within it that were looked at before, whose keys
 * are gone: an object takes its keys off when it ends. */
static bool keys_differ(struct checker *c, size_t first)
{
    struct key *keys = c->keys + first;
    size_t n = c->n_keys - first;

    if (n > 8)
        qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 0; i < n; i++) {
        size_t last = n > 8 ? (i + 2 < n ? i + 2 : n) : n;
        for (size_t k = i + 1; k < last; k++) {
            if (keys[i].hash == keys[k].hash && keys[i].object == keys[k].object)
                return fail(c, "a key stands twice in one object");
        }
    }
    return true;
}

static bool check_object(struct checker *c)
{
    uint32_t object = c->n_objects++;
    size_t first_key = c->n_keys;
    uint64_t hash;

    c->at++;
    skip_space(c);
    if (c->at < c->end && *c->at == '}') {
        c->at++;
        return true;
    }
    for (;;) {
        skip_space(c);
        if (c->at == c->end || *c->at != '"')
            return fail(c, "a key in quotes is expected here");
        if (!check_string(c, &hash) || !add_key(c, object, hash))
            return false;
        skip_space(c);
        if (c->at == c->end || *c->at != ':')
            return fail(c, "a colon is expected here");
        c->at++;
        if (!check_value(c))
            return false;
        skip_space(c);
        if (c->at < c->end && *c->at == ',') {
            c->at++;
            continue;
        }
        if (c->at == c->end || *c->at != '}')
            return fail(c, "a comma or } is expected here");
        c->at++;
        if (!keys_differ(c, first_key))
            return false;
        c->n_keys = first_key;
        return true;
    }
}

static bool check_array(struct checker *c)
{
    c->at++;
    skip_space(c);
    if (c->at < c->end && *c->at == ']') {
        c->at++;
        return true;
    }
    for (;;) {
        if (!check_value(c))
            return false;
        skip_space(c);
        if (c->at < c->end && *c->at == ',') {
            c->at++;
            continue;
        }
        if (c->at == c->end || *c->at != ']')
            return fail(c, "a comma or ] is expected here");
        c->at++;
        return true;
    }
}

static bool check_word(struct checker *c, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0)
        return fail(c, "a value is expected here");
    c->at += len;
    return true;
}

static bool check_value(struct checker *c)
{
    uint64_t hash;
    bool good;

    skip_space(c);
    if (c->at == c->end)
        return fail(c, "the text ends where a value is expected");
    switch (*c->at) {
    case '{':
    case '[':
        if (c->depth == JSON_DEPTH_MAX)
            return fail(c, "nested deeper than 64");
        c->depth++;
        good = *c->at == '{' ? check_object(c) : check_array(c);
        c->depth--;
        return good;
    case '"':
        return check_string(c, &hash);
    case 't':
        return check_word(c, "true");
    case 'f':
        return check_word(c, "false");
    case 'n':
        return check_word(c, "null");
    default:
        return check_number(c);
    }
}

static int report(const struct checker *c, const char *field, struct err *ret_err)
{
    int line = 1, column = 1;

    for (const char *p = c->start; p < c->at; p++) {
        column++;
        if (*p == '\n') {
            line++;
            column = 1;
        }
    }
    return err_field(ret_err, field, "%s: not valid JSON at line %d, column %d: %s", field, line, column, c->why);
}

int json_check(struct span text, bool must_be_object, const char *field, struct err *ret_err)
{
    struct checker c;
    bool good;

    if (text.len == 0)
        return err_field(ret_err, field, "%s: empty, must be JSON", field);
    c.start = c.at = text.data;
    c.end = text.data + text.len;
    c.why = NULL;
    c.depth = 0;
    c.n_objects = 0;
    c.keys = c.first_keys;
    c.n_keys = 0;
    c.cap_keys = KEYS_ON_STACK;
    skip_space(&c);
    if (must_be_object && (c.at == c.end || *c.at != '{')) {
        c.why = "a JSON object is expected";
        return report(&c, field, ret_err);
    }
    good = check_value(&c);
    if (good) {
        skip_space(&c);
        good = c.at == c.end || fail(&c, "text follows after the value");
    }
    if (c.keys != c.first_keys)
        mem_free(c.keys);
    return good ? 0 : report(&c, field, ret_err);
}
