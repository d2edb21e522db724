/* See fields.h. */
#include "export/fields.h"

#include "export/check.h"

static bool is_json(uint32_t type)
{
    return export_value_of_oid(type) == EXPORT_VALUE_JSON;
}

/* Arrays and rows: JSON Lines has them as JSON has, the others as PostgreSQL writes them. */
static bool becomes_json(const struct export_query *query, const struct pg_copy_column *column)
{
    return query->request->format == EXPORT_JSON_LINES && (column->category == 'A' || column->kind == 'c');
}

/* What the operator says counts, but what is no JSON cannot be written as if it were. */
static enum export_value value_of(const struct export_query *query, size_t i, const struct pg_copy_column *column)
{
    enum export_value declared = query->columns[i]->value;
    if (becomes_json(query, column))
        return declared == EXPORT_VALUE_TEXT ? EXPORT_VALUE_TEXT : EXPORT_VALUE_JSON;
    if (declared == EXPORT_VALUE_UNKNOWN || (declared == EXPORT_VALUE_JSON && !is_json(column->type)))
        return export_value_of_oid(column->type);
    return declared;
}

struct export_field *export_fields_make(struct export_query *query, const struct pg_copy_column *columns,
                                        struct arena *arena)
{
    struct export_field *fields = arena_zalloc(arena, query->n_columns * sizeof *fields);
    bool *as_json = arena_zalloc(arena, query->n_columns * sizeof *as_json);
    if (!fields || !as_json)
        return NULL;
    for (size_t i = 0; i < query->n_columns; i++) {
        const struct pg_copy_column *column = &columns[i];
        fields[i].name = query->columns[i]->name;
        fields[i].title = query->columns[i]->title;
        fields[i].format = query->columns[i]->format;
        fields[i].value = value_of(query, i, column);
        fields[i].is_float = export_oid_is_float(column->type);
        /* Numbers, truth values, times and spans of time are written by PostgreSQL alone. */
        fields[i].is_free_text = !memchr("NBDT", column->category, 4) || column->category == '\0';
        as_json[i] = becomes_json(query, column) && fields[i].value == EXPORT_VALUE_JSON;
    }
    query->as_json = as_json;
    return fields;
}
