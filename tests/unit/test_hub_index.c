/* The index of the hub: a change looks only at the watches whose filter may mean the job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "hub/hub.h"

static void no_post(struct tag *tag, bool ok)
{
    (void)tag;
    (void)ok;
}

static struct tag wake = {.post = no_post};

/* As the store does: only if somebody is interested. */
static bool publish(struct hub *hub, const struct job *job)
{
    if (!hub_wanted(hub, job))
        return false;
    struct job_snapshot *snapshot = job_snapshot_new(job);
    assert_non_null(snapshot);
    hub_changed(hub, snapshot, true);
    job_snapshot_unref(snapshot);
    return true;
}

/* Takes what there is, the job at most, and that once. */
static bool took(struct hub *hub, struct hub_watch *watch, const struct job *job)
{
    bool cut = true;
    struct job_snapshot *snapshot = hub_next(hub, watch, &cut);
    if (!snapshot)
        return false;
    assert_int_equal(snapshot->job.id, job->id);
    assert_int_equal(snapshot->job.revision, job->revision);
    job_snapshot_unref(snapshot);
    assert_null(hub_next(hub, watch, &cut));
    assert_false(cut);
    return true;
}

enum equality { BY_ID, BY_SOURCE_ID, BY_BATCH, BY_OWNER, BY_OWN, BY_NAME, BY_SOURCE_TYPE, BY_QUEUE, EQUALITIES };
enum { EACH = 50 };

/* A filter that asks for value number v, and the job that has it. */
static void by_equality(enum equality by, int64_t *id, struct span *value, struct job_filter *filter, struct job *job)
{
    *filter = (struct job_filter){0};
    *job = (struct job){.id = 1000000, .name = SPAN_LIT("a"), .queue = SPAN_LIT("default"), .status = JOB_PENDING};
    if (by == BY_ID) {
        *filter = (struct job_filter){.ids = id, .n_ids = 1};
        job->id = *id;
    } else if (by == BY_NAME) {
        *filter = (struct job_filter){.names = value, .n_names = 1};
        job->name = *value;
    } else if (by == BY_QUEUE) {
        *filter = (struct job_filter){.queues = value, .n_queues = 1};
        job->queue = *value;
    } else if (by == BY_BATCH) {
        filter->batch = job->batch = *value;
    } else if (by == BY_OWNER) {
        filter->owner = job->owner = *value;
    } else if (by == BY_OWN) {
        filter->scope = (struct job_scope){.bounded = true, .own_only = true, .own = *value};
        job->owner = *value;
    } else {
        filter->source_type = job->source_type = by == BY_SOURCE_TYPE ? *value : SPAN_LIT("user");
        filter->source_id = job->source_id = by == BY_SOURCE_ID ? *value : SPAN_LIT("");
    }
}

static void a_change_looks_at_no_watch_that_cannot_want_it(void **state)
{
    (void)state;
    struct hub *hub = hub_new();
    struct hub_watch *watches[EQUALITIES][EACH];
    struct job_filter filter;
    struct job job;
    int64_t ids[EACH];
    char texts[EACH][8];
    struct span values[EACH];
    for (int v = 0; v < EACH; v++) {
        ids[v] = v + 1;
        snprintf(texts[v], sizeof texts[v], "v%d", v);
        values[v] = span_str(texts[v]);
        for (enum equality by = BY_ID; by < EQUALITIES; by++) {
            by_equality(by, &ids[v], &values[v], &filter, &job);
            assert_int_equal(hub_watch(hub, &filter, &wake, &watches[by][v], NULL), 0);
        }
    }
    for (enum equality by = BY_ID; by < EQUALITIES; by++) {
        by_equality(by, &ids[7], &values[7], &filter, &job);
        /* An owner is asked for by name, and by the rights of who sees only what is its own. */
        bool owned = by == BY_OWNER || by == BY_OWN;
        uint64_t before = hub_looks(hub);
        job.revision = ((int64_t)by + 1) << JOB_REVISION_SHIFT;
        assert_true(publish(hub, &job));
        assert_int_equal(hub_looks(hub) - before, owned ? 3 : 2);
        for (enum equality other = BY_ID; other < EQUALITIES; other++)
            for (int v = 0; v < EACH; v++)
                assert_int_equal(took(hub, watches[other][v], &job),
                                 v == 7 && (other == by || (owned && (other == BY_OWNER || other == BY_OWN))));
    }
    by_equality(BY_ID, &ids[0], &values[0], &filter, &job);
    job.id = 999;
    uint64_t before = hub_looks(hub);
    assert_false(hub_wanted(hub, &job));
    assert_int_equal(hub_looks(hub), before);
    for (enum equality by = BY_ID; by < EQUALITIES; by++)
        for (int v = 0; v < EACH; v++)
            hub_unwatch(hub, watches[by][v]);
    job.id = ids[0];
    assert_false(hub_wanted(hub, &job));
    hub_free(hub);
}

/* Of several values each is heard of, once; the rest of the filter counts as well. */
static void several_values_and_what_is_less_selective(void **state)
{
    (void)state;
    struct hub *hub = hub_new();
    struct hub_watch *watch;
    struct span names[] = {SPAN_LIT("a"), SPAN_LIT("b"), SPAN_LIT("a")}, queues[] = {SPAN_LIT("mail")};
    struct job_filter filter = {.names = names, .n_names = 3, .queues = queues, .n_queues = 1};
    struct job job = {.queue = queues[0], .status = JOB_PENDING, .revision = (int64_t)1 << JOB_REVISION_SHIFT};
    bool cut = false;
    assert_int_equal(hub_watch(hub, &filter, &wake, &watch, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        job.id++;
        job.name = names[i];
        assert_true(publish(hub, &job));
        assert_true(took(hub, watch, &job));
    }
    job.id++;
    job.queue = SPAN_LIT("other");
    assert_false(publish(hub, &job));
    job.queue = queues[0];
    job.name = SPAN_LIT("c");
    assert_false(publish(hub, &job));
    assert_true(hub_may_want(hub, job.id));
    hub_lost(hub);
    assert_null(hub_next(hub, watch, &cut));
    assert_true(cut);
    hub_unwatch(hub, watch);
    assert_false(hub_may_want(hub, job.id));
    hub_free(hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_looks_at_no_watch_that_cannot_want_it),
        cmocka_unit_test(several_values_and_what_is_less_selective),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
