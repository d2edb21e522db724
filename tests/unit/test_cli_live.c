/* What a terminal shows of many jobs: bars and the table of a watch. The last picture is looked at. No server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bars.h"
#include "bars_line.h"
#include "live.h"

static const struct statuses statuses; /* without a catalogue: names, no colours */

static struct joblog_job job_of(int64_t id, enum joblog_status status)
{
    return (struct joblog_job){.id = id,
                               .revision = id,
                               .job_name = "mail",
                               .queue = "mail",
                               .owner = "",
                               .status = status,
                               .unit = "",
                               .step = "",
                               .error_type = "",
                               .error_message = "",
                               .cancel_reason = "",
                               .attempt = 1,
                               .max_attempts = 1,
                               .create_us = 1000000 * id};
}

/* A terminal of 80 columns and 24 lines whose output is *text in the end. */
static struct term term_of(char **text, size_t *len)
{
    return (struct term){.out = open_memstream(text, len), .terminal = true};
}

/* From where the last picture begins. */
static char *last_picture(char *text)
{
    char *last = NULL;
    for (char *at = text; (at = strstr(at, "\033[?7l")); at++)
        last = at;
    assert_non_null(last);
    return last;
}

static int lines_with(const char *text, const char *word)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        n++;
    return n;
}

static void bars_count_those_that_are_put_out(void **state)
{
    (void)state;
    enum { ENDED = 1500, OPEN = 3, LINES = 22 };
    char *text = NULL, *picture;
    size_t len;
    struct term term = term_of(&text, &len);
    struct bars *bars = bars_new(&term, &statuses);
    struct joblog_job job;
    for (int i = 1; i <= OPEN; i++) {
        job = job_of(i, JOBLOG_PENDING);
        bars_update(bars, &job);
    }
    for (int i = 0; i < ENDED; i++) {
        job = job_of(1000000 + i, i % 3 ? JOBLOG_COMPLETED : JOBLOG_FAILED);
        bars_update(bars, &job);
        bars_update(bars, &job); /* the same once more */
    }
    job = job_of(2, JOBLOG_COMPLETED);
    bars_update(bars, &job);
    job = job_of(1000000 + ENDED - 1, JOBLOG_PENDING); /* tried again */
    bars_update(bars, &job);
    bars_finish(bars);
    fclose(term.out);
    picture = last_picture(text);
    assert_non_null(strstr(picture, "1503 jobs: 3 pending, 1000 completed, 500 failed"));
    assert_int_equal(lines_with(picture, "waits for a worker"), 3);
    assert_int_equal(lines_with(picture, "\033[K\n"), LINES + 1);
    free(text);
}

static void bars_of_open_jobs_stay(void **state)
{
    (void)state;
    enum { N = 20000 };
    char *text = NULL;
    size_t len;
    struct term term = term_of(&text, &len);
    struct bars *bars = bars_new(&term, &statuses);
    for (int round = 0; round < 2; round++)
        for (int i = 1; i <= N; i++) {
            struct joblog_job job = job_of(i, round && i % 2 ? JOBLOG_COMPLETED : JOBLOG_PENDING);
            bars_update(bars, &job);
        }
    bars_finish(bars);
    fclose(term.out);
    assert_non_null(strstr(last_picture(text), "20000 jobs: 10000 pending, 10000 completed"));
    free(text);
}

static void a_bar_says_why_a_job_was_cancelled(void **state)
{
    (void)state;
    struct bar bar = {.id = 7};
    struct joblog_job job = job_of(7, JOBLOG_STATUS_CANCELLED);
    char text[200];
    job.error_message = "an attempt before it";
    job.cancel_reason = "wrong list";
    bar_set(&bar, &job);
    bar_describe(text, sizeof text, &bar, 0);
    assert_string_equal(text, "wrong list");
    job.cancel_reason = "";
    bar_set(&bar, &job);
    bar_describe(text, sizeof text, &bar, 0);
    assert_string_equal(text, "");
    bar_done(&bar);
}

static void a_row_says_why_a_job_was_cancelled(void **state)
{
    (void)state;
    static const struct joblog_filter all;
    char *text = NULL;
    size_t len;
    struct term term = term_of(&text, &len);
    struct live *live = live_new(&term, &statuses, &all);
    assert_non_null(live);
    struct joblog_job job = job_of(7, JOBLOG_STATUS_CANCELLED);
    job.error_type = "SmtpTimeout";
    job.cancel_reason = "expired";
    live_update(live, &job);
    live_finish(live);
    fclose(term.out);
    assert_non_null(strstr(last_picture(text), "expired"));
    free(text);
}

/* A full table loses no row to a job that does not belong in it. */
static void a_job_that_leaves_puts_nobody_out(void **state)
{
    (void)state;
    enum { ROWS = 1000 };
    static const enum joblog_status failed[] = {JOBLOG_FAILED};
    const struct joblog_filter filter = {.statuses = failed, .n_statuses = 1};
    char *text = NULL;
    size_t len;
    struct term term = term_of(&text, &len);
    struct live *live = live_new(&term, &statuses, &filter);
    assert_non_null(live);
    struct joblog_job job;
    for (int i = 1; i <= ROWS; i++) {
        job = job_of(i, JOBLOG_FAILED);
        live_update(live, &job);
    }
    job = job_of(ROWS + 1, JOBLOG_PENDING);
    live_update(live, &job);
    live_finish(live);
    fclose(term.out);
    assert_non_null(strstr(last_picture(text), "1000 jobs, the latest are shown"));
    free(text);

    text = NULL;
    term = term_of(&text, &len);
    live = live_new(&term, &statuses, &filter);
    assert_non_null(live);
    for (int i = 1; i <= 2; i++) {
        job = job_of(i, JOBLOG_FAILED);
        live_update(live, &job);
    }
    job = job_of(1, JOBLOG_PENDING);
    live_update(live, &job);
    live_finish(live);
    fclose(term.out);
    assert_non_null(strstr(last_picture(text), "1 job\033"));
    free(text);
}

static void what_is_gone_leaves_the_table(void **state)
{
    (void)state;
    static const struct joblog_filter all;
    char *text = NULL;
    size_t len;
    int64_t ids[3];
    struct term term = term_of(&text, &len);
    struct live *live = live_new(&term, &statuses, &all);
    assert_non_null(live);
    for (int i = 1; i <= 4; i++) {
        struct joblog_job job = job_of(i, i == 3 ? JOBLOG_RUNNING : JOBLOG_COMPLETED);
        live_update(live, &job);
    }
    assert_int_equal(live_ended(live, ids, 3), 2); /* of the newest three */
    assert_int_equal(ids[0], 4);
    assert_int_equal(ids[1], 2);
    live_forget(live, 2);
    live_forget(live, 3); /* runs again, it seems */
    live_forget(live, 5);
    live_finish(live);
    fclose(term.out);
    assert_non_null(strstr(last_picture(text), "3 jobs"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_count_those_that_are_put_out),  cmocka_unit_test(bars_of_open_jobs_stay),
        cmocka_unit_test(a_bar_says_why_a_job_was_cancelled), cmocka_unit_test(a_row_says_why_a_job_was_cancelled),
        cmocka_unit_test(a_job_that_leaves_puts_nobody_out),  cmocka_unit_test(what_is_gone_leaves_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
