/* From filters to SQL text: the text itself, hostile values, and every refusal with its field. No I/O. The integration
 * test of exports runs such queries against PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "export/query.h"

static const char types_text[] =
    "{\"export_types\": [{\"name\": \"users\", \"relation\": \"app.us\\\"ers\","
    "  \"columns\": [{\"name\": \"id\", \"title\": \"Id\"}, {\"name\": \"na\\\"me\", \"title\": \"Say \\\"hi\\\", "
    "you\"}],"
    "  \"filters\": [{\"field\": \"search\", \"operators\": [\"search\"], \"columns\": [\"name\", \"email\"]},"
    "    {\"field\": \"name\", \"operators\": [\"equals\", \"in\", \"contains\"]},"
    "    {\"field\": \"age\", \"type\": \"integer\", \"operators\": [\"at_least\", \"at_most\", \"equals\"]},"
    "    {\"field\": \"weight\", \"type\": \"number\", \"operators\": [\"equals\"]},"
    "    {\"field\": \"active\", \"type\": \"boolean\", \"operators\": [\"equals\"]},"
    "    {\"field\": \"born\", \"type\": \"date\", \"operators\": [\"equals\", \"at_least\", \"at_most\"]},"
    "    {\"field\": \"seen\", \"type\": \"timestamp\", \"operators\": [\"at_least\", \"at_most\"]},"
    "    {\"field\": \"day\", \"type\": \"date\", \"operators\": [\"between\", \"greater\", \"less\"]},"
    "    {\"field\": \"code\", \"operators\": [\"prefix\"]},"
    "    {\"field\": \"text\", \"operators\": [\"search\"], \"columns\": [\"name\", \"em'ail\"],"
    "     \"full_text\": \"sim'ple\"}],"
    "  \"order\": {\"column\": \"id\", \"direction\": \"descending\"}}]}";

static struct export_types *types;

static const struct export_type *users(void)
{
    return export_types_find(types, SPAN_LIT("users"));
}

static int load(void **state)
{
    (void)state;
    return export_types_parse(span_str(types_text), "x.json", &types, NULL);
}

static int unload(void **state)
{
    (void)state;
    export_types_free(types);
    return 0;
}

static int build_request(const struct export_type *type, const struct export_request *request,
                         enum export_query_kind kind, struct buf *out, struct err *err)
{
    struct export_query query;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    int rc = export_query_plan(type, request, &arena, &query, err);
    if (rc == 0)
        export_query_sql(&query, kind, out);
    arena_done(&arena);
    return rc;
}

/* One filter with one value; the text of the condition, or the error. */
static int build(const char *field, enum export_op op, struct span value, struct buf *out, struct err *err)
{
    struct export_filter filter = {span_str(field), op, &value, 1};
    struct export_request request = {.filters = &filter, .n_filters = 1};
    return build_request(users(), &request, EXPORT_QUERY_COUNT, out, err);
}

static void expect(const char *field, enum export_op op, const char *value, const char *want)
{
    static const char head[] = "SELECT count(*) FROM \"app\".\"us\"\"ers\" WHERE (";
    struct buf out = BUF_INIT;
    struct err err = ERR_NONE;
    if (build(field, op, span_str(value), &out, &err) < 0 || !out.data) {
        fail_msg("%s: %s: %s", field, err.field, err.msg);
        return;
    }
    assert_int_equal(strncmp(out.data, head, sizeof head - 1), 0);
    out.data[out.len - 1] = '\0'; /* the closing bracket */
    assert_string_equal(out.data + sizeof head - 1, want);
    buf_done(&out);
}

static void refuse(const char *field, enum export_op op, struct span value, const char *want_field)
{
    struct buf out = BUF_INIT;
    struct err err = ERR_NONE;
    int rc = build(field, op, value, &out, &err);
    if (rc != -ERR_INVALID_ARGUMENT)
        fail_msg("%s %d '%.*s' was taken: %s", field, op, (int)value.len, value.data, out.data);
    assert_string_equal(err.field, want_field);
    buf_done(&out);
}

static void whole_query(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct span ada = SPAN_LIT("ada"), ages[] = {SPAN_LIT("18")};
    struct export_filter filters[] = {{SPAN_LIT("search"), EXPORT_OP_DEFAULT, &ada, 1},
                                      {SPAN_LIT("age"), EXPORT_OP_AT_LEAST, ages, 1}};
    struct export_request request = {.filters = filters, .n_filters = 2}, none = {0};
    assert_int_equal(build_request(users(), &request, EXPORT_QUERY_ROWS, &out, NULL), 0);
    assert_string_equal(out.data, "SELECT \"id\", \"na\"\"me\" FROM \"app\".\"us\"\"ers\" WHERE (\"name\"::text ILIKE "
                                  "E'%ada%' OR \"email\"::text ILIKE E'%ada%') AND (\"age\" >= '18'::bigint) ORDER BY "
                                  "\"id\" DESC");
    buf_clear(&out);
    assert_int_equal(build_request(users(), &none, EXPORT_QUERY_COUNT, &out, NULL), 0);
    assert_string_equal(out.data, "SELECT count(*) FROM \"app\".\"us\"\"ers\"");
    buf_clear(&out);
    assert_int_equal(build_request(users(), &none, EXPORT_QUERY_NO_ROWS, &out, NULL), 0);
    assert_string_equal(out.data, "SELECT \"id\", \"na\"\"me\" FROM \"app\".\"us\"\"ers\" LIMIT 0");
    buf_done(&out);
}

static void columns_and_orders(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct err err = ERR_NONE;
    struct span columns[] = {SPAN_LIT("na\"me"), SPAN_LIT("id"), SPAN_LIT("id")};
    struct export_order order[] = {{SPAN_LIT("na\"me"), false}, {SPAN_LIT("id"), true}};
    struct export_request request = {.columns = columns, .n_columns = 2, .order = order, .n_order = 2};
    assert_int_equal(build_request(users(), &request, EXPORT_QUERY_ROWS, &out, &err), 0);
    assert_string_equal(out.data, "SELECT \"na\"\"me\", \"id\" FROM \"app\".\"us\"\"ers\" ORDER BY \"na\"\"me\" ASC, "
                                  "\"id\" DESC");
    request.n_columns = 3;
    assert_int_equal(build_request(users(), &request, EXPORT_QUERY_ROWS, &out, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "columns[2]");
    columns[0] = SPAN_LIT("name\", (SELECT password FROM app.secrets)"); /* not a column of the type */
    assert_int_equal(build_request(users(), &request, EXPORT_QUERY_ROWS, &out, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "columns[0]");
    request.n_columns = 0;
    order[1].column = SPAN_LIT("email"); /* filterable, but no column of the file */
    assert_int_equal(build_request(users(), &request, EXPORT_QUERY_ROWS, &out, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "order[1].column");
    request.n_order = EXPORT_ORDERS_MAX + 1;
    assert_int_equal(build_request(users(), &request, EXPORT_QUERY_ROWS, &out, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "order");
    buf_done(&out);
}

static void rows_of_an_owner(void **state)
{
    (void)state;
    static const char text[] =
        "{\"export_types\": [{\"name\": \"o\", \"relation\": \"app.o\", \"owner_column\": \"o\\\"w\","
        " \"columns\": [{\"name\": \"id\"}], \"filters\": [{\"field\": \"id\", \"operators\":"
        " [\"equals\"]}]}]}";
    struct export_types *owned;
    struct buf out = BUF_INIT;
    struct span one = SPAN_LIT("1");
    struct export_filter filter = {SPAN_LIT("id"), EXPORT_OP_EQUALS, &one, 1};
    struct export_request request = {.filters = &filter, .n_filters = 1, .rows_of = SPAN_LIT("ann' OR true --")};
    assert_int_equal(export_types_parse(span_str(text), "x.json", &owned, NULL), 0);
    const struct export_type *type = export_types_find(owned, SPAN_LIT("o"));
    assert_int_equal(build_request(type, &request, EXPORT_QUERY_COUNT, &out, NULL), 0);
    assert_string_equal(out.data,
                        "SELECT count(*) FROM \"app\".\"o\" WHERE (\"o\"\"w\"::text COLLATE \"C\" = 'ann'' OR true --')"
                        " AND (\"id\"::text = '1')");
    buf_clear(&out);
    request.rows_of = (struct span){0}; /* a payload that says nothing shows nothing */
    request.n_filters = 0;
    assert_int_equal(build_request(type, &request, EXPORT_QUERY_COUNT, &out, NULL), 0);
    assert_string_equal(out.data, "SELECT count(*) FROM \"app\".\"o\" WHERE (\"o\"\"w\"::text COLLATE \"C\" = '')");
    buf_clear(&out);
    ((struct export_type *)type)->owner_column.is_text = true; /* an index on the column serves */
    assert_int_equal(build_request(type, &request, EXPORT_QUERY_COUNT, &out, NULL), 0);
    assert_string_equal(out.data, "SELECT count(*) FROM \"app\".\"o\" WHERE (\"o\"\"w\" = '' AND "
                                  "\"o\"\"w\"::text COLLATE \"C\" = '')");
    buf_clear(&out);
    request.all_rows = true;
    assert_int_equal(build_request(type, &request, EXPORT_QUERY_COUNT, &out, NULL), 0);
    assert_string_equal(out.data, "SELECT count(*) FROM \"app\".\"o\"");
    buf_done(&out);
    export_types_free(owned);
}

static void operators_and_types(void **state)
{
    (void)state;
    expect("name", EXPORT_OP_DEFAULT, "x", "\"name\"::text = 'x'");
    expect("name", EXPORT_OP_IN, "x", "\"name\"::text = 'x'");
    expect("age", EXPORT_OP_AT_MOST, "-9223372036854775808", "\"age\" <= '-9223372036854775808'::bigint");
    expect("weight", EXPORT_OP_EQUALS, "-1.5e-7", "\"weight\" = '-1.5e-7'::numeric");
    expect("active", EXPORT_OP_EQUALS, "true", "\"active\" = 'true'::boolean");
    expect("born", EXPORT_OP_EQUALS, "2024-02-29",
           "(\"born\" >= '2024-02-29'::date AND \"born\" < ('2024-02-29'::date + 1))");
    expect("born", EXPORT_OP_AT_MOST, "2026-01-31", "\"born\" < ('2026-01-31'::date + 1)");
    expect("seen", EXPORT_OP_AT_LEAST, "2026-01-31T23:59:59.5+01:00",
           "\"seen\" >= '2026-01-31T23:59:59.5+01:00'::timestamptz");
    expect("day", EXPORT_OP_GREATER, "2026-01-31", "\"day\" >= ('2026-01-31'::date + 1)");
    expect("day", EXPORT_OP_LESS, "2026-01-31", "\"day\" < '2026-01-31'::date");
    expect("code", EXPORT_OP_PREFIX, "a_%\\'", "\"code\"::text LIKE E'a\\\\_\\\\%\\\\\\\\''%'");
    expect("text", EXPORT_OP_SEARCH, "o'hara -\"x",
           "to_tsvector('sim''ple'::regconfig, coalesce(\"name\"::text, '') || ' ' || coalesce(\"em'ail\"::text, ''))"
           " @@ websearch_to_tsquery('sim''ple'::regconfig, 'o''hara -\"x')");
    /* A column known to be a text is compared as it is, so that an index on it can serve. */
    users()->filters[1].columns[0].is_text = true;
    expect("name", EXPORT_OP_EQUALS, "x", "\"name\" = 'x'");
    users()->filters[1].columns[0].is_text = false;
}

/* Of a column of 32 bits: a value is rounded as those of the column were, unless there is none that near. */
static void numbers_of_32_bits(void **state)
{
    const struct export_filter_type *filter = &users()->filters[3];
    (void)state;
    assert_string_equal(filter->field, "weight");
    filter->columns[0].is_real = true;
    expect("weight", EXPORT_OP_EQUALS, "0.1", "\"weight\" = '0.100000001'::real");
    expect("weight", EXPORT_OP_EQUALS, "1e-40", "\"weight\" = '9.9999461e-41'::real");
    expect("weight", EXPORT_OP_EQUALS, "1e-60", "\"weight\" = '1e-60'::numeric");
    expect("weight", EXPORT_OP_EQUALS, "-0", "\"weight\" = '-0'::real");
    char longest[101];
    memset(longest, '0', sizeof longest); /* 0.1000...01 */
    longest[1] = '.';
    longest[2] = longest[99] = '1';
    longest[100] = '\0';
    expect("weight", EXPORT_OP_EQUALS, longest, "\"weight\" = '0.100000001'::real");
    expect("weight", EXPORT_OP_EQUALS, "1e39", "\"weight\" = '1e39'::numeric");
    expect("weight", EXPORT_OP_EQUALS, "1e-60", "\"weight\" = '1e-60'::numeric");
    filter->columns[0].is_real = false;
    expect("weight", EXPORT_OP_EQUALS, "0.1", "\"weight\" = '0.1'::numeric");
}

static void hostile_values(void **state)
{
    (void)state;
    expect("name", EXPORT_OP_EQUALS, "x'; DROP TABLE users; --", "\"name\"::text = 'x''; DROP TABLE users; --'");
    expect("name", EXPORT_OP_EQUALS, "\\'; DROP TABLE users; --", "\"name\"::text = E'\\\\''; DROP TABLE users; --'");
    expect("name", EXPORT_OP_EQUALS, "\\", "\"name\"::text = E'\\\\'");
    expect("name", EXPORT_OP_EQUALS, "", "\"name\"::text = ''");
    expect("name", EXPORT_OP_CONTAINS, "50%_\\'", "\"name\"::text ILIKE E'%50\\\\%\\\\_\\\\\\\\''%'");
    expect("name", EXPORT_OP_CONTAINS, "$1 {} %s", "\"name\"::text ILIKE E'%$1 {} \\\\%s%'");
    refuse("name", EXPORT_OP_EQUALS, SPAN_LIT("a\0b"), "filters[0].values[0]");
    refuse("name", EXPORT_OP_CONTAINS, SPAN_LIT(""), "filters[0].values[0]");
    char big[EXPORT_VALUE_BYTES_MAX + 1];
    memset(big, 'x', sizeof big);
    refuse("name", EXPORT_OP_EQUALS, span_of(big, sizeof big), "filters[0].values[0]");
}

static void values_of_the_wrong_type(void **state)
{
    (void)state;
    static const struct {
        const char *field, *values[12];
    } cases[] = {
        {"age",
         {"", "-", "1.5", "1 OR 1=1", "9223372036854775808", "-9223372036854775809", "+1", "0x1", " 1",
          "99999999999999999999"}},
        {"weight", {"", ".", "-", "NaN", "Infinity", "1e", "1e999", "1,5", "1)"}},
        {"active", {"", "TRUE", "t", "1", "false; --"}},
        {"born", {"", "2025-02-29", "2026-1-31", "2026-01-32", "0000-01-01", "2026-13-01", "2026-01-31T", "today"}},
        {"seen",
         {"", "2026-01-31", "2026-01-31T24:00:00Z", "2026-01-31T10:00:00", "2026-01-31 10:00:00Z",
          "2026-01-31T10:00:00.Z", "2026-01-31T10:00:00+0100", "now"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t k = 0; cases[i].values[k]; k++)
            refuse(cases[i].field, EXPORT_OP_DEFAULT, span_str(cases[i].values[k]), "filters[0].values[0]");
}

static void unknown_fields_operators_and_counts(void **state)
{
    (void)state;
    const struct export_type *type = users();
    struct span values[EXPORT_VALUES_MAX + 1];
    for (size_t i = 0; i <= EXPORT_VALUES_MAX; i++)
        values[i] = SPAN_LIT("v");
    refuse("nothing", EXPORT_OP_EQUALS, SPAN_LIT("v"), "filters[0].field");
    refuse("", EXPORT_OP_EQUALS, SPAN_LIT("v"), "filters[0].field");
    refuse("age", EXPORT_OP_IN, SPAN_LIT("1"), "filters[0].operator");
    refuse("age", (enum export_op)99, SPAN_LIT("1"), "filters[0].operator");
    struct err err = ERR_NONE;
    struct buf unused = BUF_INIT;
    build("age", (enum export_op)99, SPAN_LIT("1"), &unused, &err);
    assert_string_equal(err.msg, "there is no operator 99");
    buf_done(&unused);
    err = ERR_NONE;
    struct buf out = BUF_INIT;
    struct export_filter filters[EXPORT_FILTERS_MAX + 1];
    for (size_t i = 0; i <= EXPORT_FILTERS_MAX; i++)
        filters[i] = (struct export_filter){SPAN_LIT("name"), EXPORT_OP_IN, values, EXPORT_VALUES_MAX};
    struct export_request request = {.filters = filters, .n_filters = EXPORT_FILTERS_MAX};
    assert_int_equal(build_request(type, &request, EXPORT_QUERY_ROWS, &out, &err), 0);
    request.n_filters = EXPORT_FILTERS_MAX + 1;
    assert_int_equal(build_request(type, &request, EXPORT_QUERY_ROWS, &out, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "filters");
    request.n_filters = 3;
    filters[2].n_values = EXPORT_VALUES_MAX + 1;
    assert_int_equal(build_request(type, &request, EXPORT_QUERY_ROWS, &out, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "filters[2].values");
    filters[2].n_values = 0;
    assert_int_equal(build_request(type, &request, EXPORT_QUERY_ROWS, &out, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "filters[2].values");
    filters[2].op = EXPORT_OP_EQUALS;
    filters[2].n_values = 2;
    assert_int_equal(build_request(type, &request, EXPORT_QUERY_ROWS, &out, &err), -ERR_INVALID_ARGUMENT);
    assert_string_equal(err.field, "filters[2].values");
    buf_done(&out);
}

static void payload_there_and_back(void **state)
{
    (void)state;
    struct span values[] = {SPAN_LIT("quo\"te\\"), SPAN_LIT("\xc3\xa9")};
    struct export_filter filter = {SPAN_LIT("name"), EXPORT_OP_IN, values, 2};
    struct span columns[] = {SPAN_LIT("b"), SPAN_LIT("a")};
    struct export_order order[] = {{SPAN_LIT("b"), true}};
    struct export_request request = {.export_type = SPAN_LIT("users"),
                                     .filters = &filter,
                                     .n_filters = 1,
                                     .columns = columns,
                                     .n_columns = 2,
                                     .order = order,
                                     .n_order = 1,
                                     .compression = EXPORT_ZSTD,
                                     .csv = {.delimiter = ';', .no_header = true, .null_text = SPAN_LIT("\\N")},
                                     .language = SPAN_LIT("es"),
                                     .rows_of = SPAN_LIT("ann"),
                                     .roles = ROLE_EXPORTER | ROLE_VIEWER,
                                     .file_name = SPAN_LIT("us\"ers.csv")},
                          back;
    struct buf out = BUF_INIT;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    assert_true(export_request_encode(&request, &out));
    assert_int_equal(export_request_decode(buf_span(&out), &arena, &back, NULL), 0);
    assert_true(span_eq(back.export_type, request.export_type));
    assert_true(span_eq(back.file_name, request.file_name));
    assert_int_equal(back.n_filters, 1);
    assert_int_equal(back.filters[0].op, EXPORT_OP_IN);
    assert_int_equal(back.filters[0].n_values, 2);
    assert_true(span_eq(back.filters[0].values[0], values[0]));
    assert_true(span_eq(back.filters[0].values[1], values[1]));
    assert_int_equal(back.n_columns, 2);
    assert_true(span_eq(back.columns[0], columns[0]));
    assert_int_equal(back.n_order, 1);
    assert_true(back.order[0].descending);
    assert_int_equal(back.format, EXPORT_CSV);
    assert_int_equal(back.compression, EXPORT_ZSTD);
    assert_int_equal(back.csv.delimiter, ';');
    assert_true(back.csv.no_header);
    assert_false(back.csv.byte_order_mark);
    assert_true(span_eq(back.csv.null_text, request.csv.null_text));
    assert_true(span_eq(back.language, request.language));
    assert_true(span_eq(back.rows_of, request.rows_of));
    assert_false(back.all_rows);
    assert_int_equal(back.roles, ROLE_EXPORTER | ROLE_VIEWER);
    static const char *const bad[] = {
        "",
        "{\"export_type\":\"u\",\"format\":\"xlsx\",\"file_name\":\"f\",\"compression\":\"gzip\"}",
        "{\"export_type\":\"u\",\"format\":\"csv\",\"file_name\":\"f\",\"csv\":{\"delimiter\":\"x\"}}",
        "{\"export_type\":\"u\",\"format\":\"csv\",\"file_name\":\"f\",\"columns\":[1]}",
        "{\"export_type\":\"u\",\"format\":\"csv\",\"file_name\":\"f\",\"order\":[{}]}",
        "[]",
        "{}",
        "{\"export_type\":\"u\",\"format\":\"xls\",\"file_name\":\"f\"}",
        "{\"export_type\":\"u\",\"format\":\"csv\",\"file_name\":\"../f\"}",
        "{\"export_type\":\"u\",\"format\":\"csv\",\"file_name\":\"f\",\"filters\":{}}",
        "{\"export_type\":\"u\",\"format\":\"csv\",\"file_name\":\"f\",\"filters\":[{\"field\":\"a\"}]}",
        "{\"export_type\":\"u\",\"format\":\"csv\",\"file_name\":\"f\",\"roles\":\"admin\"}",
        "{\"export_type\":\"u\",\"format\":\"csv\",\"file_name\":\"f\",\"roles\":[16]}",
        "{\"export_type\":\"u\",\"format\":\"csv\",\"file_name\":\"f\",\"filters\":[1]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(export_request_decode(span_str(bad[i]), &arena, &back, NULL), -ERR_INVALID_ARGUMENT);
    static const struct {
        const char *rest;
        unsigned roles;
    } of[] = {{"", ROLE_EXPORTER}, /* a version that named none */
              {",\"all_rows\":true", ROLE_ADMIN},
              {",\"roles\":[]", 0},
              {",\"roles\":[\"viewer\",\"of a later version\"],\"all_rows\":true", ROLE_VIEWER}};
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"export_type\":\"u\",\"format\":\"csv\",\"file_name\":\"f\"%s}", of[i].rest);
        assert_int_equal(export_request_decode(span_str(text), &arena, &back, NULL), 0);
        assert_int_equal(back.roles, of[i].roles);
    }
    arena_done(&arena);
    buf_done(&out);
}

static void file_names(void **state)
{
    (void)state;
    char big[EXPORT_FILE_NAME_MAX + 1];
    memset(big, 'x', sizeof big);
    assert_int_equal(export_file_name_check(span_of(big, EXPORT_FILE_NAME_MAX), NULL), 0);
    assert_int_equal(export_file_name_check(SPAN_LIT("usuarios \xc3\xb1.csv"), NULL), 0);
    assert_int_equal(export_file_name_check(SPAN_LIT("\xd7\xa9\xd7\x9c\xe2\x80\x99 \xe2\x82\xac.csv"), NULL), 0);
    struct span bad[] = {span_of(big, sizeof big),
                         SPAN_LIT(""),
                         SPAN_LIT("."),
                         SPAN_LIT(".."),
                         SPAN_LIT("a/b"),
                         SPAN_LIT("a\\b"),
                         SPAN_LIT("a\r\nb"),
                         SPAN_LIT("a\0b"),
                         SPAN_LIT("\x7f"),
                         SPAN_LIT("a\xc2\x85"),
                         SPAN_LIT("a\xe2\x80\xa8z"),
                         SPAN_LIT("fdp\xe2\x80\xae.exe"),
                         SPAN_LIT("a\xd8\x9cz"),
                         SPAN_LIT("a\xe2\x81\xa6z")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = ERR_NONE;
        assert_int_equal(export_file_name_check(bad[i], &err), -ERR_INVALID_ARGUMENT);
        assert_string_equal(err.field, "file_name");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_query),
        cmocka_unit_test(columns_and_orders),
        cmocka_unit_test(rows_of_an_owner),
        cmocka_unit_test(operators_and_types),
        cmocka_unit_test(numbers_of_32_bits),
        cmocka_unit_test(hostile_values),
        cmocka_unit_test(values_of_the_wrong_type),
        cmocka_unit_test(unknown_fields_operators_and_counts),
        cmocka_unit_test(payload_there_and_back),
        cmocka_unit_test(file_names),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
