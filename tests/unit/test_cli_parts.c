/* The pure parts of the command line: units, text as a terminal shows it, tables, options, the lines of shell workers.
 * No server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bars_line.h"
#include "meter.h"
#include "options.h"
#include "table.h"
#include "text.h"
#include "units.h"
#include "worker_line.h"

static void durations_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {{"250ms", 250000},    {"1.5s", 1500000},     {"10m", 600000000}, {"24h", 86400000000},
                {"7d", 604800000000}, {"1h30m", 5400000000}, {"0s", 0},          {"5us", 5}};
    static const char *const bad[] = {"", "10", "s", "-1s", "1x", "1s ", " 1s", "1e400s", "inf", "1000000d"};
    int64_t us;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(units_parse_duration(good[i].text, &us), 0);
        assert_int_equal(us, good[i].us);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(units_parse_duration(bad[i], &us), -1);
}

static void times_are_read(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-13-01",
                                      "2026-02-31",
                                      "2026-01-31T",
                                      "2026-01-31T25:00",
                                      "2026-01-31T10:00:00X",
                                      "2026-01-31T10:00:00+1",
                                      "1969-01-01",
                                      "2026-01-31T10:00:00.",
                                      "2026-01-31T10:00:00Zjunk"};
    int64_t a, b;
    assert_int_equal(units_parse_time("2026-01-31T10:00:00Z", &a), 0);
    assert_int_equal(a, 1769853600000000);
    assert_int_equal(units_parse_time("2026-01-31T11:30:00.25+01:30", &b), 0);
    assert_int_equal(b, a + 250000);
    setenv("TZ", "UTC-2", 1);
    tzset();
    assert_int_equal(units_parse_time("2026-01-31 12:00", &b), 0);
    assert_int_equal(b, a);
    setenv("TZ", "UTC", 1);
    tzset();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(units_parse_time(bad[i], &b), -1);
}

static void values_are_shown(void **state)
{
    (void)state;
    char buf[UNITS_TEXT];
    assert_string_equal(units_duration(buf, 850), "850us");
    assert_string_equal(units_duration(buf, 1250), "1.2ms");
    assert_string_equal(units_duration(buf, 12345), "12ms");
    assert_string_equal(units_duration(buf, 1234567), "1.2s");
    assert_string_equal(units_duration(buf, 125000000), "2m05s");
    assert_string_equal(units_duration(buf, 11400000000), "3h10m");
    assert_string_equal(units_duration(buf, 352800000000), "4d02h");
    assert_string_equal(units_size(buf, 1023), "1023 B");
    assert_string_equal(units_size(buf, 1536), "1.5 KiB");
    assert_string_equal(units_count(buf, 1234567), "1 234 567");
    assert_string_equal(units_count(buf, -999), "-999");
    assert_string_equal(units_rate(buf, 0), "0/s");
    assert_string_equal(units_rate(buf, 1234.4), "1 234/s");
    assert_string_equal(units_rate(buf, 1), "1.0/s");
    assert_string_equal(units_rate(buf, 0.5), "30/min");
    assert_string_equal(units_rate(buf, 0.001), "3.6/h");
    assert_string_equal(units_rate(buf, 6.85e-05), "5.9/day");
    assert_string_equal(units_rate(buf, 1e-9), "0.0/day");
    assert_string_equal(units_rate(buf, 1e300), "9 223 372 036 854 775 807/s");
    assert_string_equal(units_count(buf, INT64_MIN), "-9 223 372 036 854 775 808");
    assert_string_equal(units_relative(buf, 1000000, 181000000), "3m00s ago");
    assert_string_equal(units_relative(buf, 11000000, 1000000), "in 10s");
    assert_string_equal(units_relative(buf, 0, 1), "");
    assert_string_equal(units_rfc3339(buf, 1769853600000123), "2026-01-31T10:00:00.000123Z");
}

static void text_has_the_width_of_its_columns(void **state)
{
    (void)state;
    char buf[64];
    assert_int_equal(text_width("Łukasz"), 6);
    assert_int_equal(text_width("東京"), 4);
    assert_int_equal(text_clean(buf, sizeof(buf), "東京都庁", 5), 5);
    assert_string_equal(buf, "東京…");
    assert_int_equal(text_clean(buf, sizeof(buf), "abcdef", 6), 6);
    assert_string_equal(buf, "abcdef");
    /* nothing that steers the terminal gets through */
    text_clean(buf, sizeof(buf),
               "a\033[2Jb\rc\nd\xff"
               "e",
               0);
    assert_string_equal(buf, "a [2Jb c d?e");
    /* U+009B is CSI in one character */
    text_clean(buf, sizeof(buf),
               "a\xc2\x9b"
               "b",
               0);
    assert_null(strchr(buf, '\x9b'));
}

static void broken_text_is_made_valid(void **state)
{
    (void)state;
    char bytes[] = "ok \xff\xc3\xa9 \xe2\x82"
                   " \xed\xa0\x80";
    size_t n = text_make_valid(bytes, sizeof(bytes), sizeof(bytes), 0);
    assert_memory_equal(bytes, "ok ?\xc3\xa9 ?? ????", n);
    char cut[] = "abc\xc3\xa9";
    assert_int_equal(text_make_valid(cut, 5, 4, 0), 3);
    char end[] = "\xc3\xa9xyz";
    n = text_make_valid(end, 5, 4, 1);
    assert_int_equal(n, 3);
    assert_memory_equal(end, "xyz", 3);
}

static char *print_table(struct table *table, int width)
{
    char *text = NULL;
    size_t len;
    struct term term = {.out = open_memstream(&text, &len), .width = width};
    table_print(table, &term);
    fclose(term.out);
    return text;
}

static void tables_are_aligned_and_cut(void **state)
{
    (void)state;
    static const struct table_column columns[] = {{"ID", true, false}, {"NAME", false, true}, {"X", false, false}};
    struct table *table = table_new(columns, 3);
    table_cell(table, "7", NULL);
    table_cell(table, "Zoë of a long name", NULL);
    table_cell(table, "a", NULL);
    table_cell(table, "12345", NULL);
    table_cell(table, "李", NULL);
    table_cell(table, "b", NULL);
    char *text = print_table(table, 0);
    assert_string_equal(text, "   ID  NAME                X\n"
                              "    7  Zoë of a long name  a\n"
                              "12345  李                  b\n");
    free(text);
    text = print_table(table, 20);
    assert_string_equal(text, "   ID  NAME        X\n"
                              "    7  Zoë of a …  a\n"
                              "12345  李          b\n");
    free(text);
    table_free(table);
}

struct values {
    bool flag;
    const char *text;
    struct option_texts texts, list;
    int64_t number, duration;
};

static const struct option_row rows[] = {
    {"flag", 'f', OPTION_FLAG, NULL, offsetof(struct values, flag), "", 0, 0},
    {"text", 't', OPTION_TEXT, "T", offsetof(struct values, text), "", 0, 0},
    {"texts", 0, OPTION_TEXTS, "T", offsetof(struct values, texts), "", 0, 0},
    {"list", 0, OPTION_LIST, "T", offsetof(struct values, list), "", 0, 0},
    {"number", 0, OPTION_NUMBER, "N", offsetof(struct values, number), "", 1, 9},
    {"duration", 0, OPTION_DURATION, "D", offsetof(struct values, duration), "", 0, 0},
    {"words", 'w', OPTION_TEXT, "T", offsetof(struct values, text), "", 1, 0},
    {"some", 0, OPTION_DURATION, "D", offsetof(struct values, duration), "", 1, 0},
    {0},
};

static int parse(struct values *values, struct operands *operands, char *error, size_t size, char *const *words)
{
    char *argv[16] = {(char *)"joblog"};
    int argc = 1;
    while (words[argc - 1]) {
        argv[argc] = words[argc - 1];
        argc++;
    }
    struct option_set set = {rows, values};
    static char *kept[16];
    memcpy(kept, argv, sizeof(argv));
    return options_parse(argc, kept, &set, 1, operands, error, size);
}

static void options_follow_their_table(void **state)
{
    (void)state;
    struct values values = {0};
    struct operands operands;
    char error[200] = "";
    char *words[] = {"one",    "-f",    "--text=a b", "--texts", "x,y", "--texts", "z",
                     "--list", "p,q,r", "--number",   "9",       "--",  "--flag",  NULL};
    assert_int_equal(parse(&values, &operands, error, sizeof(error), words), 0);
    assert_true(values.flag);
    assert_string_equal(values.text, "a b");
    assert_int_equal(values.texts.n, 2);
    assert_string_equal(values.texts.values[0], "x,y");
    assert_int_equal(values.list.n, 3);
    assert_string_equal(values.list.values[2], "r");
    assert_int_equal(values.number, 9);
    assert_int_equal(operands.n, 2);
    assert_string_equal(operands.values[1], "--flag");
    struct option_set set = {rows, &values};
    options_done(&set);
    assert_int_equal(values.texts.n, 0);
}

static void bad_options_are_named(void **state)
{
    (void)state;
    static const struct {
        char *words[3];
        const char *error;
    } cases[] = {
        {{"--nonsense", NULL}, "unknown option --nonsense"},
        {{"-z", NULL}, "unknown option -z"},
        {{"--text", NULL}, "--text needs a value"},
        {{"--flag=1", NULL}, "--flag=1 takes no value"},
        {{"--list", "", NULL}, "--list takes at least one word, not \"\""},
        {{"--list=,", NULL}, "--list takes at least one word, not \",\""},
        {{"--list=p,,q", NULL}, "--list takes words with a comma between two, not \"p,,q\""},
        {{"--list=p,", NULL}, "--list takes words with a comma between two, not \"p,\""},
        {{"--list=,p", NULL}, "--list takes words with a comma between two, not \",p\""},
        {{"--words=", NULL}, "--words takes a text that is not empty, not \"\""},
        {{"-w", "", NULL}, "--words takes a text that is not empty, not \"\""},
        {{"--some", "0s", NULL}, "--some takes a duration of more than 0, not \"0s\""},
        {{"--some", "", NULL}, "--some takes a duration such as 500ms, 10m or 24h, not \"\""},
        {{"--number", "10", NULL}, "--number takes a number from 1 to 9, not \"10\""},
        {{"--number", "1x", NULL}, "--number takes a whole number, not \"1x\""},
        {{"--duration", "soon", NULL}, "--duration takes a duration such as 500ms, 10m or 24h, not \"soon\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct values values = {0};
        struct operands operands;
        char error[200] = "";
        assert_int_equal(parse(&values, &operands, error, sizeof(error), cases[i].words), -1);
        assert_string_equal(error, cases[i].error);
        options_done(&(struct option_set){rows, &values});
    }
}

static void worker_lines_are_told_apart(void **state)
{
    (void)state;
    struct worker_line line;
    assert_int_equal(worker_line_parse("::progress 40 reading the file", &line), WORKER_LINE_PROGRESS);
    assert_int_equal((int)line.percent, 40);
    assert_string_equal(line.step, "reading the file");
    assert_int_equal(worker_line_parse("::progress 12.5%", &line), WORKER_LINE_PROGRESS);
    assert_true(line.percent > 12.4 && line.percent < 12.6);
    assert_int_equal(worker_line_parse("::progress 300/1000 rows", &line), WORKER_LINE_PROGRESS);
    assert_int_equal(line.done, 300);
    assert_int_equal(line.total, 1000);
    assert_string_equal(line.unit, "rows");
    assert_string_equal(line.step, "");
    assert_int_equal(worker_line_parse("::progress 3/4 rows writing out", &line), WORKER_LINE_PROGRESS);
    assert_string_equal(line.step, "writing out");
    assert_int_equal(worker_line_parse("::snooze 1.5 the printer  is off", &line), WORKER_LINE_SNOOZE);
    assert_int_equal(line.snooze_ms, 1500);
    assert_string_equal(line.step, "the printer  is off");
    assert_int_equal(worker_line_parse("::snooze -1", &line), WORKER_LINE_TEXT);
    assert_int_equal(worker_line_parse("::snooze soon", &line), WORKER_LINE_TEXT);
    assert_int_equal(worker_line_parse("::result {\"a\": 1}", &line), WORKER_LINE_RESULT);
    assert_string_equal(line.result, "{\"a\": 1}");
    static const char *const others[] = {"",
                                         "progress 40",
                                         "::progress",
                                         "::progress 101",
                                         "::progress -1",
                                         "::progress 5/4",
                                         "::progress 4/0",
                                         "::progress 40x",
                                         " ::progress 40",
                                         "::progress nan",
                                         "::results {}"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(worker_line_parse(others[i], &line), WORKER_LINE_TEXT);
}

static void plain_lines_say_what_changed(void **state)
{
    (void)state;
    struct bar bar = {.id = 7};
    struct joblog_job job = {.id = 7,
                             .job_name = "mail",
                             .status = JOBLOG_RUNNING,
                             .unit = "rows",
                             .step = "sending",
                             .error_type = "",
                             .error_message = "",
                             .done = 10,
                             .total = 100,
                             .percent = 10,
                             .attempt = 1,
                             .max_attempts = 3};
    char text[200];
    assert_true(bar_worth_a_line(&bar, &job));
    bar_set(&bar, &job);
    bar_describe(text, sizeof(text), &bar, 0);
    assert_string_equal(text, "10 of 100 rows, sending");
    job.percent = 15;
    assert_false(bar_worth_a_line(&bar, &job));
    job.percent = 20;
    assert_true(bar_worth_a_line(&bar, &job));
    job.status = JOBLOG_PENDING;
    job.error_type = "SmtpTimeout";
    job.error_message = "no answer";
    job.run_us = 3000000;
    bar_set(&bar, &job);
    bar_describe(text, sizeof(text), &bar, 1000000);
    assert_string_equal(text, "again in 2s, attempt 1 of 3 ended with SmtpTimeout: no answer");
    bar_done(&bar);
}

struct looks {
    int n; /* one thread at a time looks */
    sem_t looked;
};

/* Half of 4 MiB, of which an eighth was there at the start. */
static int64_t half_way(void *user)
{
    struct looks *looks = user;
    sem_post(&looks->looked);
    return looks->n++ == 0 ? 1 << 19 : 1 << 21;
}

static void a_meter_tells_rate_and_time_left(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    struct looks looks = {0};
    struct term term = {.out = open_memstream(&text, &len), .terminal = true, .utf8 = true, .width = 100, .height = 20};
    assert_non_null(term.out);
    sem_init(&looks.looked, 0, 0);
    struct meter *meter = meter_new(&term, "users.csv", 1 << 22, half_way, &looks);
    for (int i = 0; i < 3; i++) /* the third look is after the first drawing */
        sem_wait(&looks.looked);
    meter_finish(meter, 1 << 22, false);
    fflush(term.out);
    assert_non_null(strstr(text, "users.csv "));
    char *half = strstr(text, " 50 % "), *end = strstr(text, "100 % ");
    assert_non_null(half);
    assert_non_null(strstr(half, "2.0 MiB"));
    assert_true(strstr(half, "/s") && strstr(half, "/s") < end);
    assert_true(strstr(half, " left") && strstr(half, " left") < end);
    assert_non_null(strstr(end, "4.0 MiB"));
    assert_non_null(strstr(end, " in "));
    assert_int_equal(text[len - 1], '\n');
    fclose(term.out);
    free(text);
    /* On what is no terminal: one line, at the end. */
    term = (struct term){.out = open_memstream(&text, &len)};
    meter_finish(meter_new(&term, "users.csv", 1 << 22, half_way, &looks), 1 << 22, false);
    fflush(term.out);
    assert_int_equal(strncmp(text, "users.csv: 4.0 MiB at ", 22), 0);
    assert_ptr_equal(strchr(text, '\n'), text + len - 1);
    fclose(term.out);
    free(text);
}

static int64_t nothing_yet(void *user)
{
    sem_post(&((struct looks *)user)->looked);
    return 0;
}

/* Two looks from now a picture of what is known now has been drawn. */
static void wait_for_a_picture(struct looks *looks)
{
    while (sem_trywait(&looks->looked) == 0)
        ;
    for (int i = 0; i < 3; i++)
        sem_wait(&looks->looked);
}

static void a_meter_tells_of_what_is_made(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    struct looks looks = {0};
    struct term term = {.out = open_memstream(&text, &len), .terminal = true, .utf8 = true, .width = 100, .height = 20};
    assert_non_null(term.out);
    sem_init(&looks.looked, 0, 0);
    struct meter *meter = meter_new(&term, "users.csv", 0, nothing_yet, &looks);
    meter_set_making(meter, &(struct meter_making){.waiting = true, .text = "waits"});
    wait_for_a_picture(&looks);
    meter_set_making(meter, &(struct meter_making){.text = "counting\033[2J",
                                                   .percent = 25,
                                                   .finish_us = units_now_us() + INT64_C(600000000)});
    wait_for_a_picture(&looks);
    meter_set_total(meter, 0); /* nobody knows any more */
    wait_for_a_picture(&looks);
    meter_finish(meter, 0, true);
    fflush(term.out);
    char *waits = strstr(text, "\r"
                               "users.csv waits\033[K"),
         *made = strstr(text, " 25 % "), *without = strstr(text, "users.csv  0 B  0 B/s\033[K");
    assert_true(waits && made && without);
    assert_true(waits < made && made < without);
    assert_non_null(strstr(made, " counting"));
    assert_null(strstr(text, "\033[2J"));
    char *left = strstr(made, " left\033[K");
    assert_true(left && left < without);
    assert_string_equal(text + len - 4, "\r\033[K"); /* wiped */
    fclose(term.out);
    free(text);
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    setenv("TZ", "UTC", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(values_are_shown),
        cmocka_unit_test(text_has_the_width_of_its_columns),
        cmocka_unit_test(broken_text_is_made_valid),
        cmocka_unit_test(tables_are_aligned_and_cut),
        cmocka_unit_test(options_follow_their_table),
        cmocka_unit_test(bad_options_are_named),
        cmocka_unit_test(worker_lines_are_told_apart),
        cmocka_unit_test(plain_lines_say_what_changed),
        cmocka_unit_test(a_meter_tells_rate_and_time_left),
        cmocka_unit_test(a_meter_tells_of_what_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
