/* bench_xlsx_peer URI QUERY FILE: what one would write first, for our own writer to be compared with: rows by libpq in
 * single-row mode, cells by libxlsxwriter in constant memory. Typed as ours: numbers, truth values and times are no
 * texts. One thread. Also the check that the comparison is fair: it prints how many rows it wrote. */
#include <libpq-fe.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xlsxwriter.h>

enum { BOOL = 16, INT8 = 20, INT2 = 21, INT4 = 23, FLOAT4 = 700, FLOAT8 = 701, TIMESTAMPTZ = 1184, NUMERIC = 1700 };
enum { SHEET_ROWS = 1048576 };

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_xlsx_peer: %s: %s\n", what, why);
    exit(1);
}

/* "2026-01-31 12:00:00+00" */
static lxw_datetime time_of(const char *text)
{
    lxw_datetime t = {0};
    if (sscanf(text, "%d-%d-%d %d:%d:%lf", &t.year, &t.month, &t.day, &t.hour, &t.min, &t.sec) != 6)
        die("time", text);
    return t;
}

static void write_cell(lxw_worksheet *sheet, lxw_row_t row, lxw_col_t column, const PGresult *r, lxw_format *time)
{
    const char *text = PQgetvalue(r, 0, column);
    lxw_error rc;
    if (PQgetisnull(r, 0, column))
        return;
    switch (PQftype(r, column)) {
    case INT2:
    case INT4:
    case INT8:
    case FLOAT4:
    case FLOAT8:
    case NUMERIC:
        rc = worksheet_write_number(sheet, row, column, strtod(text, NULL), NULL);
        break;
    case BOOL:
        rc = worksheet_write_boolean(sheet, row, column, *text == 't', NULL);
        break;
    case TIMESTAMPTZ: {
        lxw_datetime t = time_of(text);
        rc = worksheet_write_datetime(sheet, row, column, &t, time);
        break;
    }
    default:
        rc = worksheet_write_string(sheet, row, column, text, NULL);
    }
    if (rc != LXW_NO_ERROR)
        die("cell", lxw_strerror(rc));
}

static PGconn *ask(const char *uri, const char *query)
{
    PGconn *c = PQconnectdb(uri);
    PGresult *r = PQexec(c, "SET timezone = 'UTC'");
    if (PQresultStatus(r) != PGRES_COMMAND_OK || PQsendQuery(c, query) != 1 || PQsetSingleRowMode(c) != 1)
        die("database", PQerrorMessage(c));
    PQclear(r);
    return c;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        die("arguments", "URI QUERY FILE");
    PGconn *c = ask(argv[1], argv[2]);
    lxw_workbook_options options = {.constant_memory = LXW_TRUE, .use_zip64 = LXW_TRUE, .tmpdir = getenv("TMPDIR")};
    lxw_workbook *book = workbook_new_opt(argv[3], &options);
    lxw_worksheet *sheet = NULL;
    lxw_format *time = workbook_add_format(book);
    lxw_row_t row = SHEET_ROWS;
    uint64_t n = 0;
    format_set_num_format(time, "yyyy-mm-dd hh:mm:ss");
    for (PGresult *r; (r = PQgetResult(c)); PQclear(r)) {
        if (PQresultStatus(r) != PGRES_SINGLE_TUPLE && PQresultStatus(r) != PGRES_TUPLES_OK)
            die("rows", PQerrorMessage(c));
        int columns = PQnfields(r);
        if (PQntuples(r) == 0)
            continue;
        if (row == SHEET_ROWS) {
            sheet = workbook_add_worksheet(book, NULL);
            for (int i = 0; i < columns; i++)
                worksheet_write_string(sheet, 0, (lxw_col_t)i, PQfname(r, i), NULL);
            row = 1;
        }
        for (int i = 0; i < columns; i++)
            write_cell(sheet, row, (lxw_col_t)i, r, time);
        row++;
        n++;
    }
    lxw_error rc = workbook_close(book);
    if (rc != LXW_NO_ERROR)
        die("file", lxw_strerror(rc));
    PQfinish(c);
    printf("%llu\n", (unsigned long long)n);
    return 0;
}
