/* Exports: start, get, list, cancel. One unary call each, on the caller's thread. */
#include <stdio.h>

#include "base/alloc.h"
#include "box.h"
#include "convert.h"
#include "export_priv.h"

const char *const export_operators[EXPORT_OPERATORS] = {
    "", "equals", "in", "contains", "at_least", "at_most", "search", "between", "prefix", "greater", "less"};

/* Entry 0 stands for NULL and "" as well. */
const char *const export_formats[EXPORT_FORMATS] = {"csv", "csv", "jsonl", "xlsx"};
const char *const export_compressions[EXPORT_COMPRESSIONS] = {"none", "none", "gzip", "zstd"};
static const char *const file_states[] = {"none", "none yet", "writing", "ready", "expired", "deleted", "none"};
enum { N_FILE_STATES = sizeof file_states / sizeof file_states[0], LIST_SIZE = 110 /* bytes of all operators */ };

/* "csv, jsonl, xlsx": all but those of the number 0. */
static const char *list_names(char text[LIST_SIZE], const char *const *names, size_t n)
{
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 1; i < n; i++)
        len += (size_t)snprintf(text + len, LIST_SIZE - len, "%s%s", i > 1 ? ", " : "", names[i]);
    return text;
}

/* The number of a name among four; 0 for none given, -1 for one that is not there. */
static int number_of(const char *name, const char *const names[4])
{
    if (!name || !*name)
        return 0;
    int i = 1;
    while (i < 4 && strcmp(names[i], name) != 0)
        i++;
    return i < 4 ? i : -1;
}

/* Of a later server. */
static const char unknown[] = "?";

static const struct joblog_export_filter *convert_filters(struct arena *a, const Joblog__V1__Export *m)
{
    struct joblog_export_filter *filters = arena_alloc(a, m->n_filters * sizeof *filters);
    for (size_t i = 0; filters && i < m->n_filters; i++) {
        const Joblog__V1__ExportFilter *from = m->filters[i];
        unsigned op = (unsigned)from->operator_;
        filters[i] = (struct joblog_export_filter){.field = text_of(from->field),
                                                   .op = op < EXPORT_OPERATORS ? export_operators[op] : unknown,
                                                   .values = (const char *const *)from->values,
                                                   .n_values = from->n_values};
    }
    return filters;
}

/* What was asked for. */
static bool convert_asked(struct arena *a, const Joblog__V1__Export *m, struct joblog_export *out)
{
    unsigned format = (unsigned)m->format, compression = (unsigned)m->compression;
    struct joblog_export_order *order = arena_alloc(a, m->n_order * sizeof *order);
    out->filters = convert_filters(a, m);
    if (!order || !out->filters)
        return false;
    for (size_t i = 0; i < m->n_order; i++)
        order[i] = (struct joblog_export_order){text_of(m->order[i]->column), m->order[i]->descending};
    out->order = order;
    out->n_order = m->n_order;
    out->n_filters = m->n_filters;
    out->columns = (const char *const *)m->columns;
    out->n_columns = m->n_columns;
    out->format = format < EXPORT_FORMATS ? export_formats[format] : unknown;
    out->compression = compression < EXPORT_COMPRESSIONS ? export_compressions[compression] : unknown;
    out->language = text_of(m->language);
    out->csv = (struct joblog_csv_options){.delimiter = text_of(m->csv ? m->csv->delimiter : NULL),
                                           .null_text = text_of(m->csv ? m->csv->null_text : NULL),
                                           .byte_order_mark = m->csv && m->csv->byte_order_mark,
                                           .no_header = m->csv && m->csv->no_header,
                                           .keep_formulas = m->csv && m->csv->keep_formulas};
    return true;
}

bool convert_export(struct arena *a, const Joblog__V1__Export *message, struct joblog_export *ret_export)
{
    static const Joblog__V1__Export empty = JOBLOG__V1__EXPORT__INIT;
    const Joblog__V1__Export *m = message ? message : &empty;
    const Joblog__V1__ExportFile *f = m->file;
    *ret_export = (struct joblog_export){
        .export_type = text_of(m->export_type),
        .title = text_of(m->title),
        .has_file = f != NULL,
        .file_name = text_of(f ? f->file_name : m->file_name),
        .content_type = text_of(f ? f->content_type : NULL),
        .sha256 = text_of(f ? f->sha256 : NULL),
        .size = f ? f->size : 0,
        .rows = f ? f->rows : 0,
        .expire_us = time_us_of(f ? f->expire_time : NULL),
        .cut_cells = f ? f->cut_cells : 0,
        .file_state = file_states[(unsigned)m->file_state < N_FILE_STATES ? (unsigned)m->file_state : 0],
    };
    return convert_asked(a, m, ret_export) && convert_job(a, m->job, &ret_export->job);
}

struct joblog_export *convert_export_box(ProtobufCMessage *message, const Joblog__V1__Export *m, struct err *ret_err)
{
    struct joblog_export *out = box_new(message, sizeof *out);
    if (!out || !convert_export(box_arena(out), m, out)) {
        box_free(out);
        error_no_memory(ret_err);
        return NULL;
    }
    return out;
}

void joblog_export_free(struct joblog_export *export_)
{
    box_free(export_);
}

static int refuse_operator(const char *op, size_t index, struct err *ret_err)
{
    char field[50], names[LIST_SIZE];
    snprintf(field, sizeof field, "filters[%zu].operator", index);
    return err_field(ret_err, field, "there is no operator %.50s; there are %s", op,
                     list_names(names, export_operators, EXPORT_OPERATORS));
}

static int put_filter(struct arena *a, const struct joblog_export_filter *from, size_t index,
                      Joblog__V1__ExportFilter **ret_filter, struct err *ret_err)
{
    Joblog__V1__ExportFilter *m = arena_alloc(a, sizeof *m);
    if (!m)
        return error_no_memory(ret_err);
    joblog__v1__export_filter__init(m);
    int op = 0;
    while (from->op && op < EXPORT_OPERATORS && strcmp(export_operators[op], from->op) != 0)
        op++;
    if (op == EXPORT_OPERATORS)
        return refuse_operator(from->op, index, ret_err);
    m->operator_ = (Joblog__V1__FilterOperator)op;
    m->field = text_for_message(from->field);
    m->values = (char **)from->values;
    m->n_values = from->n_values;
    *ret_filter = m;
    return 0;
}

static int put_form(struct arena *a, const struct joblog_export_spec *spec, Joblog__V1__StartExportRequest *request,
                    struct err *ret_err)
{
    const struct joblog_csv_options *csv = &spec->csv;
    Joblog__V1__CsvOptions *options = arena_alloc(a, sizeof *options);
    request->order = arena_alloc(a, spec->n_order * sizeof *request->order);
    if (!options || !request->order)
        return error_no_memory(ret_err);
    for (size_t i = 0; i < spec->n_order; i++) {
        Joblog__V1__ExportOrder *order = arena_alloc(a, sizeof *order);
        if (!order)
            return error_no_memory(ret_err);
        joblog__v1__export_order__init(order);
        order->column = text_for_message(spec->order[i].column);
        order->descending = spec->order[i].descending;
        request->order[i] = order;
    }
    request->n_order = spec->n_order;
    request->columns = (char **)spec->columns;
    request->n_columns = spec->n_columns;
    joblog__v1__csv_options__init(options);
    options->delimiter = text_for_message(csv->delimiter);
    options->null_text = text_for_message(csv->null_text);
    options->byte_order_mark = csv->byte_order_mark;
    options->no_header = csv->no_header;
    options->keep_formulas = csv->keep_formulas;
    request->csv = options;
    return 0;
}

static int put_spec(struct arena *a, const struct joblog_export_spec *spec, Joblog__V1__StartExportRequest *request,
                    struct err *ret_err)
{
    int format = number_of(spec->format, export_formats),
        compression = number_of(spec->compression, export_compressions);
    char names[LIST_SIZE];
    if (format < 0)
        return err_field(ret_err, "format", "there is no format %.50s; there are %s", spec->format,
                         list_names(names, export_formats, EXPORT_FORMATS));
    if (compression < 0)
        return err_field(ret_err, "compression", "there is no compression %.50s; there are %s", spec->compression,
                         list_names(names, export_compressions, EXPORT_COMPRESSIONS));
    request->format = (Joblog__V1__ExportFormat)format;
    request->compression = (Joblog__V1__ExportCompression)compression;
    request->language = text_for_message(spec->language);
    request->export_type = text_for_message(spec->export_type);
    request->file_name = text_for_message(spec->file_name);
    request->filters = arena_alloc(a, spec->n_filters * sizeof *request->filters);
    if (!request->filters)
        return error_no_memory(ret_err);
    for (size_t i = 0; i < spec->n_filters; i++) {
        int rc = put_filter(a, &spec->filters[i], i, &request->filters[i], ret_err);
        if (rc < 0)
            return rc;
    }
    request->n_filters = spec->n_filters;
    return put_form(a, spec, request, ret_err);
}

int joblog_export_start(struct joblog_client *client, const struct joblog_export_spec *spec,
                        struct joblog_export **ret_export, char **ret_message, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    char made_id[REQUEST_ID_SIZE];
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    Joblog__V1__StartExportRequest request = JOBLOG__V1__START_EXPORT_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    if (!spec->request_id)
        request_id_make(made_id);
    request.request_id = text_for_message(spec->request_id ? spec->request_id : made_id);
    if (put_spec(&arena, spec, &request, &e) == 0)
        call_unary(client, EXPORT_METHOD(START_EXPORT), &request.base, NULL, &response, &e);
    arena_done(&arena);
    if (!response)
        return error_give(error, &e);
    Joblog__V1__StartExportResponse *m = (Joblog__V1__StartExportResponse *)response;
    char *message = ret_message ? mem_strdup(text_of(m->message)) : NULL;
    struct joblog_export *out = convert_export_box(response, m->export, &e);
    if (ret_message && !message)
        error_no_memory(&e);
    if (e.code != ERR_OK) {
        mem_free(message);
        box_free(out);
        return error_give(error, &e);
    }
    if (ret_message)
        *ret_message = message;
    if (ret_export)
        *ret_export = out;
    else
        box_free(out);
    return 0;
}

struct joblog_export *export_get(struct joblog_client *client, int64_t id, struct err *ret_err)
{
    Joblog__V1__GetExportRequest request = JOBLOG__V1__GET_EXPORT_REQUEST__INIT;
    request.id = id;
    ProtobufCMessage *response = NULL;
    if (call_unary(client, EXPORT_METHOD(GET_EXPORT), &request.base, NULL, &response, ret_err) < 0)
        return NULL;
    return convert_export_box(response, (const Joblog__V1__Export *)response, ret_err);
}

int joblog_export_get(struct joblog_client *client, int64_t id, struct joblog_export **ret_export,
                      struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct joblog_export *out = export_get(client, id, &e);
    if (out)
        *ret_export = out;
    return error_give(error, &e);
}

int joblog_export_cancel(struct joblog_client *client, int64_t id, const char *reason, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__CancelExportRequest request = JOBLOG__V1__CANCEL_EXPORT_REQUEST__INIT;
    request.id = id;
    request.reason = text_for_message(reason);
    ProtobufCMessage *response = NULL;
    int tries = 0;
    call_unary(client, EXPORT_METHOD(CANCEL_EXPORT), &request.base, &tries, &response, &e);
    crpc_message_free(response);
    if (e.code == ERR_FAILED_PRECONDITION && tries > 1) {
        /* Perhaps it is the first try, whose answer was lost, that has cancelled it. */
        struct err ignored = ERR_NONE;
        struct joblog_export *now = export_get(client, id, &ignored);
        if (now && now->job.status == JOBLOG_STATUS_CANCELLED)
            e = ERR_NONE;
        box_free(now);
    }
    return error_give(error, &e);
}

int joblog_export_delete(struct joblog_client *client, int64_t id, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__DeleteExportRequest request = JOBLOG__V1__DELETE_EXPORT_REQUEST__INIT;
    ProtobufCMessage *response = NULL;
    request.id = id;
    call_unary(client, EXPORT_METHOD(DELETE_EXPORT), &request.base, NULL, &response, &e);
    crpc_message_free(response);
    return error_give(error, &e);
}

static struct joblog_export_list *list_of(ProtobufCMessage *message, struct err *ret_err)
{
    Joblog__V1__ListExportsResponse *m = (Joblog__V1__ListExportsResponse *)message;
    struct joblog_export_list *list = box_new(message, sizeof *list);
    if (list)
        list->exports = arena_alloc(box_arena(list), m->n_exports * sizeof *list->exports);
    bool ok = list && list->exports;
    for (size_t i = 0; ok && i < m->n_exports; i++)
        ok = convert_export(box_arena(list), m->exports[i], &list->exports[i]);
    if (!ok) {
        box_free(list);
        error_no_memory(ret_err);
        return NULL;
    }
    list->n_exports = m->n_exports;
    list->next_page_token = m->next_page_token;
    return list;
}

int joblog_export_list_own(struct joblog_client *client, int page_size, const char *page_token,
                           struct joblog_export_list **ret_list, struct joblog_error *error)
{
    struct err e = ERR_NONE;
    Joblog__V1__ListExportsRequest request = JOBLOG__V1__LIST_EXPORTS_REQUEST__INIT;
    request.page_size = page_size;
    request.page_token = text_for_message(page_token);
    ProtobufCMessage *response = NULL;
    if (call_unary(client, EXPORT_METHOD(LIST_EXPORTS), &request.base, NULL, &response, &e) == 0) {
        struct joblog_export_list *list = list_of(response, &e);
        if (list)
            *ret_list = list;
    }
    return error_give(error, &e);
}

void joblog_export_list_free(struct joblog_export_list *list)
{
    box_free(list);
}
