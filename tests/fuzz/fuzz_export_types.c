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

/* The SQL of a request that must be sound. */
static void build(const struct export_type *type, const struct export_request *request, enum export_query_kind kind,
                  struct buf *sql)
{
    struct export_query query;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    HOLDS(export_query_plan(type, request, &arena, &query, NULL) == 0);
    export_query_sql(&query, kind, sql);
    HOLDS(!sql->failed);
    arena_done(&arena);
}

static void queries(const struct export_type *type)
{
    struct buf sql = BUF_INIT, texts = BUF_INIT;
    for (int kind = EXPORT_QUERY_ROWS; kind <= EXPORT_QUERY_NO_ROWS; kind++) {
        build(type, &(struct export_request){.all_rows = true}, (enum export_query_kind)kind, &sql);
        sql_take_apart(buf_span(&sql), &texts);
        HOLDS(texts.len == 0);
        buf_clear(&sql);
    }
    for (size_t i = 0; i < type->n_filters; i++) {
        const struct export_filter_type *f = &type->filters[i];
        HOLDS(f->field && f->n_ops > 0 && f->n_columns > 0);
        static const char *const texts_of[EXPORT_VALUE_COUNT] = {
            NULL, "x", "1", "1.5", "true", "2026-01-31", "2026-01-31T12:00:00Z"};
        for (size_t k = 0; k < f->n_ops; k++) {
            struct span values[] = {span_str(texts_of[f->value]), span_str(texts_of[f->value])};
            struct export_filter filter = {span_str(f->field), f->ops[k], values,
                                           f->ops[k] == EXPORT_OP_BETWEEN ? 2 : 1};
            struct export_request request = {.filters = &filter, .n_filters = 1};
            buf_clear(&sql);
            buf_clear(&texts);
            build(type, &request, EXPORT_QUERY_ROWS, &sql);
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
