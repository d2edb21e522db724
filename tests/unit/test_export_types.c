/* The operator's file of export types: what is taken, and the words with which the rest is refused. No I/O but the
 * file that is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "export/types.h"

static void takes_a_whole_type(void **state)
{
    (void)state;
    static const char text[] =
        "{\"export_types\": ["
        " {\"name\": \"users\", \"title\": \"Users\", \"relation\": \"app.users\","
        "  \"columns\": [{\"name\": \"id\", \"title\": \"Id\"}, {\"name\": \"email\"}],"
        "  \"filters\": [{\"field\": \"search\", \"operators\": [\"search\"], \"columns\": [\"email\", \"name\"]},"
        "              {\"field\": \"age\", \"title\": \"Age\", \"type\": \"integer\", \"column\": \"years\","
        "               \"operators\": [\"at_least\", \"at_most\"]}],"
        "  \"order\": {\"column\": \"id\", \"direction\": \"descending\"}, \"owner_column\": \"boss\","
        "  \"roles\": [\"exporter\", \"viewer\"], \"row_limit\": 500, \"database\": \"host=b\"},"
        " {\"name\": \"cars\", \"relation\": \"app.cars\", \"columns\": [{\"name\": \"id\"}]}]}";
    struct export_types *types;
    struct err err = ERR_NONE;
    assert_int_equal(export_types_parse(span_str(text), "x.json", &types, &err), 0);
    assert_int_equal(export_types_count(types), 3); /* and the built-in one */
    assert_string_equal(export_types_at(types, 0)->name, "cars");
    assert_string_equal(export_types_at(types, 0)->title, "cars");
    assert_int_equal(export_types_at(types, 0)->n_order, 0);
    assert_string_equal(export_types_at(types, 1)->name, "jobs");
    const struct export_type *users = export_types_find(types, SPAN_LIT("users"));
    assert_ptr_equal(users, export_types_at(types, 2));
    assert_string_equal(users->schema, "app");
    assert_string_equal(users->table, "users");
    assert_int_equal(users->n_columns, 2);
    assert_string_equal(users->columns[1].title, "email");
    assert_int_equal(users->filters[0].n_columns, 2);
    assert_string_equal(users->filters[0].columns[1].name, "name");
    assert_int_equal(users->filters[1].value, EXPORT_VALUE_INTEGER);
    assert_int_equal(users->filters[1].ops[1], EXPORT_OP_AT_MOST);
    assert_string_equal(users->filters[1].columns[0].name, "years");
    assert_true(users->order[0].descending);
    assert_string_equal(users->owner_column.name, "boss");
    assert_int_equal(users->max_rows, 500);
    assert_string_equal(users->database, "host=b");
    assert_true(export_type_allows(users, ROLE_VIEWER | ROLE_WORKER));
    assert_true(export_type_allows(users, ROLE_ADMIN));
    assert_false(export_type_allows(users, ROLE_WORKER | ROLE_DISPATCHER));
    assert_true(export_type_allows(export_types_at(types, 0), 0)); /* of nobody in particular */
    assert_null(export_types_find(types, SPAN_LIT("user")));
    export_types_free(types);
}

#define TYPE(rest)   "{\"export_types\":[{\"name\":\"u\",\"relation\":\"a.u\",\"columns\":[{\"name\":\"id\"}]" rest "}]}"
#define FILTER(rest) TYPE(",\"filters\":[{\"field\":\"f\"" rest "}]")

static void refuses_with_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"{", "x.json:1:1: "},
        {"[]", "x.json: must be an object"},
        {"{\"types\":[]}", "x.json: unknown key \"types\""},
        {"{\"export_types\":{}}", "x.json: export_types: must be an array of 0 to 1000"},
        {"{\"export_types\":[{}]}", "x.json: export_types[0].name: is missing"},
        {"{\"export_types\":[{\"name\":\"a/b\"}]}", "export_types[0]: name may hold letters"},
        {"{\"export_types\":[{\"name\":\"u\",\"relation\":\"users\"}]}",
         "export_types[0].relation: must be schema.table, not \"users\""},
        {"{\"export_types\":[{\"name\":\"u\",\"relation\":\"a.b.c\"}]}", "export_types[0].relation: must be schema"},
        {"{\"export_types\":[{\"name\":\"u\",\"relation\":\"a.u\"}]}",
         "export_types[0].columns: must be an array of 1 to 1000"},
        {"{\"export_types\":[{\"name\":\"u\",\"relation\":\"a.u\",\"columns\":[{\"name\":\"id\"},{\"name\":\"id\"}]}]}",
         "export_types[0].columns[1]: column \"id\" occurs twice"},
        {"{\"export_types\":[{\"name\":\"u\",\"relation\":\"a.u\",\"columns\":[{\"name\":7}]}]}",
         "export_types[0].columns[0].name: must be a text of 1 to 63 bytes"},
        {TYPE(",\"owner\":\"x\""), "export_types[0]: unknown key \"owner\""},
        {TYPE(",\"owner_column\":1"), "export_types[0].owner_column: must be a text of 1 to 63 bytes"},
        {TYPE(",\"roles\":[]"), "export_types[0].roles: must be an array of at least one role"},
        {TYPE(",\"roles\":[\"viewer\",\"root\"]"), "export_types[0].roles: [1] must be admin"},
        {TYPE(",\"row_limit\":0"), "row_limit must be a whole number from 1"},
        {TYPE(",\"count\":0"), "count must be true or false"},
        {TYPE(",\"count\":false,\"row_limit\":9"), "row_limit needs the rows to be counted"},
        {TYPE(",\"order\":[{\"column\":\"id\"},{}]"), "export_types[0].order[1].column: is missing"},
        {TYPE(",\"name\":\"v\""), "duplicate object key"},
        {TYPE(",\"order\":{\"column\":\"id\",\"direction\":\"up\"}"),
         "export_types[0].order: direction must be ascending or descending"},
        {FILTER(""), "export_types[0].filters[0].operators: must be an array of 1 to 10"},
        {FILTER(",\"operators\":[\"like\"]"), "export_types[0].filters[0].operators[0]: must be equals, in"},
        {FILTER(",\"operators\":[\"in\",\"in\"]"), "export_types[0].filters[0].operators[1]: in occurs twice"},
        {FILTER(",\"operators\":[\"in\"],\"type\":\"money\""), "export_types[0].filters[0]: type must be text"},
        {FILTER(",\"operators\":[\"contains\"],\"type\":\"date\""), "contains does not fit type date"},
        {FILTER(",\"operators\":[\"in\"],\"columns\":[\"a\"]"),
         "export_types[0].filters[0].columns: needs operators [\"search\"]"},
        {FILTER(",\"operators\":[\"search\"],\"columns\":[\"a\"],\"column\":\"a\""), "has both"},
        {FILTER(",\"operators\":[\"prefix\"],\"type\":\"integer\""), "prefix does not fit type integer"},
        {FILTER(",\"operators\":[\"between\"],\"type\":\"boolean\""), "between does not fit type boolean"},
        {FILTER(",\"operators\":[\"in\"],\"type\":\"json\""), "export_types[0].filters[0]: type must be text"},
        {FILTER(",\"operators\":[\"in\"],\"full_text\":\"simple\""), "\"full_text\" needs the operator search"},
        {FILTER(",\"operators\":[\"search\"],\"columns\":[\"\"]"),
         "export_types[0].filters[0].columns[0]: must be the name of a column"},
        {"{\"export_types\":[{\"name\":\"u\",\"relation\":\"a.u\",\"columns\":[{\"name\":\"id\"}]},"
         "{\"name\":\"u\",\"relation\":\"a.v\",\"columns\":[{\"name\":\"id\"}]}]}",
         "export_types: there are two export types \"u\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct export_types *types = NULL;
        struct err err = ERR_NONE;
        int rc = export_types_parse(span_str(cases[i].text), "x.json", &types, &err);
        if (rc != -ERR_FAILED_PRECONDITION || !strstr(err.msg, cases[i].want))
            fail_msg("%s\n gave %d \"%s\"\n want \"%s\"", cases[i].text, rc, err.msg, cases[i].want);
        assert_null(types);
        assert_string_equal(err.reason, "EXPORT_TYPES_INVALID");
    }
}

static void the_file_may_replace_the_built_in_type(void **state)
{
    (void)state;
    static const char text[] = "{\"export_types\": [{\"name\": \"jobs\", \"relation\": \"app.cars\","
                               " \"columns\": [{\"name\": \"id\", \"type\": \"number\", \"sortable\": false}]}]}";
    struct export_types *types;
    assert_int_equal(export_types_parse(span_str(text), "x.json", &types, NULL), 0);
    assert_int_equal(export_types_count(types), 1);
    assert_string_equal(export_types_at(types, 0)->schema, "app");
    assert_int_equal(export_types_at(types, 0)->columns[0].value, EXPORT_VALUE_NUMBER);
    assert_false(export_types_at(types, 0)->columns[0].sortable);
    export_types_free(export_types_ref(types)); /* counted */
    export_types_free(types);
}

static void no_file_and_missing_file(void **state)
{
    (void)state;
    struct export_types *types;
    struct err err = ERR_NONE;
    assert_int_equal(export_types_load(NULL, &types, &err), 0);
    assert_int_equal(export_types_count(types), 1);
    assert_string_equal(export_types_at(types, 0)->name, "jobs");
    assert_null(export_types_find(types, SPAN_LIT("users")));
    export_types_free(types);
    assert_int_equal(export_types_load("/nowhere/types.json", &types, &err), -ERR_FAILED_PRECONDITION);
    assert_non_null(strstr(err.msg, "/nowhere/types.json"));
}

/* Who changes the file while it is read, or before anybody looks at it again, is not overlooked. */
static void a_file_that_changes(void **state)
{
    (void)state;
    char path[] = "/tmp/joblog-types.XXXXXX";
    int fd = mkstemp(path);
    struct export_types *types;
    struct export_stamp was, now = {0};
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"export_types\": []}", 20), 20);
    assert_int_equal(export_types_load(path, &types, NULL), 0);
    was = export_types_stamp(types);
    export_types_free(types);
    assert_true(export_stamp_of(path, &now));
    assert_true(export_stamp_eq(&was, &now));
    assert_int_equal(write(fd, " ", 1), 1);
    assert_true(export_stamp_of(path, &now));
    assert_false(export_stamp_eq(&was, &now));
    close(fd);
    unlink(path);
    assert_false(export_stamp_of(path, &now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(takes_a_whole_type), cmocka_unit_test(refuses_with_the_place),
                                       cmocka_unit_test(the_file_may_replace_the_built_in_type),
                                       cmocka_unit_test(no_file_and_missing_file),
                                       cmocka_unit_test(a_file_that_changes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
