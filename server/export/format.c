/* What the encoders share; see format.h. */
#include "export/format.h"

#include "export/format_priv.h"
#include "export/value.h"

int export_encoder_new(const struct export_request *request, const char *title, const struct export_field *fields,
                       size_t n_fields, struct export_out *out, struct export_encoder **ret, struct err *ret_err)
{
    struct export_encoder *encoder = request->format == EXPORT_XLSX ? export_xlsx_new(title, fields, n_fields, out)
                                     : request->format == EXPORT_JSON_LINES
                                         ? export_jsonl_new(fields, n_fields, out)
                                         : export_csv_new(request, fields, n_fields, out);
    if (!encoder)
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    *ret = encoder;
    return 0;
}

void export_encoder_free(struct export_encoder *encoder)
{
    if (encoder)
        encoder->free(encoder);
}

void export_copy_options(const struct export_request *request, struct buf *out)
{
    if (request->format > EXPORT_CSV) {
        buf_add_str(out, "(FORMAT text, ENCODING 'UTF8')");
        return;
    }
    char delimiter = request->csv.delimiter ? request->csv.delimiter : ',';
    buf_add_str(out, "(FORMAT csv, ENCODING 'UTF8', DELIMITER ");
    export_text_literal(out, span_of(&delimiter, 1));
    buf_add_str(out, ", NULL ");
    export_text_literal(out, request->csv.null_text);
    buf_add_char(out, ')');
}

bool export_is_number(struct span text, int *ret_digits)
{
    const char *p = text.data, *end = text.data + text.len;
    int digits = 0;
    bool leading = true;
    if (p < end && *p == '-')
        p++;
    if (p == end || *p < '0' || *p > '9' || (*p == '0' && p + 1 < end && p[1] >= '0' && p[1] <= '9'))
        return false;
    for (; p < end && ((*p >= '0' && *p <= '9') || *p == '.'); p++) {
        if (*p == '.') {
            if (memchr(text.data, '.', (size_t)(p - text.data)) || p + 1 == end || p[1] < '0' || p[1] > '9')
                return false;
            continue;
        }
        leading = leading && *p == '0';
        digits += !leading;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (p == end)
            return false;
        while (p < end && *p >= '0' && *p <= '9')
            p++;
    }
    *ret_digits = digits;
    return p == end;
}
