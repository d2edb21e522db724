/* Exports as messages; see export_common.h. Any thread. */
#include "base/clock.h"
#include "rpc/convert.h"
#include "rpc/export_common.h"

struct export_request export_request_of(struct arena *arena, const struct job *job)
{
    struct export_request request = {0};
    export_request_decode(job->payload, arena, &request, NULL);
    return request;
}

static Joblog__V1__ExportFilter *convert_filter(struct arena *arena, const struct export_filter *filter)
{
    Joblog__V1__ExportFilter *m = arena_alloc(arena, sizeof *m);
    char **values = arena_alloc(arena, filter->n_values * sizeof *values);
    if (!m || !values)
        return NULL;
    joblog__v1__export_filter__init(m);
    m->operator_ = (Joblog__V1__FilterOperator)filter->op;
    m->values = values;
    if (!(m->field = convert_text(arena, filter->field)))
        return NULL;
    for (; m->n_values < filter->n_values; m->n_values++)
        if (!(values[m->n_values] = convert_text(arena, filter->values[m->n_values])))
            return NULL;
    return m;
}

Joblog__V1__ExportFile *convert_export_file(struct arena *arena, const struct export_file *file)
{
    Joblog__V1__ExportFile *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__export_file__init(m);
    m->file_name = convert_text(arena, file->name);
    m->content_type = convert_text(arena, file->content_type);
    m->sha256 = convert_text(arena, file->sha256);
    m->size = file->size;
    m->rows = file->rows;
    m->expire_time = convert_time(arena, file->expire_us);
    return m->file_name && m->content_type && m->sha256 && m->expire_time ? m : NULL;
}

Joblog__V1__Export *convert_export(struct arena *arena, const struct exports *exports, const struct job *job,
                                   const struct export_request *request, const struct export_file *file)
{
    Joblog__V1__Export *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__export__init(m);
    const struct export_types *types = export_types_of(exports);
    const struct export_type *type = types ? export_types_find(types, request->export_type) : NULL;
    m->format = JOBLOG__V1__EXPORT_FORMAT__EXPORT_FORMAT_CSV;
    m->export_type = convert_text(arena, request->export_type);
    /* A type that was taken away keeps its name for its old exports. */
    m->title = convert_text(arena, type ? span_str(type->title) : request->export_type);
    m->job = convert_job(arena, job, VIEW_BASIC, clock_wall_us());
    m->filters = arena_alloc(arena, request->n_filters * sizeof *m->filters);
    if (!m->export_type || !m->title || !m->job || !m->filters)
        return NULL;
    for (; m->n_filters < request->n_filters; m->n_filters++)
        if (!(m->filters[m->n_filters] = convert_filter(arena, &request->filters[m->n_filters])))
            return NULL;
    if (file && !(m->file = convert_export_file(arena, file)))
        return NULL;
    return m;
}

/* ---- types; their texts are constant and end in NUL: no copies ---- */

static Joblog__V1__ExportFilterType *convert_filter_type(struct arena *arena, const struct export_filter_type *filter)
{
    Joblog__V1__ExportFilterType *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__export_filter_type__init(m);
    m->field = (char *)filter->field;
    m->title = (char *)filter->title;
    m->operators = arena_alloc(arena, filter->n_ops * sizeof *m->operators);
    if (!m->operators)
        return NULL;
    for (; m->n_operators < filter->n_ops; m->n_operators++)
        m->operators[m->n_operators] = (Joblog__V1__FilterOperator)filter->ops[m->n_operators];
    return m;
}

static Joblog__V1__ExportColumn *convert_column(struct arena *arena, const struct export_column *column)
{
    Joblog__V1__ExportColumn *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__export_column__init(m);
    m->name = (char *)column->name;
    m->title = (char *)column->title;
    return m;
}

Joblog__V1__ExportType *convert_export_type(struct arena *arena, const struct export_type *type)
{
    static Joblog__V1__ExportFormat formats[] = {JOBLOG__V1__EXPORT_FORMAT__EXPORT_FORMAT_CSV};
    Joblog__V1__ExportType *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__export_type__init(m);
    m->name = (char *)type->name;
    m->title = (char *)type->title;
    m->formats = formats;
    m->n_formats = 1;
    m->columns = arena_alloc(arena, type->n_columns * sizeof *m->columns);
    m->filters = arena_alloc(arena, type->n_filters * sizeof *m->filters);
    if (!m->columns || !m->filters)
        return NULL;
    for (; m->n_columns < type->n_columns; m->n_columns++)
        if (!(m->columns[m->n_columns] = convert_column(arena, &type->columns[m->n_columns])))
            return NULL;
    for (; m->n_filters < type->n_filters; m->n_filters++)
        if (!(m->filters[m->n_filters] = convert_filter_type(arena, &type->filters[m->n_filters])))
            return NULL;
    return m;
}
