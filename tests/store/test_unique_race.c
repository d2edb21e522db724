/* Unique keys in races: thousands of dispatches at two replicas, alone and while the holders end. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct dispatch_item keyed(const char *key, enum unique_conflict on_conflict)
{
    struct dispatch_item item = {.job = a_job("mail"), .on_conflict = on_conflict};

    item.job.unique = (struct unique_key){span_str(key), UNIQUE_NOT_FINAL, 0};
    return item;
}

enum { RACERS = 4000, RACE_KEYS = 20 };

/* All of them are under way at the same time, at two replicas. */
static void race(struct store *a, struct store *b, struct dispatch_item *items)
{
    struct store_dispatch *d = calloc(RACERS, sizeof *d);
    struct waiter *w = waiter_new();

    for (int i = 0; i < RACERS; i++) {
        struct err err;
        d[i] =
            (struct store_dispatch){.cmd = {.op = STORE_DISPATCH, .done = &w->tag}, .items = &items[i], .n_items = 1};
        assert_int_equal(store_submit(i % 2 ? a : b, &d[i].cmd, &err), 0);
    }
    for (int i = 0; i < RACERS; i++)
        assert_true(waiter_wait(w));
    waiter_free(w);
    free(d);
}

static void test_race_has_one_winner(void **state)
{
    struct store *a = store_fresh(NULL), *b = store_again(NULL);
    struct dispatch_item *items = calloc(RACERS, sizeof *items);
    static char keys[RACE_KEYS][16];
    int64_t winner[RACE_KEYS] = {0};

    (void)state;
    for (int i = 0; i < RACE_KEYS; i++)
        snprintf(keys[i], sizeof keys[i], "key-%d", i);
    for (int i = 0; i < RACERS; i++)
        items[i] = keyed(keys[i % RACE_KEYS], i % 3 ? UNIQUE_REJECT : UNIQUE_USE_EXISTING);
    race(a, b, items);
    for (int i = 0; i < RACERS; i++) {
        if (items[i].err.code == ERR_OK && !items[i].existing) {
            assert_int_equal(winner[i % RACE_KEYS], 0);
            winner[i % RACE_KEYS] = items[i].job.id;
        }
    }
    for (int i = 0; i < RACERS; i++) {
        assert_true(winner[i % RACE_KEYS] != 0);
        if (items[i].err.code != ERR_OK)
            assert_string_equal(items[i].err.reason, "UNIQUE_KEY_TAKEN");
        else
            assert_int_equal(items[i].job.id, winner[i % RACE_KEYS]);
    }
    assert_int_equal(sql_int("select count(*) from joblog.job"), RACE_KEYS);
    assert_int_equal(sql_int("select count(*) from joblog.unique_key"), RACE_KEYS);
    assert_counters_exact();
    free(items);
    store_close(b);
    store_close(a);
}

/* While the holders end, too: never two jobs with one key that are not final. */
static void test_race_with_releases(void **state)
{
    struct store *a = store_fresh(NULL), *b = store_again(NULL);
    struct dispatch_item *items = calloc(RACERS, sizeof *items);
    struct store_cancel *cancels = calloc(RACERS, sizeof *cancels);
    struct waiter *w = waiter_new();
    int n_made = 0, n_cancelled = 0;

    (void)state;
    for (int round = 0; round < 5; round++) {
        int n = 0;
        for (int i = 0; i < RACERS; i++)
            items[i] = keyed(i % 2 ? "x" : "y", UNIQUE_USE_EXISTING);
        race(a, b, items);
        for (int i = 0; i < RACERS; i++)
            n_made += !items[i].existing;
        /* Cancels of the holders race with the next dispatches. */
        for (int i = 0; i < RACERS && n < 2; i++) {
            if (items[i].existing)
                continue;
            struct err err;
            cancels[n] = (struct store_cancel){.cmd = {.op = STORE_CANCEL, .done = &w->tag}, .job_id = items[i].job.id};
            assert_int_equal(store_submit(n % 2 ? a : b, &cancels[n].cmd, &err), 0);
            n++;
        }
        for (int i = 0; i < RACERS; i++) {
            assert_int_equal(items[i].err.code, ERR_OK);
            items[i] = keyed(i % 2 ? "x" : "y", UNIQUE_USE_EXISTING);
        }
        race(a, b, items);
        for (int i = 0; i < RACERS; i++) {
            assert_int_equal(items[i].err.code, ERR_OK);
            n_made += !items[i].existing;
        }
        for (int i = 0; i < n; i++) {
            assert_true(waiter_wait(w));
            assert_int_equal(cancels[i].cmd.err.code, ERR_OK);
            n_cancelled++;
        }
    }
    assert_int_equal(sql_int("select count(*) from joblog.job"), n_made);
    assert_true(n_made > 2);
    assert_int_equal(sql_int("select count(*) from joblog.job_now where status = 1"), n_made - n_cancelled);
    assert_int_equal(sql_int("select count(*) from joblog.unique_key"), n_made - n_cancelled);
    assert_true(sql_int("select count(*) from joblog.unique_key") <= 2);
    assert_counters_exact();
    waiter_free(w);
    free(cancels);
    free(items);
    store_close(b);
    store_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_race_has_one_winner),
        cmocka_unit_test(test_race_with_releases),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
