/* The operator's file of export types: any bytes are either refused with words or give types whose queries are sound.
 */
#include <string.h>

#include "base/utf8.h"
#include "export/query.h"
#include "export/types.h"
#include "fuzz.h"
#include "sql_text.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void queries(const struct export_type *type)
{
    struct buf sql = BUF_INIT, texts = BUF_INIT;
    for (int kind = EXPORT_QUERY_ROWS; kind <= EXPORT_QUERY_COUNT; kind++) {
        HOLDS(export_query_build(type, NULL, 0, (enum export_query)kind, &sql, NULL) == 0);
        sql_take_apart(buf_span(&sql), &texts);
        HOLDS(texts.len == 0);
        buf_clear(&sql);
    }
    export_query_titles(type, &sql);
    HOLDS(sql.len >= 2 && memcmp(sql.data + sql.len - 2, "\r\n", 2) == 0);
    for (size_t i = 0; i < type->n_filters; i++) {
        const struct export_filter_type *f = &type->filters[i];
        HOLDS(f->field && f->n_ops > 0 && f->n_columns > 0);
        static const char *const values[] = {"x", "1", "1.5", "true", "2026-01-31", "2026-01-31T12:00:00Z"};
        for (size_t k = 0; k < f->n_ops; k++) {
            struct span value = span_str(values[f->value]);
            struct export_filter filter = {span_str(f->field), f->ops[k], &value, 1};
            buf_clear(&sql);
            buf_clear(&texts);
            HOLDS(export_query_build(type, &filter, 1, EXPORT_QUERY_ROWS, &sql, NULL) == 0);
            sql_take_apart(buf_span(&sql), &texts);
            HOLDS(texts.len > 0);
        }
    }
    buf_done(&sql);
    buf_done(&texts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct export_types *types = NULL;
    struct err err = ERR_NONE;
    if (export_types_parse(span_of((const char *)data, size), "fuzz.json", &types, &err) < 0) {
        HOLDS(!types && err.code == ERR_FAILED_PRECONDITION && strncmp(err.msg, "fuzz.json", 9) == 0);
        return 0;
    }
    for (size_t i = 0; i < export_types_count(types); i++) {
        const struct export_type *type = export_types_at(types, i);
        HOLDS(export_types_find(types, span_str(type->name)) == type);
        HOLDS(!i || strcmp(export_types_at(types, i - 1)->name, type->name) < 0);
        HOLDS(type->n_columns > 0);
        queries(type);
    }
    export_types_free(types);
    return 0;
}
