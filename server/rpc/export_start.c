/* What StartExport is asked, from message to request, every part checked. On the call's worker. */
#include "rpc/export_start.h"
#include "export/query.h"
#include "export/words.h"
#include "rpc/check.h"

static int no_memory(struct err *err)
{
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "out of memory");
}

static int check_filters(const Joblog__V1__StartExportRequest *message, struct arena *arena,
                         struct export_request *request, struct err *err)
{
    if (message->n_filters > EXPORT_FILTERS_MAX)
        return err_field(err, "filters", "at most %d filters", EXPORT_FILTERS_MAX);
    struct export_filter *filters = arena_zalloc(arena, message->n_filters * sizeof *filters);
    if (!filters)
        return no_memory(err);
    for (size_t i = 0; i < message->n_filters; i++) {
        const Joblog__V1__ExportFilter *from = message->filters[i];
        struct span *values = arena_alloc(arena, from->n_values * sizeof *values);
        if (!values)
            return no_memory(err);
        for (size_t k = 0; k < from->n_values; k++)
            values[k] = span_str(from->values[k]);
        filters[i] = (struct export_filter){
            .field = span_str(from->field),
            .op = (enum export_op)from->operator_,
            .values = values,
            .n_values = from->n_values,
        };
    }
    request->filters = filters;
    request->n_filters = message->n_filters;
    return 0;
}

static int check_columns(const Joblog__V1__StartExportRequest *message, struct arena *arena,
                         struct export_request *request, struct err *err)
{
    if (message->n_columns > EXPORT_COLUMNS_MAX)
        return err_field(err, "columns", "at most %d columns", EXPORT_COLUMNS_MAX);
    if (message->n_order > EXPORT_ORDERS_MAX)
        return err_field(err, "order", "at most %d columns", EXPORT_ORDERS_MAX);
    struct span *columns = arena_alloc(arena, message->n_columns * sizeof *columns);
    struct export_order *order = arena_zalloc(arena, message->n_order * sizeof *order);
    if (!columns || !order)
        return no_memory(err);
    for (size_t i = 0; i < message->n_columns; i++)
        columns[i] = span_str(message->columns[i]);
    for (size_t i = 0; i < message->n_order; i++) {
        order[i].column = span_str(message->order[i]->column);
        order[i].descending = message->order[i]->descending;
    }
    request->columns = columns;
    request->n_columns = message->n_columns;
    request->order = order;
    request->n_order = message->n_order;
    return 0;
}

static int check_form(const Joblog__V1__StartExportRequest *message, struct export_request *request, struct err *err)
{
    const Joblog__V1__CsvOptions *csv = message->csv;
    if ((int)message->format < 0 || (int)message->format > EXPORT_XLSX)
        return err_field(err, "format", "there is no format %d", (int)message->format);
    if ((int)message->compression < 0 || (int)message->compression > EXPORT_ZSTD)
        return err_field(err, "compression", "there is no compression %d", (int)message->compression);
    request->format = (enum export_format)(message->format ? (int)message->format : EXPORT_CSV);
    request->compression = (enum export_compression)message->compression;
    if (csv) {
        if (strlen(csv->delimiter) > 1)
            return err_field(err, "csv.delimiter", "must be one character");
        request->csv = (struct export_csv){.delimiter = csv->delimiter[0],
                                           .byte_order_mark = csv->byte_order_mark,
                                           .no_header = csv->no_header,
                                           .keep_formulas = csv->keep_formulas,
                                           .null_text = span_str(csv->null_text)};
    }
    request->language = span_str(message->language);
    if (!export_language_is_well_formed(request->language))
        return err_field(err, "language", "must be a language tag such as \"es\" or \"es-MX\"");
    request->file_name = span_str(message->file_name);
    int rc = request->file_name.len > 0 ? export_file_name_check(request->file_name, err) : 0;
    return rc != 0 ? rc : export_request_check(request, err);
}

/* The operator meant where none was named, so that the record says what was done. */
static void name_operators(struct export_request *request, const struct export_type *type)
{
    struct export_filter *filters = (struct export_filter *)request->filters; /* made by check_filters */
    for (size_t i = 0; i < request->n_filters; i++)
        for (size_t k = 0; filters[i].op == EXPORT_OP_DEFAULT && k < type->n_filters; k++)
            if (span_eq(filters[i].field, span_str(type->filters[k].field)))
                filters[i].op = type->filters[k].ops[0];
}

/* What one may not run does not exist. */
static int refuse_type(const char *name, const struct export_types *types, const struct export_caller *caller,
                       struct err *ret_err)
{
    char names[EXPORT_NAMES_ROOM] = "";
    for (size_t i = 0; i < export_types_count(types); i++)
        if (export_type_allows(export_types_at(types, i), caller->roles))
            export_names_add(names, export_types_at(types, i)->name);
    return err_field(ret_err, "export_type", "there is no export type \"%.60s\"; there are %s", name,
                     *names ? names : "none");
}

int export_check_start(const Joblog__V1__StartExportRequest *message, struct arena *arena,
                       const struct export_types *types, const struct export_caller *caller, struct export_request *ret,
                       const struct export_type **ret_type, struct err *ret_err)
{
    struct export_query query;
    int rc = check_name(message->export_type, NAME_MAX_BYTES, "", "export_type", &ret->export_type, ret_err);
    if (rc != 0)
        return rc;
    const struct export_type *type = export_types_find(types, ret->export_type);
    if (!type || !export_type_allows(type, caller->roles))
        return refuse_type(message->export_type, types, caller, ret_err);
    if ((rc = check_form(message, ret, ret_err)) != 0 || (rc = check_filters(message, arena, ret, ret_err)) != 0 ||
        (rc = check_columns(message, arena, ret, ret_err)) != 0 ||
        (rc = export_query_plan(type, ret, arena, &query, ret_err)) != 0)
        return rc;
    name_operators(ret, type);
    /* Also where the type has no owner column: it may have one when the export runs, or runs again. */
    ret->all_rows = caller->all_rows;
    if (!ret->all_rows)
        ret->rows_of = caller->owner;
    *ret_type = type;
    return 0;
}
