/* The table of docs/security.md says what core/rights_table.h does. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rights.h"

/* "dispatcher, viewer" as the document has it. */
static const char *who(const struct right *right, char *text, size_t size)
{
    size_t len = 0;
    if (right->roles & RIGHT_OPEN)
        return "everyone";
    if (right->roles & RIGHT_ANY)
        return "anyone known";
    text[0] = 0;
    for (unsigned role = ROLE_DISPATCHER; role < 1u << ROLE_COUNT; role <<= 1)
        if (right->roles & role)
            len += (size_t)snprintf(text + len, size - len, "%s%s", len ? ", " : "", role_name(role));
    return len ? text : "admin";
}

static char *read_document(void)
{
    FILE *f = fopen(SOURCE_DIR "/docs/security.md", "r");
    char *text = calloc(1, 1 << 20);
    assert_non_null(f);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static void the_document_has_every_line(void **state)
{
    char *text = read_document();
    size_t n;
    const struct right *table = rights_table(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        /* "/joblog.v1.JobLogService/GetJob": the service's last word, and the method. */
        char service[100], line[200], roles[100];
        const char *slash = strrchr(table[i].path, '/');
        snprintf(service, sizeof service, "%.*s", (int)(slash - table[i].path), table[i].path);
        snprintf(line, sizeof line, "\n| %s | %s | %s |", strrchr(service, '.') + 1, slash + 1,
                 who(&table[i], roles, sizeof roles));
        if (!strstr(text, line))
            fail_msg("docs/security.md lacks the line:%s", line);
    }
    free(text);
}

/* No line of the document is about a method that there is none of. */
static void the_document_has_no_other_line(void **state)
{
    char *text = read_document(), *save = NULL;
    size_t n, lines = 0;
    const struct right *table = rights_table(&n);
    (void)state;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char service[64], method[64], end[140];
        bool found = false;
        if (sscanf(line, "| %63[A-Za-z] | %63[A-Za-z] | ", service, method) != 2 ||
            (!strstr(service, "Service") && strcmp(service, "Health") != 0 && strcmp(service, "ServerReflection") != 0))
            continue;
        lines++;
        snprintf(end, sizeof end, ".%s/%s", service, method);
        for (size_t i = 0; i < n && !found; i++)
            found = strlen(table[i].path) > strlen(end) &&
                    strcmp(table[i].path + strlen(table[i].path) - strlen(end), end) == 0;
        if (!found)
            fail_msg("docs/security.md tells of %s, core/rights_table.h does not", end);
    }
    assert_true(lines > 20);
    free(text);
}

/* Does the folder's CMakeLists.txt name the file test_PART.c, or PART in a loop over such files? */
static bool is_run(const char *path)
{
    const char *base = strrchr(path, '/') + 1;
    char list[400], line[1000], part[100];
    bool found = false;
    snprintf(list, sizeof list, "%.*sCMakeLists.txt", (int)(base - path), path);
    snprintf(part, sizeof part, "%.*s", (int)strcspn(base + 5, "."), base + 5);
    FILE *f = fopen(list, "r");
    while (f && !found && fgets(line, sizeof line, f)) {
        found = strstr(line, base) != NULL;
        char *save = NULL, *word = strstr(line, "foreach(");
        for (word = word ? strtok_r(word, "() \n", &save) : NULL; word && !found; word = strtok_r(NULL, "() \n", &save))
            found = strcmp(word, part) == 0;
    }
    if (f)
        fclose(f);
    return found;
}

/* Is there such a file? One that is a test must be one that is run. */
static bool is_there(const char *name)
{
    static const char *const places[] = {"", "server/", "tests/", "tests/*/", "lib/", "lib/*/", "lib/*/include/"};
    bool found = false;
    for (size_t i = 0; i < sizeof places / sizeof *places && !found; i++) {
        char pattern[400];
        glob_t files;
        snprintf(pattern, sizeof pattern, SOURCE_DIR "/%s%s", places[i], name);
        if (glob(pattern, 0, NULL, &files) != 0)
            continue;
        const char *path = files.gl_pathv[0];
        found = strncmp(strrchr(path, '/'), "/test_", 6) != 0 || is_run(path);
        globfree(&files);
    }
    return found;
}

/* What the document names as code or test in `…`. */
static void the_files_of_the_document_exist(void **state)
{
    char *text = read_document();
    size_t n = 0;
    (void)state;
    for (char *at = strchr(text, '`'); at; at = strchr(at + 1, '`')) {
        size_t len = strcspn(at + 1, "`\n ");
        char name[200];
        if (at[1 + len] != '`' || len < 3 || len >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)len, at + 1);
        at += 1 + len;
        if (strcmp(name + len - 2, ".c") != 0 && strcmp(name + len - 2, ".h") != 0)
            continue;
        n++;
        if (!is_there(name))
            fail_msg("docs/security.md names %s: there is no such file, or no such test is run", name);
    }
    assert_true(n > 30);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_document_has_every_line),
                                       cmocka_unit_test(the_document_has_no_other_line),
                                       cmocka_unit_test(the_files_of_the_document_exist)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
