/* A helper of the shell tests: reads JSON values, one a line, from standard input, and prints from each what stands at
 * PATH ("job.progress.percent", "attempts.0.outcome"; "" for the value itself; texts without quotes). Exit code 1 when
 * there is no line, a line is not JSON, or one has nothing at PATH. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *find(json_t *value, const char *path)
{
    char *copy = strdup(path), *rest = copy, *key;
    while (value && copy && (key = strsep(&rest, ".")) && *key)
        value = json_is_array(value) ? json_array_get(value, (size_t)atoi(key)) : json_object_get(value, key);
    free(copy);
    return value;
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t size = 0, n = 0;
    ssize_t len;
    for (; (len = getline(&line, &size, stdin)) > 0; n++) {
        json_error_t error;
        json_t *root = json_loadb(line, (size_t)len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
        if (!root) {
            fprintf(stderr, "line %zu is no JSON: %s: %s", n + 1, error.text, line);
            return 1;
        }
        json_t *value = find(root, argc > 1 ? argv[1] : "");
        if (!value) {
            fprintf(stderr, "line %zu has no %s: %s", n + 1, argv[1], line);
            return 1;
        }
        if (json_is_string(value))
            fputs(json_string_value(value), stdout);
        else
            json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
        putchar('\n');
        json_decref(root);
    }
    free(line);
    return n ? 0 : 1;
}
