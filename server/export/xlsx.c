/* See xlsx.h. */
#include "export/xlsx.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

#define XML       "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n"
#define MAIN      "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
#define RELATIONS "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
#define PACKAGE   "http://schemas.openxmlformats.org/package/2006/"
#define TYPE      "application/vnd.openxmlformats-officedocument.spreadsheetml."

/* The titles stay in sight. */
const char xlsx_sheet_begin[] =
    XML "<worksheet xmlns=\"" MAIN "\"><sheetViews><sheetView workbookViewId=\"0\">"
        "<pane ySplit=\"1\" topLeftCell=\"A2\" activePane=\"bottomLeft\" state=\"frozen\"/></sheetView></sheetViews>"
        "<sheetData>";
const char xlsx_sheet_end[] = "</sheetData></worksheet>";

/* ---- texts ---- */

/* Appends an escaped text of the operator's to a small part. */
static void add_escaped(struct buf *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            buf_add_str(out, "&amp;");
            break;
        case '<':
            buf_add_str(out, "&lt;");
            break;
        case '>':
            buf_add_str(out, "&gt;");
            break;
        case '"':
            buf_add_str(out, "&quot;");
            break;
        default:
            buf_add_char(out, (unsigned char)*text < 0x20 ? ' ' : *text);
        }
}

static int add_code(struct export_out *out, unsigned code)
{
    char escape[8];
    snprintf(escape, sizeof escape, "_x%04X_", code);
    return export_out_add(out, escape, 7);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool looks_escaped(const char *p, const char *end)
{
    return end - p >= 7 && p[1] == 'x' && is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]) && is_hex(p[5]) && p[6] == '_';
}

/* How much of text fits into a cell, with room for the "…" when it does not all fit. */
static size_t fitting(struct span text, bool *ret_cut)
{
    size_t units = 0, at = 0, last = 0;
    if (text.len <= XLSX_CELL_MAX)
        return text.len;
    while (at < text.len && units <= XLSX_CELL_MAX) {
        if (units <= XLSX_CELL_MAX - 1)
            last = at;
        size_t n = utf8_len((const uint8_t *)text.data + at, text.len - at);
        units += n == 4 ? 2 : 1;
        at += n ? n : 1;
    }
    *ret_cut = units > XLSX_CELL_MAX || at < text.len;
    return *ret_cut ? last : text.len;
}

/* 1: not as it is. */
static const unsigned char special[256] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1,         1,         1,         1,         1,         1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, ['&'] = 1, ['<'] = 1, ['>'] = 1, ['_'] = 1, [0xef] = 1};

/* The special character at p. Gives its bytes, or 0 when it may stand as it is. */
static size_t add_special(struct export_out *out, const char *p, const char *end, int *rc)
{
    unsigned char c = (unsigned char)*p;
    if (c == '&' || c == '<' || c == '>') {
        *rc = export_out_str(out, c == '&' ? "&amp;" : c == '<' ? "&lt;" : "&gt;");
        return 1;
    }
    if (c == '_') {
        *rc = looks_escaped(p, end) ? add_code(out, '_') : 0;
        return looks_escaped(p, end);
    }
    if (c == 0xef) { /* U+FFFE and U+FFFF are no characters of XML */
        bool none = end - p >= 3 && (unsigned char)p[1] == 0xbf && (unsigned char)p[2] >= 0xbe;
        *rc = none ? add_code(out, 0xff40u | (unsigned char)p[2]) : 0;
        return none ? 3 : 0;
    }
    *rc = add_code(out, c);
    return 1;
}

int xlsx_add_text(struct export_out *out, struct span text, bool *ret_cut)
{
    const char *p = text.data, *end = p + fitting(text, ret_cut), *done = p;
    while (p < end) {
        if (__builtin_expect(!special[(unsigned char)*p], 1)) {
            p++;
            continue;
        }
        int rc = 0;
        if (export_out_add(out, done, (size_t)(p - done)) != 0)
            return -1;
        done = p;
        size_t n = add_special(out, p, end, &rc);
        if (rc != 0)
            return rc;
        done += n;
        p += n ? n : 1;
    }
    int rc = export_out_add(out, done, (size_t)(end - done));
    return rc == 0 && *ret_cut ? export_out_str(out, "\xe2\x80\xa6") : rc;
}

/* ---- times ---- */

/* Days from 1970-01-01; Howard Hinnant's days_from_civil. */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int64_t era = y / 400;
    unsigned yoe = (unsigned)(y - era * 400);
    unsigned doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + (int64_t)doe - 719468;
}

static bool digits(const char *p, int n, unsigned *ret)
{
    unsigned value = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        value = value * 10 + (unsigned)(p[i] - '0');
    }
    *ret = value;
    return true;
}

/* " 12:00:00.5+00" behind the day, in microseconds. */
static bool time_of_day(const char *p, const char *end, uint64_t *ret_us)
{
    unsigned h, m, s;
    if (end - p < 9 || *p != ' ' || !digits(p + 1, 2, &h) || p[3] != ':' || !digits(p + 4, 2, &m) || p[6] != ':' ||
        !digits(p + 7, 2, &s))
        return false;
    uint64_t us = ((uint64_t)h * 3600 + (uint64_t)m * 60 + s) * 1000000, unit = 100000;
    p += 9;
    if (p < end && *p == '.')
        for (p++; p < end && *p >= '0' && *p <= '9'; p++, unit /= 10)
            us += (uint64_t)(*p - '0') * unit;
    *ret_us = us;
    return p == end || (end - p == 3 && memcmp(p, "+00", 3) == 0);
}

bool xlsx_serial(struct span text, char room[XLSX_SERIAL_MAX], struct span *ret)
{
    enum { EPOCH = 25569, MARCH_1900 = 61 }; /* serial of 1970-01-01, of 1900-03-01 */
    unsigned y, m, d;
    uint64_t us = 0;
    const char *p = text.data, *end = p + text.len;
    if (text.len < 10 || !digits(p, 4, &y) || p[4] != '-' || !digits(p + 5, 2, &m) || p[7] != '-' ||
        !digits(p + 8, 2, &d) || m < 1 || m > 12 || (text.len > 10 && !time_of_day(p + 10, end, &us)))
        return false;
    int64_t serial = days_of(y, m, d) + EPOCH;
    if (serial < MARCH_1900)
        return false;
    /* To the millisecond, which is what spreadsheets keep: readers round what is finer, and the last of a day would be
     * the next one's midnight, after 9999-12-31 one that no spreadsheet has. Eleven places are 0.9 microseconds; 10^11
     * / 86 400 000 000 = 125 / 108. */
    us -= us % 1000;
    int len = us ? snprintf(room, XLSX_SERIAL_MAX, "%" PRId64 ".%011" PRIu64, serial, (us * 125 + 54) / 108)
                 : snprintf(room, XLSX_SERIAL_MAX, "%" PRId64, serial);
    *ret = span_of(room, (size_t)len);
    return true;
}

/* ---- styles ---- */

enum { STYLE_DATE = 1, STYLE_TIME = 2, STYLE_TITLE = 3, STYLE_OWN = 4, FORMAT_OWN = 166 };

void xlsx_number_styles(const struct export_field *fields, size_t n_fields, struct xlsx_style *ret_styles)
{
    unsigned own = STYLE_OWN;
    for (size_t i = 0; i < n_fields; i++) {
        bool has = fields[i].format && *fields[i].format;
        ret_styles[i].number = has ? own : 0;
        ret_styles[i].time = has ? own : fields[i].value == EXPORT_VALUE_DATE ? STYLE_DATE : STYLE_TIME;
        own += has;
    }
}

void xlsx_styles(struct buf *out, const struct xlsx_book *book)
{
    unsigned own = 0;
    for (size_t i = 0; i < book->n_fields; i++)
        own += book->fields[i].format && *book->fields[i].format;
    buf_printf(out, XML "<styleSheet xmlns=\"" MAIN "\"><numFmts count=\"%u\">", own + 2);
    buf_add_str(out, "<numFmt numFmtId=\"164\" formatCode=\"yyyy-mm-dd\"/>"
                     "<numFmt numFmtId=\"165\" formatCode=\"yyyy-mm-dd hh:mm:ss\"/>");
    for (size_t i = 0, n = FORMAT_OWN; i < book->n_fields; i++) {
        if (!book->fields[i].format || !*book->fields[i].format)
            continue;
        buf_printf(out, "<numFmt numFmtId=\"%zu\" formatCode=\"", n++);
        add_escaped(out, book->fields[i].format);
        buf_add_str(out, "\"/>");
    }
    buf_add_str(out, "</numFmts><fonts count=\"2\"><font><sz val=\"11\"/><name val=\"Calibri\"/></font>"
                     "<font><b/><sz val=\"11\"/><name val=\"Calibri\"/></font></fonts>"
                     "<fills count=\"2\"><fill><patternFill patternType=\"none\"/></fill>"
                     "<fill><patternFill patternType=\"gray125\"/></fill></fills>"
                     "<borders count=\"1\"><border><left/><right/><top/><bottom/><diagonal/></border></borders>"
                     "<cellStyleXfs count=\"1\"><xf numFmtId=\"0\" fontId=\"0\" fillId=\"0\" borderId=\"0\"/>"
                     "</cellStyleXfs>");
    buf_printf(out, "<cellXfs count=\"%u\">", own + STYLE_OWN);
    for (unsigned i = 0; i < own + STYLE_OWN; i++)
        buf_printf(out,
                   "<xf numFmtId=\"%u\" fontId=\"%d\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\" "
                   "applyFont=\"1\"/>",
                   i == STYLE_DATE || i == STYLE_TIME ? 163 + i
                   : i >= STYLE_OWN                   ? FORMAT_OWN + i - STYLE_OWN
                                                      : 0,
                   i == STYLE_TITLE);
    buf_add_str(out, "</cellXfs><cellStyles count=\"1\"><cellStyle name=\"Normal\" xfId=\"0\" builtinId=\"0\"/>"
                     "</cellStyles></styleSheet>");
}

/* ---- the parts around ---- */

/* Not in the name of a sheet: what no workbook takes, and what is no character of XML (U+FFFE, U+FFFF). */
static bool is_refused(const char *p, size_t n)
{
    if (n == 1)
        return (unsigned char)*p < 0x20 || *p == 0x7f || strchr("[]:*?/\\'", *p);
    return n == 3 && memcmp(p, "\xef\xbf", 2) == 0 && (unsigned char)p[2] >= 0xbe;
}

/* "Users", "Users (2)": at most 31 characters. "History" is what Excel calls a sheet of its own. */
static void add_sheet_name(struct buf *out, const char *title, unsigned number)
{
    char name[128], suffix[16] = "";
    size_t len = 0, chars = 0, n;
    if (number > 1)
        snprintf(suffix, sizeof suffix, " (%u)", number);
    size_t most = 31 - strlen(suffix), left = strlen(title);
    for (const char *p = title; left > 0 && (n = utf8_len((const uint8_t *)p, left)) > 0; p += n, left -= n) {
        chars += n == 4 ? 2 : 1;
        if (chars > most)
            break;
        if (is_refused(p, n))
            name[len++] = '_';
        else
            for (size_t i = 0; i < n; i++)
                name[len++] = p[i];
    }
    name[len] = '\0';
    add_escaped(out, len ? name : "Sheet");
    buf_add_str(out, number == 1 && strcasecmp(name, "History") == 0 ? "_" : suffix);
}

void xlsx_workbook(struct buf *out, const struct xlsx_book *book)
{
    buf_add_str(out, XML "<workbook xmlns=\"" MAIN "\" xmlns:r=\"" RELATIONS "\"><bookViews><workbookView/></bookViews>"
                         "<sheets>");
    for (unsigned i = 1; i <= book->n_sheets; i++) {
        buf_add_str(out, "<sheet name=\"");
        add_sheet_name(out, book->title, i);
        buf_printf(out, "\" sheetId=\"%u\" r:id=\"rId%u\"/>", i, i);
    }
    buf_add_str(out, "</sheets></workbook>");
}

void xlsx_workbook_rels(struct buf *out, const struct xlsx_book *book)
{
    buf_add_str(out, XML "<Relationships xmlns=\"" PACKAGE "relationships\">");
    for (unsigned i = 1; i <= book->n_sheets; i++)
        buf_printf(out,
                   "<Relationship Id=\"rId%u\" Type=\"" RELATIONS "/worksheet\" Target=\"worksheets/sheet%u.xml\"/>", i,
                   i);
    buf_printf(out, "<Relationship Id=\"rId%u\" Type=\"" RELATIONS "/styles\" Target=\"styles.xml\"/></Relationships>",
               book->n_sheets + 1);
}

void xlsx_rels(struct buf *out, const struct xlsx_book *book)
{
    (void)book;
    buf_add_str(out, XML "<Relationships xmlns=\"" PACKAGE "relationships\"><Relationship Id=\"rId1\" Type=\"" RELATIONS
                         "/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>");
}

void xlsx_content_types(struct buf *out, const struct xlsx_book *book)
{
    buf_add_str(out, XML "<Types xmlns=\"" PACKAGE "content-types\"><Default Extension=\"rels\" ContentType=\""
                         "application/vnd.openxmlformats-package.relationships+xml\"/>"
                         "<Default Extension=\"xml\" ContentType=\"application/xml\"/>"
                         "<Override PartName=\"/xl/workbook.xml\" ContentType=\"" TYPE "sheet.main+xml\"/>"
                         "<Override PartName=\"/xl/styles.xml\" ContentType=\"" TYPE "styles+xml\"/>");
    for (unsigned i = 1; i <= book->n_sheets; i++)
        buf_printf(out, "<Override PartName=\"/xl/worksheets/sheet%u.xml\" ContentType=\"" TYPE "worksheet+xml\"/>", i);
    buf_add_str(out, "</Types>");
}
