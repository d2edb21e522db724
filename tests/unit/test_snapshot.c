/* Snapshots of core/job.h: deep, counted, and safe when memory runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "core/job.h"

static char text[] = "changing";
static const struct label labels[] = {{{text, 8}, {text, 3}}, {{"k", 1}, {text, 8}}};
static const struct attempt attempts[] = {{1, {text, 8}, 5, 6, ATTEMPT_FAILED, {{text, 8}, {text, 8}, {text, 8}}}};
static const struct transition transitions[] = {{1, 0, 1, 5, {text, 8}, {text, 4}, {text, 8}}};

static struct job a_job(void)
{
    struct span s = {text, 8};

    return (struct job){.id = 7,
                        .name = s,
                        .queue = s,
                        .status = JOB_RUNNING,
                        .source_type = s,
                        .source_id = s,
                        .owner = s,
                        .creator = s,
                        .batch = s,
                        .traceparent = s,
                        .request_id = s,
                        .labels = labels,
                        .n_labels = 2,
                        .payload = s,
                        .result = s,
                        .progress = {50, 1, 2, s, s, 9},
                        .error = {s, s, s},
                        .worker = s,
                        .cancel = {5, s, s},
                        .attempts = attempts,
                        .n_attempts = 1,
                        .transitions = transitions,
                        .n_transitions = 1};
}

static void test_snapshot_is_deep(void **state)
{
    struct job j = a_job();
    struct job_snapshot *s = job_snapshot_new(&j);

    (void)state;
    assert_non_null(s);
    memset(text, 'X', 8);
    const struct span copies[] = {s->job.name,
                                  s->job.queue,
                                  s->job.source_type,
                                  s->job.source_id,
                                  s->job.owner,
                                  s->job.creator,
                                  s->job.batch,
                                  s->job.traceparent,
                                  s->job.request_id,
                                  s->job.payload,
                                  s->job.result,
                                  s->job.progress.unit,
                                  s->job.progress.step,
                                  s->job.error.type,
                                  s->job.error.message,
                                  s->job.error.stack_trace,
                                  s->job.worker,
                                  s->job.cancel.actor,
                                  s->job.cancel.reason,
                                  s->job.labels[0].key,
                                  s->job.labels[1].value,
                                  s->job.attempts[0].worker,
                                  s->job.attempts[0].error.type,
                                  s->job.attempts[0].error.stack_trace,
                                  s->job.transitions[0].actor,
                                  s->job.transitions[0].request_id};
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++)
        assert_true(span_eq(copies[i], SPAN_LIT("changing")));
    assert_int_equal(s->job.progress.eta_us, 9);
    memcpy(text, "changing", 8);
    job_snapshot_unref(s);
    job_snapshot_unref(NULL);
}

static int n_freed;

static void derived_free(void *p)
{
    n_freed++;
    free(p);
}

static void test_last_reference_frees_what_was_derived(void **state)
{
    struct job j = a_job();
    struct job_snapshot *s = job_snapshot_new(&j);

    (void)state;
    n_freed = 0;
    s->derived_free = derived_free;
    atomic_store(&s->derived[1], malloc(10));
    assert_ptr_equal(job_snapshot_ref(s), s);
    job_snapshot_unref(s);
    assert_int_equal(n_freed, 0);
    job_snapshot_unref(s);
    assert_int_equal(n_freed, 1);
}

/* An ordinary job is one piece of memory. */
static int n_allocations, n_allowed;

static bool gate(size_t size)
{
    (void)size;
    return n_allocations++ < n_allowed;
}

static void test_memory(void **state)
{
    struct job j = a_job();
    struct job_snapshot *s;

    (void)state;
    j.n_attempts = j.n_transitions = 0;
    n_allocations = 0;
    n_allowed = 1000;
    mem_set_gate(gate);
    s = job_snapshot_new(&j);
    assert_non_null(s);
    assert_int_equal(n_allocations, 1);
    job_snapshot_unref(s);
    j = a_job();
    for (n_allowed = 0;; n_allowed++) {
        n_allocations = 0;
        s = job_snapshot_new(&j);
        if (s)
            break;
        assert_true(n_allowed < 10);
    }
    assert_true(n_allowed >= 1);
    mem_set_gate(NULL);
    job_snapshot_unref(s);
}

static void test_status_names(void **state)
{
    (void)state;
    for (int i = JOB_PENDING; i < JOB_STATUS_COUNT; i++)
        assert_int_equal(job_status_parse(span_str(job_status_name(i))), i);
    assert_null(job_status_name(0));
    assert_null(job_status_name(JOB_STATUS_COUNT));
    assert_int_equal(job_status_parse(SPAN_LIT("Pending")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_is_deep),
        cmocka_unit_test(test_last_reference_frees_what_was_derived),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_status_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
