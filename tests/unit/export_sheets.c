/* export_sheets FILE ROWS [SHEET-ROWS SHEET-BYTES ZIP64-FROM]: a workbook of so many rows (a number, a text) through
 * the encoder alone, for test_export_sheets.py to look at. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "export/format_priv.h"

struct to_file {
    struct export_out out; /* first */
    FILE *file;
    char room[1 << 16];
};

static int full(struct export_out *out)
{
    struct to_file *to = (struct to_file *)out;
    size_t n = (size_t)(out->at - to->room);
    out->at = to->room;
    out->end = to->room + sizeof to->room;
    return fwrite(to->room, 1, n, to->file) == n ? 0 : -1;
}

static int fail(const char *what)
{
    fprintf(stderr, "export_sheets: %s\n", what);
    return 1;
}

int main(int argc, char **argv)
{
    static struct to_file to;
    static const struct export_field fields[] = {{.name = "id", .title = "Id", .value = EXPORT_VALUE_INTEGER},
                                                 {.name = "name", .title = "Name", .value = EXPORT_VALUE_TEXT}};
    struct export_request request = {.format = EXPORT_XLSX};
    struct export_encoder *encoder;
    struct err err = ERR_NONE;
    if (argc != 3 && argc != 6)
        return fail("FILE ROWS [SHEET-ROWS SHEET-BYTES ZIP64-FROM]");
    to.out = (struct export_out){to.room, to.room + sizeof to.room, full};
    to.file = fopen(argv[1], "we");
    if (!to.file || export_encoder_new(&request, "Sheet", fields, 2, &to.out, &encoder, &err) != 0)
        return fail("cannot begin");
    if (argc == 6)
        export_xlsx_limit(encoder, (unsigned)atoi(argv[3]), strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10));
    int64_t rows = atoll(argv[2]);
    int rc = encoder->begin(encoder);
    for (int64_t i = 1; rc == 0 && i <= rows; i++) {
        char row[80];
        int len = snprintf(row, sizeof row, "%" PRId64 "\tname %" PRId64 "\n", i, i);
        rc = encoder->row(encoder, span_of(row, (size_t)len));
    }
    if (rc != 0 || encoder->end(encoder) != 0 || full(&to.out) != 0 || fclose(to.file) != 0)
        return fail("cannot write");
    export_encoder_free(encoder);
    return 0;
}
