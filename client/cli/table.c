/* Aligned tables for people. One thread. Nothing is printed before table_print, which needs all rows for the widths. */
#include "table.h"

#include "heap.h"
#include "text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>

enum {
    GAP = 2,         /* columns between two columns */
    NARROWEST = 8,   /* a flexible column is not cut below this */
    COLUMNS_MAX = 32 /* no table here has more */
};

struct cell {
    char *text;
    const char *color;
};

struct table {
    const struct table_column *columns;
    size_t n_columns, n_cells, size;
    struct cell *cells;
};

struct table *table_new(const struct table_column *columns, size_t n_columns)
{
    assert(n_columns > 0 && n_columns <= COLUMNS_MAX);
    struct table *table = heap_new(1, sizeof(*table));
    table->columns = columns;
    table->n_columns = n_columns;
    return table;
}

void table_free(struct table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

static void table_add(struct table *table, char *text, const char *color)
{
    if (table->n_cells == table->size) {
        table->size = table->size ? 2 * table->size : 64;
        table->cells = heap_resize(table->cells, table->size, sizeof(*table->cells));
    }
    table->cells[table->n_cells++] = (struct cell){text, color};
}

void table_cell(struct table *table, const char *text, const char *color)
{
    table_add(table, heap_copy(text ? text : ""), color);
}

void table_cell_format(struct table *table, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    table_add(table, n < 0 ? heap_copy("") : text, NULL);
}

/* Cuts the widest flexible column, one by one, until the table fits or nothing is left to cut. */
static void table_fit(const struct table *table, int *widths, int max)
{
    for (;;) {
        int sum = 0;
        size_t widest = table->n_columns;
        for (size_t i = 0; i < table->n_columns; i++) {
            sum += widths[i] + (i ? GAP : 0);
            if (table->columns[i].flexible && widths[i] > NARROWEST &&
                (widest == table->n_columns || widths[i] > widths[widest]))
                widest = i;
        }
        if (sum <= max || widest == table->n_columns)
            return;
        widths[widest]--;
    }
}

static void table_pad(FILE *out, int n)
{
    if (n > 0)
        fprintf(out, "%*s", n, "");
}

static void table_print_row(const struct table *table, const struct term *term, const int *widths,
                            const struct cell *cells)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        int width = text_width(cells[i].text);
        int pad = widths[i] - (width < widths[i] ? width : widths[i]);
        bool last = i + 1 == table->n_columns;
        table_pad(term->out, (i ? GAP : 0) + (table->columns[i].right ? pad : 0));
        const char *color = term_color(term, cells[i].color);
        fputs(color, term->out);
        text_print(term->out, cells[i].text, width > widths[i] ? widths[i] : 0);
        if (*color)
            fputs(term_reset(term), term->out);
        table_pad(term->out, table->columns[i].right || last ? 0 : pad);
    }
    fputc('\n', term->out);
}

void table_print(const struct table *table, const struct term *term)
{
    int widths[COLUMNS_MAX];
    struct cell titles[COLUMNS_MAX];
    assert(table->n_cells % table->n_columns == 0);
    for (size_t i = 0; i < table->n_columns; i++) {
        titles[i] = (struct cell){(char *)table->columns[i].title, "bold"};
        widths[i] = text_width(table->columns[i].title);
    }
    for (size_t i = 0; i < table->n_cells; i++) {
        int width = text_width(table->cells[i].text), *slot = &widths[i % table->n_columns];
        *slot = width > *slot ? width : *slot;
    }
    if (term->width)
        table_fit(table, widths, term->width);
    table_print_row(table, term, widths, titles);
    for (size_t i = 0; i < table->n_cells; i += table->n_columns)
        table_print_row(table, term, widths, table->cells + i);
}
