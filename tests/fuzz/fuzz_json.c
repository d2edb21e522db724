/* The check of JSON texts (payloads, results): what it passes is JSON for another parser as well, its members can be
 * walked and their texts decoded, and merged with itself it stays what it is. */
#include <string.h>

#include <jansson.h>

#include "base/json.h"
#include "base/utf8.h"
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static bool is_utf8(struct span s)
{
    const uint8_t *at = (const uint8_t *)s.data, *end = at + s.len;
    while (at < end) {
        size_t n = utf8_len(at, (size_t)(end - at));
        if (!n)
            return false;
        at += n;
    }
    return true;
}

static size_t walk(struct span object)
{
    struct span rest = object, key, value, text;
    size_t n = 0;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    for (; json_next_member(&rest, &key, &value); n++) {
        HOLDS(json_check(key, false, "key", NULL) == 0 && json_check(value, false, "value", NULL) == 0);
        HOLDS(json_decode_string(&arena, key, &text) && is_utf8(text));
        struct buf again = BUF_INIT;
        json_add_string(&again, text);
        HOLDS(json_check(buf_span(&again), false, "key", NULL) == 0);
        struct span decoded;
        HOLDS(json_decode_string(&arena, buf_span(&again), &decoded) && span_eq(decoded, text));
        buf_done(&again);
        if (json_decode_string(&arena, value, &text))
            HOLDS(is_utf8(text));
    }
    arena_done(&arena);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of((const char *)input_of(data, size).at, size);
    struct err err = ERR_NONE;
    if (json_check(text, false, "payload", &err) < 0) {
        HOLDS(err.code == ERR_INVALID_ARGUMENT && strcmp(err.field, "payload") == 0 && err.msg[0]);
        HOLDS(is_utf8(span_str(err.msg)));
        HOLDS(json_check(text, true, "payload", NULL) < 0);
        return 0;
    }
    json_error_t fault;
    json_t *other = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &fault);
    /* Numbers are the one thing that PostgreSQL takes and jansson has no room for. */
    HOLDS(other || json_error_code(&fault) == json_error_numeric_overflow);
    bool object = json_check(text, true, "payload", NULL) == 0;
    if (other)
        HOLDS(object == json_is_object(other));
    if (object) {
        size_t n = walk(text);
        if (other)
            HOLDS(n == json_object_size(other));
        struct buf merged = BUF_INIT;
        HOLDS(json_merge(&merged, text, text));
        HOLDS(json_check(buf_span(&merged), true, "payload", NULL) == 0);
        HOLDS(walk(buf_span(&merged)) == n);
        buf_done(&merged);
    }
    json_decref(other);
    return 0;
}
