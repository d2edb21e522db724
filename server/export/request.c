/* The payload of an export job: written by StartExport, read by the worker and by whoever shows an export. The reader
 * trusts nothing: a payload can be changed by merges and by hands in the database. */
#include "export/request.h"

#include <jansson.h>
#include <string.h>

/* ---- writing ---- */

static json_t *json_span(struct span s)
{
    return json_stringn(s.data ? s.data : "", s.len);
}

static json_t *filter_to_json(const struct export_filter *filter)
{
    json_t *values = json_array();
    bool ok = values != NULL;
    for (size_t i = 0; ok && i < filter->n_values; i++)
        ok = json_array_append_new(values, json_span(filter->values[i])) == 0;
    json_t *object = json_object();
    ok = ok && object && json_object_set_new(object, "field", json_span(filter->field)) == 0 &&
         json_object_set_new(object, "operator", json_string(export_op_name(filter->op))) == 0 &&
         json_object_set(object, "values", values) == 0;
    json_decref(values);
    if (!ok) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static int append_text(const char *text, size_t len, void *user)
{
    struct buf *out = user;
    buf_add(out, text, len);
    return out->failed ? -1 : 0;
}

bool export_request_encode(const struct export_request *request, struct buf *out)
{
    json_t *filters = json_array();
    bool ok = filters != NULL;
    for (size_t i = 0; ok && i < request->n_filters; i++)
        ok = json_array_append_new(filters, filter_to_json(&request->filters[i])) == 0;
    json_t *object = json_object();
    ok = ok && object && json_object_set_new(object, "export_type", json_span(request->export_type)) == 0 &&
         json_object_set_new(object, "format", json_string("csv")) == 0 &&
         json_object_set_new(object, "file_name", json_span(request->file_name)) == 0 &&
         json_object_set(object, "filters", filters) == 0 &&
         json_dump_callback(object, append_text, out, JSON_COMPACT) == 0;
    json_decref(filters);
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

static bool read_filter(struct arena *arena, json_t *object, struct export_filter *ret)
{
    struct span op;
    json_t *values = json_object_get(object, "values");
    size_t n = json_array_size(values);
    struct span *texts = arena_zalloc(arena, n * sizeof *texts);
    if (!texts || !json_is_array(values) || !read_span(arena, json_object_get(object, "field"), &ret->field) ||
        !read_span(arena, json_object_get(object, "operator"), &op))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!read_span(arena, json_array_get(values, i), &texts[i]))
            return false;
    ret->op = export_op_parse(op);
    ret->values = texts;
    ret->n_values = n;
    return true;
}

static int read_request(json_t *root, struct arena *arena, struct export_request *ret, struct err *err)
{
    struct export_request request = {0};
    struct span format;
    json_t *filters = json_object_get(root, "filters");
    if (!read_span(arena, json_object_get(root, "export_type"), &request.export_type))
        return refuse(err, "export_type");
    if (!read_span(arena, json_object_get(root, "format"), &format) || !span_eq(format, SPAN_LIT("csv")))
        return refuse(err, "format");
    if (!read_span(arena, json_object_get(root, "file_name"), &request.file_name) ||
        export_file_name_check(request.file_name, NULL) < 0)
        return refuse(err, "file_name");
    if (filters && !json_is_array(filters))
        return refuse(err, "filters");
    request.n_filters = json_array_size(filters);
    struct export_filter *all = arena_zalloc(arena, request.n_filters * sizeof *all);
    for (size_t i = 0; all && i < request.n_filters; i++)
        if (!read_filter(arena, json_array_get(filters, i), &all[i]))
            return refuse(err, "filters");
    if (!all)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    request.filters = all;
    *ret = request;
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

int export_file_name_check(struct span name, struct err *ret_err)
{
    if (name.len == 0 || name.len > EXPORT_FILE_NAME_MAX)
        return err_field(ret_err, "file_name", "must be 1 to %d bytes", EXPORT_FILE_NAME_MAX);
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (c < 0x20 || c == 0x7f || c == '/' || c == '\\')
            return err_field(ret_err, "file_name", "must not hold \"/\", \"\\\" or control characters");
    }
    if (span_eq(name, SPAN_LIT(".")) || span_eq(name, SPAN_LIT("..")))
        return err_field(ret_err, "file_name", "must not be \".\" or \"..\"");
    return 0;
}
