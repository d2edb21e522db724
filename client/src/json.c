/* See joblog/json.h. Pure. */
#include "joblog/json.h"

#include "base/json.h"
#include "client_priv.h"

int joblog_json_check(const char *text, size_t len, bool must_be_object, const char *field, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    json_check(span_of(text, len), must_be_object, field, &e);
    return error_give(error, &e);
}

bool joblog_json_member(const char *object, size_t len, const char *name, const char **ret_value, size_t *ret_len)
{
    char space[256];
    struct arena arena;
    struct span rest = span_of(object, len), raw, value, key;
    bool found = false;
    arena_init(&arena, space, sizeof space, 0);
    while (!found && json_next_member(&rest, &raw, &value)) {
        if (!json_decode_string(&arena, raw, &key))
            break;
        found = span_eq(key, span_str(name));
    }
    arena_done(&arena);
    if (found) {
        *ret_value = value.data;
        *ret_len = value.len;
    }
    return found;
}
