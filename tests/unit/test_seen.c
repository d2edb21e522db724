/* The table of jobs that a watch has shown, against a list that is looked through. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/seen.h"

/* Ids as they are made: ever greater, in leaps and in runs. */
enum { JOBS = 600, STEPS = 40000 };

struct model {
    int64_t id, revision;
    bool there, open;
};

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void it_does_what_a_list_would(void **state)
{
    (void)state;
    struct model jobs[JOBS] = {0};
    struct seen seen = {0};
    uint32_t chance = 7;
    int64_t id = INT64_C(1) << 42;
    for (int i = 0; i < JOBS; i++)
        jobs[i].id = id += i % 3 ? 1 : (int64_t)next_random(&chance) << 22;
    for (int step = 0; step < STEPS; step++) {
        struct model *job = &jobs[next_random(&chance) % JOBS];
        uint32_t what = next_random(&chance) % 8;
        /* It grows in the first half, and shrinks in the second. */
        if (what < (step < STEPS / 2 ? 6 : 2)) {
            *job = (struct model){job->id, (int64_t)step << 20, true, what % 2 == 0};
            assert_true(seen_put(&seen, job->id, job->revision, !job->open));
        } else {
            job->there = job->open = false;
            seen_remove(&seen, job->id);
        }
        if (step % 100 != 0)
            continue;
        size_t n = 0, n_open = 0;
        for (int i = 0; i < JOBS; i++) {
            n += jobs[i].there;
            n_open += jobs[i].open;
            assert_int_equal(seen_revision(&seen, jobs[i].id), jobs[i].there ? jobs[i].revision : 0);
        }
        assert_int_equal(seen.n_jobs, n);
        assert_int_equal(seen.n_open, n_open);
    }
    seen_done(&seen);
    assert_int_equal(seen_revision(&seen, jobs[0].id), 0);
    seen_remove(&seen, jobs[0].id);
    seen_done(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_does_what_a_list_would)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
