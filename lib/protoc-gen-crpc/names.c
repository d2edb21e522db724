/* How names of a .proto become names of C. protobuf-c's rules are its generator's, which knows only ASCII: "a" to "z"
 * and "A" to "Z" have a case, nothing else has. */
#include "names.h"

#include <stdint.h>
#include <string.h>

#include "text.h"

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char to_lower(char c)
{
    return is_upper(c) ? (char)(c - 'A' + 'a') : c;
}

static char to_upper(char c)
{
    return is_lower(c) ? (char)(c - 'a' + 'A') : c;
}

bool names_is_valid(const char *name, bool with_dots)
{
    bool first = true;
    for (const char *s = name ? name : ""; *s; s++) {
        bool letter = is_upper(*s) || is_lower(*s) || *s == '_';
        bool dot = *s == '.' && with_dots && !first;
        if (!letter && !dot && (first || !is_digit(*s)))
            return false;
        first = dot;
    }
    return !first;
}

char *names_protobuf_c_type(struct pool *pool, const char *full_name)
{
    struct text text = text_new(pool);
    bool next_is_upper = true;
    for (const char *s = full_name; *s; s++) {
        if (*s == '.') {
            text_add(&text, "__");
            next_is_upper = true;
        } else if (*s == '_') {
            next_is_upper = true;
        } else {
            text_char(&text, next_is_upper ? to_upper(*s) : *s);
            next_is_upper = false;
        }
    }
    return text.data;
}

char *names_protobuf_c_lower(struct pool *pool, const char *full_name)
{
    struct text text = text_new(pool);
    bool was_upper = true;
    for (const char *s = full_name; *s; s++) {
        if (*s == '.') {
            text_add(&text, "__");
            was_upper = true;
            continue;
        }
        if (is_upper(*s) && !was_upper)
            text_char(&text, '_');
        text_char(&text, to_lower(*s));
        was_upper = is_upper(*s);
    }
    return text.data;
}

/* A word begins at an upper-case letter after anything but one, and at the last of several before a lower-case one. */
static bool word_begins(const char *name, const char *s)
{
    if (s == name || !is_upper(*s))
        return false;
    return !is_upper(s[-1]) || is_lower(s[1]);
}

char *names_snake(struct pool *pool, const char *name)
{
    struct text text = text_new(pool);
    bool gap = false;
    for (const char *s = name; *s; s++) {
        if (!is_upper(*s) && !is_lower(*s) && !is_digit(*s)) {
            gap = true;
            continue;
        }
        if ((gap || word_begins(name, s)) && text.len)
            text_char(&text, '_');
        gap = false;
        text_char(&text, to_lower(*s));
    }
    /* "_2" is a name in a .proto, and so is a file "2.proto"; in C a digit cannot come first. */
    if (text.len == 0 || is_digit(text.data[0]))
        return pool_printf(pool, "n%s", text.data);
    return text.data;
}

char *names_upper(struct pool *pool, const char *name)
{
    char *upper = pool_strdup(pool, name);
    for (char *s = upper; *s; s++)
        *s = to_upper(*s);
    return upper;
}

char *names_stem(struct pool *pool, const char *file_name)
{
    static const char *const suffixes[] = {".protodevel", ".proto"};
    size_t len = strlen(file_name);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        size_t n = strlen(suffixes[i]);
        if (len >= n && strcmp(file_name + len - n, suffixes[i]) == 0)
            return pool_strndup(pool, file_name, len - n);
    }
    return pool_strdup(pool, file_name);
}

char *names_guard(struct pool *pool, const char *file_name)
{
    struct text text = text_new(pool);
    text_add(&text, "CRPC_");
    for (const char *s = file_name; *s; s++) {
        if (is_upper(*s) || is_lower(*s) || is_digit(*s))
            text_char(&text, *s);
        else
            text_printf(&text, "_%02x", (unsigned char)*s);
    }
    text_add(&text, "_INCLUDED");
    return text.data;
}

/* Words that no name may be: of C11, C23 and GNU C, and macros of compilers and of the headers that come along. */
static const char *const keywords[] = {
    "alignas",  "alignof",  "asm",      "assert",        "auto",     "bool",    "break",
    "case",     "char",     "const",    "constexpr",     "continue", "default", "do",
    "double",   "else",     "enum",     "errno",         "extern",   "false",   "float",
    "for",      "goto",     "if",       "inline",        "int",      "linux",   "long",
    "noreturn", "nullptr",  "offsetof", "register",      "restrict", "return",  "short",
    "signed",   "sizeof",   "static",   "static_assert", "struct",   "switch",  "thread_local",
    "true",     "typedef",  "typeof",   "typeof_unqual", "union",    "unix",    "unsigned",
    "void",     "volatile", "while"};

/* Parameters and locals of the generated functions, which a name of the file's scope would be shadowed by. */
static const char *const locals[] = {"call",    "channel",      "events",  "handlers", "list",   "loop",
                                     "msg",     "on_done",      "options", "request",  "result", "ret_err",
                                     "ret_msg", "ret_response", "server",  "step",     "stream", "user"};

static bool is_in(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}

bool names_is_free(const struct names *names, const char *name)
{
    if (is_in(name, keywords, sizeof keywords / sizeof keywords[0]))
        return false;
    if (!names->members && is_in(name, locals, sizeof locals / sizeof locals[0]))
        return false;
    return !is_in(name, names->list, names->n);
}

void names_take(struct names *names, const char *name)
{
    if (names->n == names->cap) {
        size_t cap = names->cap * 2 + 32;
        const char **list = pool_array(names->pool, cap, sizeof *list);
        if (names->n)
            memcpy(list, names->list, names->n * sizeof *list);
        names->list = list;
        names->cap = cap;
    }
    names->list[names->n++] = name;
}

const char *names_claim(struct names *names, const char *name)
{
    while (!names_is_free(names, name))
        name = pool_printf(names->pool, "%s_", name);
    names_take(names, name);
    return name;
}
