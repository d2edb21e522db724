/* What can be exported, as a form needs it. One unary call, on the caller's thread. */
#include <stdio.h>

#include "box.h"
#include "convert.h"
#include "export_priv.h"

/* By number on the wire. */
static const char *const value_types[] = {"", "text", "integer", "number", "boolean", "date", "timestamp", "json"};
enum { N_VALUE_TYPES = sizeof value_types / sizeof value_types[0] };

static const char *name_of(unsigned number, const char *const *names, unsigned n)
{
    return number < n ? names[number] : "?"; /* of a later server */
}

static const char **names_of(struct arena *a, const unsigned *numbers, size_t n, const char *const *names,
                             unsigned n_names)
{
    const char **out = arena_alloc(a, n * sizeof *out);
    for (size_t i = 0; out && i < n; i++)
        out[i] = name_of(numbers[i], names, n_names);
    return out;
}

/* "department (equals, in)" */
static const char *filter_text(struct arena *a, const struct joblog_export_filter_type *f)
{
    char text[400];
    size_t len = (size_t)snprintf(text, sizeof text, "%.200s (", f->field);
    for (size_t i = 0; i < f->n_operators && i < EXPORT_OPERATORS; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? ", " : "", f->operators[i]);
    return arena_printf(a, "%s)", text);
}

static bool convert_columns(struct arena *a, const Joblog__V1__ExportType *m, struct joblog_export_type *out)
{
    size_t n = m->n_columns;
    struct joblog_export_column *columns = arena_alloc(a, n * sizeof *columns);
    const char **titles = arena_alloc(a, n * sizeof *titles), **names = arena_alloc(a, n * sizeof *names);
    if (!columns || !titles || !names)
        return false;
    for (size_t i = 0; i < n; i++) {
        const Joblog__V1__ExportColumn *c = m->columns[i];
        columns[i] = (struct joblog_export_column){
            .name = names[i] = text_of(c->name),
            .title = titles[i] = text_of(c->title),
            .value_type = name_of((unsigned)c->value_type, value_types, N_VALUE_TYPES),
            .format = text_of(c->format),
            .sortable = c->sortable,
        };
    }
    out->columns = titles;
    out->column_names = names;
    out->column_types = columns;
    out->n_columns = n;
    return true;
}

static bool convert_filters(struct arena *a, const Joblog__V1__ExportType *m, struct joblog_export_type *out)
{
    size_t n = m->n_filters;
    struct joblog_export_filter_type *filters = arena_alloc(a, n * sizeof *filters);
    const char **texts = arena_alloc(a, n * sizeof *texts);
    bool ok = filters && texts;
    for (size_t i = 0; ok && i < n; i++) {
        const Joblog__V1__ExportFilterType *f = m->filters[i];
        filters[i] = (struct joblog_export_filter_type){
            .field = text_of(f->field),
            .title = text_of(f->title),
            .value_type = name_of((unsigned)f->value_type, value_types, N_VALUE_TYPES),
            .operators =
                names_of(a, (const unsigned *)f->operators, f->n_operators, export_operators, EXPORT_OPERATORS),
            .n_operators = f->n_operators,
        };
        ok = filters[i].operators && (texts[i] = filter_text(a, &filters[i]));
    }
    out->filters = texts;
    out->filter_types = filters;
    out->n_filters = n;
    return ok;
}

static bool convert_order(struct arena *a, const Joblog__V1__ExportType *m, struct joblog_export_type *out)
{
    struct joblog_export_order *order = arena_alloc(a, m->n_order * sizeof *order);
    for (size_t i = 0; order && i < m->n_order; i++)
        order[i] =
            (struct joblog_export_order){.column = text_of(m->order[i]->column), .descending = m->order[i]->descending};
    out->order = order;
    out->n_order = m->n_order;
    return order != NULL;
}

static bool convert_type(struct arena *a, const Joblog__V1__ExportType *m, struct joblog_export_type *out)
{
    *out = (struct joblog_export_type){
        .name = text_of(m->name),
        .title = text_of(m->title),
        .formats = names_of(a, (const unsigned *)m->formats, m->n_formats, export_formats, EXPORT_FORMATS),
        .n_formats = m->n_formats,
        .compressions =
            names_of(a, (const unsigned *)m->compressions, m->n_compressions, export_compressions, EXPORT_COMPRESSIONS),
        .n_compressions = m->n_compressions,
        .row_limit = m->max_rows,
        .own_rows_only = m->own_rows_only,
    };
    return out->formats && out->compressions && convert_columns(a, m, out) && convert_filters(a, m, out) &&
           convert_order(a, m, out);
}

int joblog_export_types(struct joblog_client *client, struct joblog_export_type **ret_types, size_t *ret_n,
                        struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__ListExportTypesRequest request = JOBLOG__V1__LIST_EXPORT_TYPES_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    if (call_unary(client, EXPORT_METHOD(LIST_EXPORT_TYPES), &request.base, NULL, &response, &e) < 0)
        return error_give(error, &e);
    Joblog__V1__ListExportTypesResponse *m = (Joblog__V1__ListExportTypesResponse *)response;
    struct joblog_export_type *types = box_new(response, m->n_export_types * sizeof *types);
    bool ok = types != NULL;
    for (size_t i = 0; ok && i < m->n_export_types; i++)
        ok = convert_type(box_arena(types), m->export_types[i], &types[i]);
    if (!ok) {
        box_free(types);
        error_no_memory(&e);
        return error_give(error, &e);
    }
    *ret_types = types;
    *ret_n = m->n_export_types;
    return 0;
}

void joblog_export_types_free(struct joblog_export_type *types)
{
    box_free(types);
}
