/* Pieces of a workbook: texts and times as cells have them, and the small parts around the sheets. Pure. Private to
 * server/export. */
#ifndef EXPORT_XLSX_H
#define EXPORT_XLSX_H

#include "export/format.h"

enum { XLSX_SERIAL_MAX = 40, XLSX_CELL_MAX = 32767 /* characters of a cell, as UTF-16 counts them */ };

extern const char xlsx_sheet_begin[], xlsx_sheet_end[];

/* Which style (number in styles.xml) the cells of a column have. */
struct xlsx_style {
    unsigned number, time;
};
/* Styles 0 to 3 are plain, date, time and title; a column with a format of its own has one more. */
void xlsx_number_styles(const struct export_field *fields, size_t n_fields, struct xlsx_style *ret_styles);

struct xlsx_book {
    const char *title;
    unsigned n_sheets;
    const struct export_field *fields;
    size_t n_fields;
};
void xlsx_workbook(struct buf *out, const struct xlsx_book *book);
void xlsx_workbook_rels(struct buf *out, const struct xlsx_book *book);
void xlsx_styles(struct buf *out, const struct xlsx_book *book);
void xlsx_rels(struct buf *out, const struct xlsx_book *book);
void xlsx_content_types(struct buf *out, const struct xlsx_book *book);

/* A text in XML. What XML 1.0 cannot hold is written _xHHHH_, as ECMA-376 has it (22.9.2.19), and so is the "_" of a
 * text that looks like that. A text of more characters than a cell may have is cut, and ends in "…". 0 or -1. */
int xlsx_add_text(struct export_out *out, struct span text, bool *ret_cut);

/* "2026-01-31" or "2026-01-31 12:00:00.5+00" as the number that a cell has for it; false when it has none: before March
 * 1900 (where Excel has a day too many), after 9999, infinity. */
bool xlsx_serial(struct span text, char room[XLSX_SERIAL_MAX], struct span *ret);

#endif
