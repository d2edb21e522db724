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

Joblog__V1__ExportOrder **convert_export_orders(struct arena *arena, const struct export_order *orders, size_t n)
{
    Joblog__V1__ExportOrder **list = arena_alloc(arena, n * sizeof *list);
    for (size_t i = 0; list && i < n; i++) {
        list[i] = arena_alloc(arena, sizeof **list);
        if (!list[i])
            return NULL;
        joblog__v1__export_order__init(list[i]);
        list[i]->descending = orders[i].descending;
        if (!(list[i]->column = convert_text(arena, orders[i].column)))
            return NULL;
    }
    return list;
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
    m->cut_cells = file->cut_cells;
    m->complete = file->state == EXPORT_FILE_THERE;
    if (file->expire_us)
        m->expire_time = convert_time(arena, file->expire_us);
    return m->file_name && m->content_type && m->sha256 && (m->expire_time || !file->expire_us) ? m : NULL;
}

/* What can be downloaded; file NULL: nothing is known of one. */
static Joblog__V1__ExportFileState file_state(const struct job *job, const struct export_file *file)
{
    switch (job->status) {
    case JOB_PENDING:
        return JOBLOG__V1__EXPORT_FILE_STATE__EXPORT_FILE_STATE_NONE_YET;
    case JOB_RUNNING:
        return job->progress.done > 0 ? JOBLOG__V1__EXPORT_FILE_STATE__EXPORT_FILE_STATE_WRITING
                                      : JOBLOG__V1__EXPORT_FILE_STATE__EXPORT_FILE_STATE_NONE_YET;
    case JOB_COMPLETED:
        if (export_file_is_there(file))
            return JOBLOG__V1__EXPORT_FILE_STATE__EXPORT_FILE_STATE_READY;
        return file && file->state == EXPORT_FILE_DELETED ? JOBLOG__V1__EXPORT_FILE_STATE__EXPORT_FILE_STATE_DELETED
                                                          : JOBLOG__V1__EXPORT_FILE_STATE__EXPORT_FILE_STATE_EXPIRED;
    default:
        return JOBLOG__V1__EXPORT_FILE_STATE__EXPORT_FILE_STATE_NONE;
    }
}

static Joblog__V1__CsvOptions *convert_csv(struct arena *arena, const struct export_csv *csv)
{
    Joblog__V1__CsvOptions *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__csv_options__init(m);
    m->delimiter = convert_text(arena, csv->delimiter ? span_of(&csv->delimiter, 1) : SPAN_LIT(","));
    m->null_text = convert_text(arena, csv->null_text);
    m->byte_order_mark = csv->byte_order_mark;
    m->no_header = csv->no_header;
    m->keep_formulas = csv->keep_formulas;
    return m->delimiter && m->null_text ? m : NULL;
}

/* The columns of the file; where there is none yet, those that were asked for or, were none, those of the type. */
static bool put_columns(struct arena *arena, const struct export_request *request, const struct export_type *type,
                        const struct export_file *file, Joblog__V1__Export *m)
{
    bool noted = file && file->n_columns > 0;
    const struct span *names = noted ? file->columns : request->columns;
    size_t n_names = noted ? file->n_columns : request->n_columns;
    size_t n = n_names || !type ? n_names : type->n_columns;
    m->columns = arena_alloc(arena, n * sizeof *m->columns);
    for (; m->columns && m->n_columns < n; m->n_columns++)
        if (!(m->columns[m->n_columns] =
                  convert_text(arena, n_names ? names[m->n_columns] : span_str(type->columns[m->n_columns].name))))
            return false;
    return m->columns != NULL;
}

/* What was asked for. False: out of memory. */
static bool put_request(struct arena *arena, const struct export_request *request, Joblog__V1__Export *m)
{
    m->format = (Joblog__V1__ExportFormat)(request->format ? request->format : EXPORT_CSV);
    m->compression = (Joblog__V1__ExportCompression)(request->compression ? request->compression : EXPORT_PLAIN);
    m->export_type = convert_text(arena, request->export_type);
    m->file_name = convert_text(arena, request->file_name);
    m->language = convert_text(arena, request->language);
    m->filters = arena_alloc(arena, request->n_filters * sizeof *m->filters);
    m->order = convert_export_orders(arena, request->order, request->n_order);
    m->n_order = request->n_order;
    if (!m->export_type || !m->file_name || !m->language || !m->filters || !m->order)
        return false;
    for (; m->n_filters < request->n_filters; m->n_filters++)
        if (!(m->filters[m->n_filters] = convert_filter(arena, &request->filters[m->n_filters])))
            return false;
    return m->format != JOBLOG__V1__EXPORT_FORMAT__EXPORT_FORMAT_CSV || (m->csv = convert_csv(arena, &request->csv));
}

Joblog__V1__Export *convert_export(struct arena *arena, struct exports *exports, const struct job *job,
                                   const struct export_request *request, const struct export_file *file)
{
    Joblog__V1__Export *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__export__init(m);
    struct export_types *types = export_types_of(exports);
    const struct export_type *type = export_types_find(types, request->export_type);
    /* A type that was taken away keeps its name for its old exports. */
    m->title = convert_text(arena, type ? span_str(type->title) : request->export_type);
    bool ok = m->title && put_request(arena, request, m) && put_columns(arena, request, type, file, m);
    export_types_free(types);
    m->job = convert_job(arena, job, VIEW_BASIC, clock_wall_us());
    m->file_state = file_state(job, file);
    m->completed = job->status == JOB_COMPLETED;
    m->failed = job->status == JOB_FAILED;
    if (!ok || !m->job)
        return NULL;
    if (m->file_state == JOBLOG__V1__EXPORT_FILE_STATE__EXPORT_FILE_STATE_READY &&
        !(m->file = convert_export_file(arena, file)))
        return NULL;
    return m;
}

/* ---- types ---- */

static char *copy(struct arena *arena, const char *text)
{
    return arena_str(arena, span_str(text));
}

static Joblog__V1__ExportFilterType *convert_filter_type(struct arena *arena, const struct export_filter_type *filter)
{
    Joblog__V1__ExportFilterType *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__export_filter_type__init(m);
    m->field = copy(arena, filter->field);
    m->title = copy(arena, filter->title);
    m->value_type = (Joblog__V1__ExportValueType)filter->value;
    m->operators = arena_alloc(arena, filter->n_ops * sizeof *m->operators);
    if (!m->operators || !m->field || !m->title)
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
    m->name = copy(arena, column->name);
    m->title = copy(arena, column->title);
    m->format = copy(arena, column->format);
    m->value_type = (Joblog__V1__ExportValueType)column->actual;
    m->sortable = column->sortable;
    return m->name && m->title && m->format ? m : NULL;
}

Joblog__V1__ExportType *convert_export_type(struct arena *arena, const struct export_type *type, bool all_rows)
{
    static Joblog__V1__ExportFormat formats[] = {JOBLOG__V1__EXPORT_FORMAT__EXPORT_FORMAT_CSV,
                                                 JOBLOG__V1__EXPORT_FORMAT__EXPORT_FORMAT_JSON_LINES,
                                                 JOBLOG__V1__EXPORT_FORMAT__EXPORT_FORMAT_XLSX};
    static Joblog__V1__ExportCompression compressions[] = {JOBLOG__V1__EXPORT_COMPRESSION__EXPORT_COMPRESSION_NONE,
                                                           JOBLOG__V1__EXPORT_COMPRESSION__EXPORT_COMPRESSION_GZIP,
                                                           JOBLOG__V1__EXPORT_COMPRESSION__EXPORT_COMPRESSION_ZSTD};
    Joblog__V1__ExportType *m = arena_alloc(arena, sizeof *m);
    if (!m)
        return NULL;
    joblog__v1__export_type__init(m);
    m->name = copy(arena, type->name);
    m->title = copy(arena, type->title);
    m->formats = formats;
    m->n_formats = sizeof formats / sizeof formats[0];
    m->compressions = compressions;
    m->n_compressions = sizeof compressions / sizeof compressions[0];
    m->max_rows = type->max_rows;
    m->own_rows_only = type->owner_column.name != NULL && !all_rows;
    m->order = convert_export_orders(arena, type->order, type->n_order);
    m->n_order = type->n_order;
    m->columns = arena_alloc(arena, type->n_columns * sizeof *m->columns);
    m->filters = arena_alloc(arena, type->n_filters * sizeof *m->filters);
    if (!m->name || !m->title || !m->order || !m->columns || !m->filters)
        return NULL;
    for (; m->n_columns < type->n_columns; m->n_columns++)
        if (!(m->columns[m->n_columns] = convert_column(arena, &type->columns[m->n_columns])))
            return NULL;
    for (; m->n_filters < type->n_filters; m->n_filters++)
        if (!(m->filters[m->n_filters] = convert_filter_type(arena, &type->filters[m->n_filters])))
            return NULL;
    return m;
}
