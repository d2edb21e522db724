/* CSV: the "'" before what a spreadsheet would run, wherever in the row it stands. No input or output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "export/format_priv.h"

enum { PAD_MAX = 50 /* three times the bytes that are looked at together, and more */ };

static int full(struct export_out *out)
{
    (void)out;
    return -1;
}

/* What the encoder makes of one row; a text of the caller's until the next call. */
static const char *encoded(char delimiter, bool keep, const char *row)
{
    static const struct export_field fields[] = {
        {.name = "n", .title = "N", .value = EXPORT_VALUE_NUMBER},
        {.name = "a", .title = "A", .value = EXPORT_VALUE_TEXT, .is_free_text = true},
        {.name = "b", .title = "B", .value = EXPORT_VALUE_TEXT, .is_free_text = true},
    };
    static char text[1024];
    struct export_request request = {.format = EXPORT_CSV,
                                     .csv = {.delimiter = delimiter, .keep_formulas = keep, .no_header = true}};
    struct export_out out = {text, text + sizeof text - 1, full};
    struct export_encoder *encoder;
    struct err err = ERR_NONE;
    assert_int_equal(export_encoder_new(&request, "t", fields, 3, &out, &encoder, &err), 0);
    assert_int_equal(encoder->begin(encoder), 0);
    assert_int_equal(encoder->row(encoder, span_str(row)), 0);
    assert_int_equal(encoder->end(encoder), 0);
    export_encoder_free(encoder);
    *out.at = '\0';
    return text;
}

static void a_formula_is_found_wherever_it_stands(void **state)
{
    static const char starts[] = "=+-@";
    char pad[PAD_MAX + 1], row[256], want[256];
    (void)state;
    for (int n = 0; n <= PAD_MAX; n++) {
        memset(pad, 'x', sizeof pad);
        pad[n] = '\0';
        for (const char *c = starts; *c; c++) {
            snprintf(row, sizeof row, "1,%s,%c1\n", pad, *c);
            snprintf(want, sizeof want, "1,%s,'%c1\r\n", pad, *c);
            assert_string_equal(encoded(',', false, row), want);
            snprintf(row, sizeof row, "1,%c%s,y\n", *c, pad);
            snprintf(want, sizeof want, "1,'%c%s,y\r\n", *c, pad);
            assert_string_equal(encoded(',', false, row), want);
            snprintf(row, sizeof row, "1,%s,\"%c1,\"\"\"\n", pad, *c); /* quoted */
            snprintf(want, sizeof want, "1,%s,\"'%c1,\"\"\"\r\n", pad, *c);
            assert_string_equal(encoded(',', false, row), want);
        }
        snprintf(row, sizeof row, "1;%s;\"\t\"\n", pad);
        snprintf(want, sizeof want, "1;%s;\"'\t\"\r\n", pad);
        assert_string_equal(encoded(';', false, row), want);
        snprintf(row, sizeof row, "1\t%s\t=1\n", pad);
        snprintf(want, sizeof want, "1\t%s\t'=1\r\n", pad);
        assert_string_equal(encoded('\t', false, row), want);
    }
}

static void all_else_stays_as_it_is(void **state)
{
    char pad[PAD_MAX + 1], row[256], want[256];
    (void)state;
    for (int n = 0; n <= PAD_MAX; n++) {
        memset(pad, 'x', sizeof pad);
        pad[n] = '\0';
        /* A number below 0; inside of a text; behind a delimiter or a quote that are part of one. */
        snprintf(row, sizeof row, "-1,y%s=1@x,\"a,=1\"\"=\"\n", pad);
        snprintf(want, sizeof want, "-1,y%s=1@x,\"a,=1\"\"=\"\r\n", pad);
        assert_string_equal(encoded(',', false, row), want);
        snprintf(row, sizeof row, "1,%s,=1\n", pad);
        snprintf(want, sizeof want, "1,%s,=1\r\n", pad);
        assert_string_equal(encoded(',', true, row), want);
    }
    assert_string_equal(encoded(',', false, "1,,\n"), "1,,\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_formula_is_found_wherever_it_stands),
        cmocka_unit_test(all_else_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
