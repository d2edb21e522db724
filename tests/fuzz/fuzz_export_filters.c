/* Filters of exports, from any caller: a query that is built holds every value as exactly one quoted text, and nothing
 * of a caller stands outside of quotes. What is refused names the field at fault. The same for a payload as it lies in
 * the database.
 *
 * Input: kind of query, then filters: which field (or a name of the input), operator, number of values, values. */
#include <string.h>

#include "base/utf8.h"
#include "export/query.h"
#include "export/types.h"
#include "fuzz.h"
#include "sql_text.h"

static const char types_text[] =
    "{\"export_types\": [{\"name\": \"users\", \"relation\": \"app.us\\\"ers\","
    "  \"columns\": [{\"name\": \"id\"}, {\"name\": \"na\\\"me\"}],"
    "  \"filters\": [{\"field\": \"search\", \"operators\": [\"search\"], \"columns\": [\"name\", \"e'mail\"]},"
    "    {\"field\": \"name\", \"operators\": [\"equals\", \"in\", \"contains\", \"prefix\"]},"
    "    {\"field\": \"age\", \"type\": \"integer\", \"operators\": [\"at_least\", \"at_most\", \"equals\", \"in\"]},"
    "    {\"field\": \"weight\", \"type\": \"number\", \"operators\": [\"equals\", \"at_most\"]},"
    "    {\"field\": \"active\", \"type\": \"boolean\", \"operators\": [\"equals\"]},"
    "    {\"field\": \"born\", \"type\": \"date\", \"operators\": [\"equals\", \"at_least\", \"at_most\", \"between\","
    "     \"greater\", \"less\"]},"
    "    {\"field\": \"seen\", \"type\": \"timestamp\", \"operators\": [\"at_least\", \"at_most\"]}],"
    "  \"order\": {\"column\": \"id\"}}]}";
static const char *const fields[] = {"search", "name", "age", "weight", "active", "born", "seen"};

enum { N_FIELDS = sizeof fields / sizeof *fields, FILTERS = 60, VALUES = 4 };

static struct export_types *types;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    HOLDS(export_types_parse(span_str(types_text), "fuzz", &types, NULL) == 0);
    return 0;
}

static bool is_utf8(struct span s)
{
    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_len((const uint8_t *)s.data + i, s.len - i);
        if (!n)
            return false;
    }
    return true;
}

/* A LIKE pattern matches exactly the texts that contain the value, or begin with it: % around it or behind it, and \
 * before %, _ and \ in it. */
static bool is_pattern_of(const char *pattern, struct span value)
{
    if (*pattern == '%')
        pattern++;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        if (c == '%' || c == '_' || c == '\\')
            if (*pattern++ != '\\')
                return false;
        if (*pattern++ != c)
            return false;
    }
    return strcmp(pattern, "%") == 0;
}

/* Every text of the query is one of the values, and every value is among the texts. */
static void texts_are_values(const struct buf *texts, const struct export_filter *filters, size_t n)
{
    const char *at = texts->len ? texts->data : "", *end = at + texts->len;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < filters[i].n_values; k++) {
            struct span value = filters[i].values[k];
            size_t found = 0;
            while (at < end && (span_eq(span_str(at), value) || is_pattern_of(at, value))) {
                at += strlen(at) + 1;
                found++;
            }
            /* Equal neighbours were all taken by the first of them. */
            HOLDS(found > 0 || k > 0 || i > 0);
        }
    }
    HOLDS(at == end);
}

static void payload_round_trip(const struct export_filter *filters, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_utf8(filters[i].field) || filters[i].op < EXPORT_OP_DEFAULT || filters[i].op >= (int)EXPORT_OP_COUNT)
            return;
        for (size_t k = 0; k < filters[i].n_values; k++)
            if (!is_utf8(filters[i].values[k]))
                return;
    }
    struct export_request request = {.export_type = SPAN_LIT("users"),
                                     .filters = filters,
                                     .n_filters = n,
                                     .file_name = SPAN_LIT("users.csv")},
                          again;
    struct buf payload = BUF_INIT;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    HOLDS(export_request_encode(&request, &payload));
    HOLDS(export_request_decode(buf_span(&payload), &arena, &again, NULL) == 0);
    HOLDS(again.n_filters == n);
    for (size_t i = 0; i < n; i++) {
        HOLDS(span_eq(again.filters[i].field, filters[i].field) && again.filters[i].n_values == filters[i].n_values);
        for (size_t k = 0; k < filters[i].n_values; k++)
            HOLDS(span_eq(again.filters[i].values[k], filters[i].values[k]));
    }
    arena_done(&arena);
    buf_done(&payload);
}

static size_t read_filters(struct input *in, struct export_filter *filters, struct span (*values)[VALUES])
{
    size_t n = 0;
    for (; in->at < in->end && n < FILTERS; n++) {
        uint8_t field = input_byte(in), op = input_byte(in);
        filters[n].field = field < 200 ? span_str(fields[field % N_FIELDS]) : input_span(in);
        filters[n].op = op < 240 ? (enum export_op)(op % EXPORT_OP_COUNT) : (enum export_op)((int)op - 248);
        filters[n].n_values = input_byte(in) % (VALUES + 1);
        for (size_t k = 0; k < filters[n].n_values; k++)
            values[n][k] = input_span(in);
        filters[n].values = values[n];
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = input_of(data, size);
    static struct export_filter filters[FILTERS];
    static struct span values[FILTERS][VALUES];
    struct buf sql = BUF_INIT, texts = BUF_INIT;
    struct err err = ERR_NONE;
    struct export_query query;
    struct arena arena;
    enum export_query_kind kind = input_byte(&in) & 1 ? EXPORT_QUERY_ROWS : EXPORT_QUERY_COUNT;
    size_t n = read_filters(&in, filters, values);
    struct export_request request = {.filters = filters, .n_filters = n};
    arena_init(&arena, NULL, 0, 0);
    if (export_query_plan(export_types_find(types, SPAN_LIT("users")), &request, &arena, &query, &err) < 0) {
        HOLDS(err.code == ERR_INVALID_ARGUMENT && strncmp(err.field, "filters", 7) == 0 && err.msg[0]);
    } else {
        HOLDS(n <= EXPORT_FILTERS_MAX);
        export_query_sql(&query, kind, &sql);
        sql_take_apart(buf_span(&sql), &texts);
        texts_are_values(&texts, filters, n);
    }
    payload_round_trip(filters, n);
    arena_done(&arena);
    buf_done(&sql);
    buf_done(&texts);
    return 0;
}
