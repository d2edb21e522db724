/* Aligned tables for people. Cells are copied; widths are columns of the terminal, not bytes. One thread. */
#ifndef JOBLOG_CLI_TABLE_H
#define JOBLOG_CLI_TABLE_H

#include "term.h"

#include <stdbool.h>
#include <stddef.h>

struct table_column {
    const char *title;
    bool right;    /* numbers */
    bool flexible; /* is cut when the table is wider than the terminal */
};

struct table;

/* Keeps columns. Gives the table (table_free). */
struct table *table_new(const struct table_column *columns, size_t n_columns);
void table_free(struct table *table); /* takes NULL */
/* Adds a cell; a row is full when every column has one. color: of term_color, NULL for none; keeps color. */
void table_cell(struct table *table, const char *text, const char *color);
void table_cell_format(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints titles and rows. Rows that are not full are a caller's bug. */
void table_print(const struct table *table, const struct term *term);

#endif
