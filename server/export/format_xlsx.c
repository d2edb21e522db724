/* Office Open XML workbooks (ECMA-376), written straight through: the sheets first, then the parts that name them.
 * Texts stand in their cells, so nothing is gathered. A sheet ends at Excel's last row, or near the 4 GiB that a member
 * of the archive may have; the next one begins with the titles again. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "export/format_priv.h"
#include "export/xlsx.h"
#include "export/zip.h"

enum {
    ROWS_MAX = 1048576,        /* of a sheet, the titles included */
    SHEET_BYTES_MAX = 3 << 29, /* 1.5 GiB: with the row of a million bytes that may follow still far from 4 GiB */
    REF_MAX = 4                /* "XFD" and its NUL */
};

struct xlsx {
    struct export_encoder encoder; /* first */
    const char *title;
    const struct export_field *fields;
    size_t n_fields;
    struct export_out *out; /* the sheet that is open */
    struct export_zip *zip;
    unsigned n_sheets, n_rows; /* of the sheet that is open: rows */
    unsigned rows_max;         /* of a sheet */
    uint64_t bytes_max;
    char (*refs)[REF_MAX];     /* letters of the columns */
    struct xlsx_style *styles; /* of the columns' cells */
    struct buf text;           /* a cell's, unescaped */
};

/* ---- cells ---- */

static int add_start(struct xlsx *x, size_t column, const char *row, size_t row_len, const char *rest)
{
    return export_out_add(x->out, "<c r=\"", 6) != 0 || export_out_str(x->out, x->refs[column]) != 0 ||
                   export_out_add(x->out, row, row_len) != 0 || export_out_str(x->out, rest) != 0
               ? -1
               : 0;
}

static int add_number(struct xlsx *x, size_t column, const char *row, size_t row_len, unsigned style, struct span text)
{
    char start[24];
    if (style)
        snprintf(start, sizeof start, "\" s=\"%u\"><v>", style);
    return add_start(x, column, row, row_len, style ? start : "\"><v>") != 0 ||
                   export_out_add(x->out, text.data, text.len) != 0 || export_out_add(x->out, "</v></c>", 8) != 0
               ? -1
               : 0;
}

static int add_text_cell(struct xlsx *x, size_t column, const char *row, size_t row_len, struct span text, bool title)
{
    bool cut = false;
    if (add_start(x, column, row, row_len,
                  title ? "\" s=\"3\" t=\"inlineStr\"><is><t xml:space=\"preserve\">"
                        : "\" t=\"inlineStr\"><is><t xml:space=\"preserve\">") != 0 ||
        xlsx_add_text(x->out, text, &cut) != 0)
        return -1;
    x->encoder.cut_cells += cut;
    return export_out_str(x->out, "</t></is></c>");
}

/* The text that COPY escaped. Borrows from field where nothing is escaped. */
static struct span unescape(struct xlsx *x, struct span field)
{
    static const char from[] = "bfnrtv", to[] = "\b\f\n\r\t\v";
    const char *p = field.data, *end = p + field.len;
    const char *back = memchr(p, '\\', field.len);
    if (!back)
        return field;
    buf_clear(&x->text);
    while (back) {
        buf_add(&x->text, p, (size_t)(back - p));
        const char *known = back + 1 < end ? strchr(from, back[1]) : NULL;
        buf_add_char(&x->text, known && *known ? to[known - from] : back + 1 < end ? back[1] : '\\');
        p = back + 2 < end ? back + 2 : end;
        back = memchr(p, '\\', (size_t)(end - p));
    }
    buf_add(&x->text, p, (size_t)(end - p));
    return buf_span(&x->text);
}

static int add_cell(struct xlsx *x, size_t column, const char *row, size_t row_len, struct span field)
{
    char room[XLSX_SERIAL_MAX];
    struct span serial;
    int digits;
    const struct xlsx_style *style = &x->styles[column];
    switch (x->fields[column].value) {
    case EXPORT_VALUE_INTEGER:
    case EXPORT_VALUE_NUMBER: /* a cell's number has 15 digits; one with more stays whole as a text */
        if (export_is_number(field, &digits) && (digits <= 15 || x->fields[column].is_float))
            return add_number(x, column, row, row_len, style->number, field);
        break;
    case EXPORT_VALUE_BOOLEAN:
        if (field.len == 1 && (*field.data == 't' || *field.data == 'f'))
            return add_start(x, column, row, row_len,
                             *field.data == 't' ? "\" t=\"b\"><v>1</v></c>" : "\" t=\"b\"><v>0</v></c>");
        break;
    case EXPORT_VALUE_DATE:
    case EXPORT_VALUE_TIMESTAMP:
        if (xlsx_serial(field, room, &serial))
            return add_number(x, column, row, row_len, style->time, serial);
        break;
    default:
        break;
    }
    struct span text = unescape(x, field);
    return x->text.failed ? -1 : add_text_cell(x, column, row, row_len, text, false);
}

/* ---- sheets ---- */

static size_t row_number(struct xlsx *x, char room[12])
{
    return (size_t)snprintf(room, 12, "%u", ++x->n_rows);
}

static int begin_row(struct xlsx *x, const char *number, size_t len)
{
    return export_out_add(x->out, "<row r=\"", 8) != 0 || export_out_add(x->out, number, len) != 0 ||
                   export_out_add(x->out, "\">", 2) != 0
               ? -1
               : 0;
}

static int begin_sheet(struct xlsx *x)
{
    char name[40], number[12];
    snprintf(name, sizeof name, "xl/worksheets/sheet%u.xml", ++x->n_sheets);
    if (export_zip_begin(x->zip, name) != 0 || export_out_str(x->out, xlsx_sheet_begin) != 0)
        return -1;
    x->n_rows = 0;
    size_t len = row_number(x, number);
    if (begin_row(x, number, len) != 0)
        return -1;
    for (size_t i = 0; i < x->n_fields; i++)
        if (add_text_cell(x, i, number, len, span_str(x->fields[i].title), true) != 0)
            return -1;
    return export_out_str(x->out, "</row>");
}

static int end_sheet(struct xlsx *x)
{
    return export_out_str(x->out, xlsx_sheet_end) != 0 ? -1 : export_zip_end(x->zip);
}

static int xlsx_begin(struct export_encoder *encoder)
{
    return begin_sheet((struct xlsx *)encoder);
}

static int xlsx_row(struct export_encoder *encoder, struct span row)
{
    struct xlsx *x = (struct xlsx *)encoder;
    const char *at = row.data, *end = row.data + row.len;
    char number[12];
    struct span field;
    if (end > at && end[-1] == '\n')
        end--;
    if ((x->n_rows == x->rows_max || export_zip_member_size(x->zip) > x->bytes_max) &&
        (end_sheet(x) != 0 || begin_sheet(x) != 0))
        return -1;
    size_t len = row_number(x, number);
    if (begin_row(x, number, len) != 0)
        return -1;
    for (size_t i = 0; i < x->n_fields; i++)
        if (export_copy_field(&at, end, &field) && add_cell(x, i, number, len, field) != 0)
            return -1;
    return export_out_add(x->out, "</row>", 6);
}

/* ---- the workbook ---- */

static int add_part(struct xlsx *x, const char *name, const struct buf *text)
{
    if (text->failed || export_zip_begin(x->zip, name) != 0 ||
        export_out_add(export_zip_out(x->zip), text->data, text->len) != 0)
        return -1;
    return export_zip_end(x->zip);
}

static int xlsx_end(struct export_encoder *encoder)
{
    static void (*const write[])(struct buf *, const struct xlsx_book *) = {xlsx_workbook, xlsx_workbook_rels,
                                                                            xlsx_styles, xlsx_rels, xlsx_content_types};
    static const char *const names[] = {"xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml", "_rels/.rels",
                                        "[Content_Types].xml"};
    struct xlsx *x = (struct xlsx *)encoder;
    struct xlsx_book book = {x->title, x->n_sheets, x->fields, x->n_fields};
    struct buf text = BUF_INIT;
    int rc = end_sheet(x);
    for (size_t i = 0; rc == 0 && i < sizeof write / sizeof write[0]; i++) {
        buf_clear(&text);
        write[i](&text, &book);
        rc = add_part(x, names[i], &text);
    }
    buf_done(&text);
    return rc != 0 ? rc : export_zip_finish(x->zip);
}

static void xlsx_free(struct export_encoder *encoder)
{
    struct xlsx *x = (struct xlsx *)encoder;
    export_zip_free(x->zip);
    buf_done(&x->text);
    mem_free(x->refs);
    mem_free(x->styles);
    mem_free(x);
}

/* 0: "A", 25: "Z", 26: "AA" ... */
static void make_ref(char ref[REF_MAX], size_t column)
{
    char back[REF_MAX];
    int n = 0;
    for (size_t c = column + 1; c > 0 && n < REF_MAX - 1; c = (c - 1) / 26)
        back[n++] = (char)('A' + (c - 1) % 26);
    for (int i = 0; i < n; i++)
        ref[i] = back[n - 1 - i];
    ref[n] = '\0';
}

struct export_encoder *export_xlsx_new(const char *title, const struct export_field *fields, size_t n_fields,
                                       struct export_out *out)
{
    struct xlsx *x = mem_zalloc(sizeof *x);
    if (!x)
        return NULL;
    x->encoder = (struct export_encoder){.begin = xlsx_begin, .row = xlsx_row, .end = xlsx_end, .free = xlsx_free};
    x->title = title;
    x->fields = fields;
    x->n_fields = n_fields;
    x->rows_max = ROWS_MAX;
    x->bytes_max = SHEET_BYTES_MAX;
    x->zip = export_zip_new(out);
    x->refs = mem_zalloc(n_fields * sizeof *x->refs);
    x->styles = mem_zalloc(n_fields * sizeof *x->styles);
    if (!x->zip || !x->refs || !x->styles) {
        xlsx_free(&x->encoder);
        return NULL;
    }
    x->out = export_zip_out(x->zip);
    for (size_t i = 0; i < n_fields; i++)
        make_ref(x->refs[i], i);
    xlsx_number_styles(fields, n_fields, x->styles);
    return &x->encoder;
}

void export_xlsx_limit(struct export_encoder *encoder, unsigned sheet_rows, uint64_t sheet_bytes, uint64_t zip64_from)
{
    struct xlsx *x = (struct xlsx *)encoder;
    x->rows_max = sheet_rows;
    x->bytes_max = sheet_bytes;
    export_zip_far_from(x->zip, zip64_from);
}
