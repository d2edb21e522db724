/* CSV as RFC 4180 has it. PostgreSQL quotes; what is left to do is the end of a record (CRLF), the first line, and a
 * "'" before texts that a spreadsheet would take for a formula. */
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/alloc.h"
#include "export/format_priv.h"

struct csv {
    struct export_encoder encoder; /* first */
    const struct export_request *request;
    const struct export_field *fields;
    size_t n_fields;
    struct export_out *out;
    char delimiter;
    bool look; /* for formulas */
};

/* What OWASP lists as the beginnings of a formula, and the line feed: some readers skip it as they do the others. */
static inline bool begins_formula(char c)
{
    return c == '=' || c == '+' || c == '-' || c == '@' || c == '\t' || c == '\r' || c == '\n';
}

/* ---- rows ---- */

#if defined(__SSE2__)
static inline unsigned find(__m128i bytes, char c)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));
}

/* May any field begin a formula? Sixteen bytes at a time: is there a character that begins one behind a delimiter, a
 * quote, or the beginning? Says yes too often, since quotes and delimiters may stand inside of a text. */
static bool may_hold_formula(const char *at, const char *end, char delimiter)
{
    unsigned before = 1; /* may a field begin with the next character? */
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        unsigned first = find(bytes, '=') | find(bytes, '+') | find(bytes, '-') | find(bytes, '@') | find(bytes, '\t') |
                         find(bytes, '\r') | find(bytes, '\n');
        unsigned opens = find(bytes, delimiter) | find(bytes, '"');
        if (first & (opens << 1 | before))
            return true;
        before = opens >> 15;
    }
    for (; at < end; at++) {
        if (before && begins_formula(*at))
            return true;
        before = *at == delimiter || *at == '"';
    }
    return false;
}
#else
static bool may_hold_formula(const char *at, const char *end, char delimiter)
{
    (void)delimiter;
    return at < end;
}
#endif

/* Moves *at to the end of the field that begins there. Gives its first character, 0 for none. */
static inline char skip_field(const char **at, const char *end, char delimiter)
{
    const char *p = *at;
    char first = 0;
    if (p < end && *p == '"') {
        first = p[1];
        for (p++;; p += 2) { /* behind the quote that opened it; a quote in the text is doubled */
            p = memchr(p, '"', (size_t)(end - p));
            if (!p) {
                p = end;
                break;
            }
            if (p + 1 >= end || p[1] != '"') {
                p++;
                break;
            }
        }
        if (first == '"' && p == *at + 2)
            first = 0; /* empty */
    } else {
        const char *next = p;
        while (next < end && *next != delimiter)
            next++;
        first = p < next ? *p : 0;
        p = next;
    }
    *at = p;
    return first;
}

static bool is_null(const struct csv *csv, const char *from, const char *to)
{
    return span_eq(csv->request->csv.null_text, span_of(from, (size_t)(to - from)));
}

/* Looks at each field, and writes what lies before one that needs its "'". */
static int add_safely(struct csv *csv, const char *at, const char *end)
{
    const char *done = at;
    for (size_t i = 0; i < csv->n_fields; i++) {
        const char *field = at;
        char first = skip_field(&at, end, csv->delimiter);
        if (__builtin_expect(begins_formula(first), 0) && csv->fields[i].is_free_text && !is_null(csv, field, at)) {
            const char *text = *field == '"' ? field + 1 : field;
            if (export_out_add(csv->out, done, (size_t)(text - done)) != 0 || export_out_add(csv->out, "'", 1) != 0)
                return -1;
            done = text;
        }
        if (at < end)
            at++;
    }
    return export_out_add(csv->out, done, (size_t)(end - done));
}

static int csv_row(struct export_encoder *encoder, struct span row)
{
    struct csv *csv = (struct csv *)encoder;
    size_t len = row.len > 0 && row.data[row.len - 1] == '\n' ? row.len - 1 : row.len;
    if (len == 0 && csv->n_fields == 1 &&
        csv->request->csv.null_text.len > 0) /* empty lines are passed over by readers */
        return export_out_str(csv->out, "\"\"\r\n");
    bool look = csv->look && may_hold_formula(row.data, row.data + len, csv->delimiter);
    int rc = look ? add_safely(csv, row.data, row.data + len) : export_out_add(csv->out, row.data, len);
    return rc != 0 ? rc : export_out_add(csv->out, "\r\n", 2);
}

/* ---- the first line, the end ---- */

static int add_title(struct csv *csv, const char *title)
{
    char special[] = {csv->delimiter, '"', '\r', '\n', 0};
    if (!strpbrk(title, special) && !is_null(csv, title, title + strlen(title)))
        return export_out_str(csv->out, title);
    if (export_out_add(csv->out, "\"", 1) != 0)
        return -1;
    for (; *title; title++)
        if (export_out_add(csv->out, *title == '"' ? "\"\"" : title, *title == '"' ? 2 : 1) != 0)
            return -1;
    return export_out_add(csv->out, "\"", 1);
}

static int csv_begin(struct export_encoder *encoder)
{
    struct csv *csv = (struct csv *)encoder;
    if (csv->request->csv.byte_order_mark && export_out_str(csv->out, "\xef\xbb\xbf") != 0)
        return -1;
    if (csv->request->csv.no_header)
        return 0;
    for (size_t i = 0; i < csv->n_fields; i++)
        if ((i && export_out_add(csv->out, &csv->delimiter, 1) != 0) || add_title(csv, csv->fields[i].title) != 0)
            return -1;
    return export_out_add(csv->out, "\r\n", 2);
}

static int csv_end(struct export_encoder *encoder)
{
    (void)encoder;
    return 0;
}

static void csv_free(struct export_encoder *encoder)
{
    mem_free(encoder);
}

struct export_encoder *export_csv_new(const struct export_request *request, const struct export_field *fields,
                                      size_t n_fields, struct export_out *out)
{
    struct csv *csv = mem_zalloc(sizeof *csv);
    if (!csv)
        return NULL;
    csv->encoder = (struct export_encoder){.begin = csv_begin, .row = csv_row, .end = csv_end, .free = csv_free};
    csv->request = request;
    csv->fields = fields;
    csv->n_fields = n_fields;
    csv->out = out;
    csv->delimiter = request->csv.delimiter ? request->csv.delimiter : ',';
    for (size_t i = 0; i < n_fields && !request->csv.keep_formulas; i++)
        csv->look = csv->look || fields[i].is_free_text;
    return &csv->encoder;
}
