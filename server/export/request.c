/* The payload of an export job: written by StartExport, read by the worker and by whoever shows an export. The reader
 * trusts nothing: a payload can be changed by hands in the database. */
#include "export/request.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/rights.h"

static const char *const format_names[] = {[EXPORT_CSV] = "csv", [EXPORT_JSON_LINES] = "jsonl", [EXPORT_XLSX] = "xlsx"};
static const char *const compression_names[] = {
    [EXPORT_PLAIN] = "none", [EXPORT_GZIP] = "gzip", [EXPORT_ZSTD] = "zstd"};

enum export_format export_format_parse(struct span name)
{
    for (int i = EXPORT_CSV; i <= EXPORT_XLSX; i++)
        if (span_eq(name, span_str(format_names[i])))
            return (enum export_format)i;
    return 0;
}

enum export_compression export_compression_parse(struct span name)
{
    for (int i = EXPORT_PLAIN; i <= EXPORT_ZSTD; i++)
        if (span_eq(name, span_str(compression_names[i])))
            return (enum export_compression)i;
    return 0;
}

/* ---- writing ---- */

static json_t *json_span(struct span s)
{
    return json_stringn(s.data ? s.data : "", s.len);
}

/* Takes value; false when it or the room for it could not be had. */
static bool put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static json_t *texts_to_json(const struct span *texts, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < n; i++)
        if (json_array_append_new(array, json_span(texts[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *filter_to_json(const struct export_filter *filter)
{
    json_t *object = json_object();
    if (put(object, "field", json_span(filter->field)) &&
        put(object, "operator", json_string(export_op_name(filter->op))) &&
        put(object, "values", texts_to_json(filter->values, filter->n_values)))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *order_to_json(const struct export_order *order)
{
    json_t *object = json_object();
    if (put(object, "column", json_span(order->column)) && put(object, "descending", json_boolean(order->descending)))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *csv_to_json(const struct export_csv *csv)
{
    json_t *object = json_object();
    char delimiter[2] = {csv->delimiter ? csv->delimiter : ',', 0};
    if (put(object, "delimiter", json_string(delimiter)) &&
        put(object, "byte_order_mark", json_boolean(csv->byte_order_mark)) &&
        put(object, "no_header", json_boolean(csv->no_header)) && put(object, "null_text", json_span(csv->null_text)) &&
        put(object, "keep_formulas", json_boolean(csv->keep_formulas)))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *roles_to_json(unsigned roles)
{
    json_t *array = json_array();
    for (int i = 0; array && i < ROLE_COUNT; i++)
        if (roles & 1u << i && json_array_append_new(array, json_string(role_name(1u << i))) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static bool has_csv_options(const struct export_csv *csv)
{
    return (csv->delimiter && csv->delimiter != ',') || csv->byte_order_mark || csv->no_header || csv->keep_formulas ||
           csv->null_text.len > 0;
}

static int append_text(const char *text, size_t len, void *user)
{
    struct buf *out = user;
    buf_add(out, text, len);
    return out->failed ? -1 : 0;
}

/* What is not always there. */
static bool put_options(json_t *object, const struct export_request *r)
{
    if (r->n_columns && !put(object, "columns", texts_to_json(r->columns, r->n_columns)))
        return false;
    if (r->n_order) {
        json_t *order = json_array();
        bool ok = put(object, "order", order);
        for (size_t i = 0; ok && i < r->n_order; i++)
            ok = json_array_append_new(order, order_to_json(&r->order[i])) == 0;
        if (!ok)
            return false;
    }
    if (r->compression > EXPORT_PLAIN && !put(object, "compression", json_string(compression_names[r->compression])))
        return false;
    if (has_csv_options(&r->csv) && !put(object, "csv", csv_to_json(&r->csv)))
        return false;
    if (r->language.len && !put(object, "language", json_span(r->language)))
        return false;
    if (r->roles && !put(object, "roles", roles_to_json(r->roles)))
        return false;
    return r->all_rows ? put(object, "all_rows", json_true()) : put(object, "rows_of", json_span(r->rows_of));
}

bool export_request_encode(const struct export_request *request, struct buf *out)
{
    enum export_format format = request->format ? request->format : EXPORT_CSV;
    json_t *object = json_object(), *filters = json_array();
    bool ok = put(object, "export_type", json_span(request->export_type)) &&
              put(object, "format", json_string(format_names[format])) &&
              put(object, "file_name", json_span(request->file_name)) && put_options(object, request);
    ok = json_object_set_new(object, "filters", filters) == 0 && ok;
    for (size_t i = 0; ok && i < request->n_filters; i++)
        ok = json_array_append_new(filters, filter_to_json(&request->filters[i])) == 0;
    ok = ok && json_dump_callback(object, append_text, out, JSON_COMPACT) == 0;
    json_decref(object);
    return ok && !out->failed;
}

/* ---- reading ---- */

static int refuse(struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "EXPORT_PAYLOAD_INVALID", "the payload is not an export's: %s", what);
}

static bool read_span(struct arena *arena, json_t *value, struct span *ret)
{
    if (!json_is_string(value))
        return false;
    *ret = arena_span(arena, span_of(json_string_value(value), json_string_length(value)));
    return ret->data != NULL;
}

/* The same, but may be missing. */
static bool read_optional(struct arena *arena, json_t *value, struct span *ret)
{
    return !value || read_span(arena, value, ret);
}

static bool read_texts(struct arena *arena, json_t *array, const struct span **ret, size_t *ret_n)
{
    size_t n = json_array_size(array);
    struct span *texts = arena_zalloc(arena, n * sizeof *texts);
    if (!texts || (array && !json_is_array(array)))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!read_span(arena, json_array_get(array, i), &texts[i]))
            return false;
    *ret = texts;
    *ret_n = n;
    return true;
}

static bool read_filter(struct arena *arena, json_t *object, struct export_filter *ret)
{
    struct span op;
    json_t *values = json_object_get(object, "values");
    if (!values || !read_texts(arena, values, &ret->values, &ret->n_values) ||
        !read_span(arena, json_object_get(object, "field"), &ret->field) ||
        !read_span(arena, json_object_get(object, "operator"), &op))
        return false;
    ret->op = export_op_parse(op);
    return true;
}

static bool read_filters(struct arena *arena, json_t *array, struct export_request *ret)
{
    ret->n_filters = json_array_size(array);
    struct export_filter *filters = arena_zalloc(arena, ret->n_filters * sizeof *filters);
    if (!filters || (array && !json_is_array(array)))
        return false;
    for (size_t i = 0; i < ret->n_filters; i++)
        if (!read_filter(arena, json_array_get(array, i), &filters[i]))
            return false;
    ret->filters = filters;
    return true;
}

static bool read_order(struct arena *arena, json_t *array, struct export_request *ret)
{
    ret->n_order = json_array_size(array);
    struct export_order *order = arena_zalloc(arena, ret->n_order * sizeof *order);
    if (!order || (array && !json_is_array(array)) || ret->n_order > EXPORT_ORDERS_MAX)
        return false;
    for (size_t i = 0; i < ret->n_order; i++) {
        json_t *item = json_array_get(array, i);
        if (!read_span(arena, json_object_get(item, "column"), &order[i].column))
            return false;
        order[i].descending = json_is_true(json_object_get(item, "descending"));
    }
    ret->order = order;
    return true;
}

static bool read_csv(struct arena *arena, json_t *object, struct export_csv *ret)
{
    struct span delimiter = SPAN_LIT(",");
    if (!read_optional(arena, json_object_get(object, "delimiter"), &delimiter) || delimiter.len != 1 ||
        !read_optional(arena, json_object_get(object, "null_text"), &ret->null_text))
        return false;
    ret->delimiter = delimiter.data[0];
    ret->byte_order_mark = json_is_true(json_object_get(object, "byte_order_mark"));
    ret->no_header = json_is_true(json_object_get(object, "no_header"));
    ret->keep_formulas = json_is_true(json_object_get(object, "keep_formulas"));
    return true;
}

/* Of a payload that names none (of a version that did not): what it took to start it. A role that is not known here
 * grants nothing here. */
static bool read_roles(json_t *array, struct export_request *ret)
{
    ret->roles = array ? 0 : ret->all_rows ? ROLE_ADMIN : ROLE_EXPORTER;
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *name = json_array_get(array, i);
        if (!json_is_string(name))
            return false;
        ret->roles |= role_parse(span_of(json_string_value(name), json_string_length(name)));
    }
    return !array || json_is_array(array);
}

static int read_request(json_t *root, struct arena *arena, struct export_request *ret, struct err *err)
{
    struct export_request r = {0};
    struct span format = {0}, compression = SPAN_LIT("none");
    if (!read_span(arena, json_object_get(root, "export_type"), &r.export_type))
        return refuse(err, "export_type");
    if (!read_span(arena, json_object_get(root, "format"), &format) || !(r.format = export_format_parse(format)))
        return refuse(err, "format");
    if (!read_optional(arena, json_object_get(root, "compression"), &compression) ||
        !(r.compression = export_compression_parse(compression)))
        return refuse(err, "compression");
    if (!read_span(arena, json_object_get(root, "file_name"), &r.file_name) ||
        export_file_name_check(r.file_name, NULL) < 0)
        return refuse(err, "file_name");
    if (!read_filters(arena, json_object_get(root, "filters"), &r))
        return refuse(err, "filters");
    if (!read_texts(arena, json_object_get(root, "columns"), &r.columns, &r.n_columns))
        return refuse(err, "columns");
    if (!read_order(arena, json_object_get(root, "order"), &r))
        return refuse(err, "order");
    if (!read_csv(arena, json_object_get(root, "csv"), &r.csv) || export_request_check(&r, NULL) < 0)
        return refuse(err, "csv");
    if (!read_optional(arena, json_object_get(root, "language"), &r.language) ||
        !read_optional(arena, json_object_get(root, "rows_of"), &r.rows_of))
        return refuse(err, "language or rows_of");
    r.all_rows = json_is_true(json_object_get(root, "all_rows"));
    if (!read_roles(json_object_get(root, "roles"), &r))
        return refuse(err, "roles");
    *ret = r;
    return 0;
}

int export_request_decode(struct span payload, struct arena *arena, struct export_request *ret, struct err *ret_err)
{
    json_error_t fault;
    json_t *root = json_loadb(payload.data ? payload.data : "", payload.len, 0, &fault);
    int rc = root ? read_request(root, arena, ret, ret_err) : refuse(ret_err, "no JSON object");
    json_decref(root);
    return rc;
}

/* ---- columns of a file ---- */

bool export_columns_encode(const struct span *names, size_t n, struct buf *out)
{
    json_t *array = texts_to_json(names, n);
    char *text = array ? json_dumps(array, JSON_COMPACT) : NULL;
    json_decref(array);
    if (text)
        buf_add_str(out, text);
    free(text);
    return text && !out->failed;
}

bool export_columns_decode(struct span text, struct arena *arena, const struct span **ret, size_t *ret_n)
{
    json_error_t fault;
    json_t *array = text.len > 0 ? json_loadb(text.data, text.len, 0, &fault) : NULL;
    bool ok = !json_is_array(array) || read_texts(arena, array, ret, ret_n);
    json_decref(array);
    return ok;
}

/* ---- rules ---- */

int export_request_check(const struct export_request *r, struct err *ret_err)
{
    const struct export_csv *csv = &r->csv;
    char delimiter = csv->delimiter ? csv->delimiter : ',';
    if (!strchr(",;|\t", delimiter))
        return err_field(ret_err, "csv.delimiter", "must be a comma, a semicolon, a bar or a tab");
    if (csv->null_text.len > EXPORT_NULL_TEXT_MAX)
        return err_field(ret_err, "csv.null_text", "must be at most %d bytes", EXPORT_NULL_TEXT_MAX);
    for (size_t i = 0; i < csv->null_text.len; i++)
        if (csv->null_text.data[i] == '"' || csv->null_text.data[i] == delimiter ||
            (unsigned char)csv->null_text.data[i] < 0x20)
            return err_field(ret_err, "csv.null_text", "must not hold quotes, the delimiter or control characters");
    if (r->format > EXPORT_CSV && has_csv_options(csv))
        return err_field(ret_err, "csv", "options of CSV do not fit format %s", format_names[r->format]);
    if (r->format == EXPORT_XLSX && r->compression > EXPORT_PLAIN)
        return err_field(ret_err, "compression", "xlsx is compressed by itself");
    return 0;
}

/* At p, of left bytes: a control character, a break of lines, or a mark that turns the direction of the text, by which
 * "exe.csv" can be made to look like "vsc.exe". Letters that run from right to left are welcome. */
static bool is_control(const unsigned char *p, size_t left)
{
    if (p[0] < 0x20 || p[0] == 0x7f)
        return true;
    if (p[0] == 0xc2 && left > 1)
        return p[1] < 0xa0; /* U+0080 to U+009F */
    if (p[0] == 0xd8 && left > 1)
        return p[1] == 0x9c; /* U+061C */
    if (p[0] != 0xe2 || left < 3)
        return false;
    return (p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
           (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9); /* U+200E, 200F, 2028 to 202E, 2066 to 2069 */
}

int export_file_name_check(struct span name, struct err *ret_err)
{
    if (name.len == 0 || name.len > EXPORT_FILE_NAME_MAX)
        return err_field(ret_err, "file_name", "must be 1 to %d bytes", EXPORT_FILE_NAME_MAX);
    for (size_t i = 0; i < name.len; i++) {
        if (is_control((const unsigned char *)name.data + i, name.len - i) || name.data[i] == '/' ||
            name.data[i] == '\\')
            return err_field(ret_err, "file_name", "must not hold \"/\", \"\\\" or control characters");
    }
    if (span_eq(name, SPAN_LIT(".")) || span_eq(name, SPAN_LIT("..")))
        return err_field(ret_err, "file_name", "must not be \".\" or \"..\"");
    return 0;
}

const char *export_file_extension(const struct export_request *r)
{
    static const char *const names[][3] = {{"csv", "csv.gz", "csv.zst"}, {"jsonl", "jsonl.gz", "jsonl.zst"}};
    int packed = r->compression == EXPORT_GZIP ? 1 : r->compression == EXPORT_ZSTD ? 2 : 0;
    return r->format == EXPORT_XLSX ? "xlsx" : names[r->format == EXPORT_JSON_LINES][packed];
}

const char *export_content_type(const struct export_request *r)
{
    if (r->compression == EXPORT_GZIP)
        return "application/gzip";
    if (r->compression == EXPORT_ZSTD)
        return "application/zstd";
    if (r->format == EXPORT_XLSX)
        return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    if (r->format == EXPORT_JSON_LINES)
        return "application/jsonl; charset=utf-8";
    if (r->csv.delimiter == '\t')
        return "text/tab-separated-values; charset=utf-8";
    return r->csv.no_header ? "text/csv; charset=utf-8; header=absent" : "text/csv; charset=utf-8; header=present";
}
