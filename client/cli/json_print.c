/* How JSON is printed. Texts from the server are taken apart no further than to where their strings begin and end: they
 * are JSON, and their numbers may be longer than any type of ours. Main thread. */
#include "json.h"

#include "text.h"

#include <stdlib.h>

/* ---- values within values ---- */

/* The first item of an array that stands for a text; the second is the text. Known by its address, so that nothing that
 * anybody wrote into a job can be taken for it. */
static json_t *raw_mark(void)
{
    static json_t *mark;
    if (!mark)
        mark = json_string("raw");
    return mark;
}

json_t *json_raw(const char *text)
{
    json_t *pair = json_array();
    json_array_append(pair, raw_mark());
    json_array_append_new(pair, json_string_nocheck(text));
    return pair;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bytes of the string that begins with the quote at text. */
static size_t string_len(const char *text)
{
    size_t n = 1;
    while (text[n] && text[n] != '"')
        n += text[n] == '\\' && text[n + 1] ? 2 : 1;
    return text[n] ? n + 1 : n;
}

static void print_compact(FILE *out, const char *text)
{
    while (*text) {
        size_t n = *text == '"' ? string_len(text) : 1;
        if (!is_space(*text))
            fwrite(text, 1, n, out);
        text += n;
    }
}

static void print_value(FILE *out, const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_array(value) && json_array_get(value, 0) == raw_mark()) {
        print_compact(out, json_string_value(json_array_get(value, 1)));
    } else if (json_is_array(value)) {
        putc('[', out);
        json_array_foreach(value, i, item)
        {
            if (i)
                putc(',', out);
            print_value(out, item);
        }
        putc(']', out);
    } else if (json_is_object(value)) {
        bool first = true;
        json_object_foreach((json_t *)value, key, item)
        {
            json_t *name = json_string(key);
            putc(first ? '{' : ',', out);
            json_dumpf(name, out, JSON_ENCODE_ANY);
            json_decref(name);
            putc(':', out);
            print_value(out, item);
            first = false;
        }
        fputs(first ? "{}" : "}", out);
    } else {
        json_dumpf(value, out, JSON_COMPACT | JSON_ENCODE_ANY);
    }
}

void json_print_line(json_t *value)
{
    print_value(stdout, value);
    putchar('\n');
    fflush(stdout);
    json_decref(value);
}

/* ---- for people ---- */

static void line_feed(FILE *out, int depth)
{
    putc('\n', out);
    for (int i = 0; i < depth; i++)
        fputs("  ", out);
}

static const char *skip_space(const char *text)
{
    while (is_space(*text))
        text++;
    return text;
}

static void print_indented(FILE *out, const char *text)
{
    int depth = 0;
    for (text = skip_space(text); *text; text = skip_space(text)) {
        size_t n = *text == '"' ? string_len(text) : 1;
        if (*text == '}' || *text == ']')
            line_feed(out, --depth);
        fwrite(text, 1, n, out);
        char c = *text;
        text = skip_space(text + n);
        if (c == ':') {
            putc(' ', out);
        } else if (c == ',') {
            line_feed(out, depth);
        } else if ((c == '{' || c == '[') && (*text == '}' || *text == ']')) {
            putc(*text++, out); /* an empty one stays on its line */
        } else if (c == '{' || c == '[') {
            line_feed(out, ++depth);
        }
    }
}

void json_print_pretty(FILE *out, const char *text, const char *indent)
{
    char *pretty = NULL;
    size_t len;
    FILE *memory = open_memstream(&pretty, &len);
    if (memory) {
        print_indented(memory, text);
        fclose(memory);
    }
    text_print_block(out, pretty ? pretty : text, indent);
    free(pretty);
}
