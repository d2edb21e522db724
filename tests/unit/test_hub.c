/* The hub: what a watcher gets, what is conflated, when it is cut off, and that threads do not disturb each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "hub/hub.h"

struct waker {
    struct tag tag;
    atomic_int posts;
    sem_t sem;
};

static void waker_post(struct tag *tag, bool ok)
{
    struct waker *w = (struct waker *)tag;
    (void)ok;
    atomic_fetch_add(&w->posts, 1);
    sem_post(&w->sem);
}

static void waker_init(struct waker *w)
{
    w->tag.post = waker_post;
    atomic_init(&w->posts, 0);
    assert_int_equal(sem_init(&w->sem, 0, 0), 0);
}

static int64_t rev(int transition, int progress)
{
    return ((int64_t)transition << JOB_REVISION_SHIFT) + progress;
}

/* Publishes as the store does: only if somebody is interested. */
static bool publish(struct hub *hub, int64_t id, const char *name, enum job_status status, int64_t revision)
{
    struct job job = {
        .id = id, .name = span_str(name), .queue = SPAN_LIT("default"), .status = status, .revision = revision};
    if (!hub_wanted(hub, &job))
        return false;
    struct job_snapshot *snapshot = job_snapshot_new(&job);
    assert_non_null(snapshot);
    hub_changed(hub, snapshot, revision % rev(1, 0) == 0);
    job_snapshot_unref(snapshot);
    return true;
}

static void expect(struct hub *hub, struct hub_watch *watch, int64_t id, int64_t revision)
{
    bool cut = true;
    struct job_snapshot *snapshot = hub_next(hub, watch, &cut);
    assert_non_null(snapshot);
    assert_false(cut);
    assert_int_equal(snapshot->job.id, id);
    assert_int_equal(snapshot->job.revision, revision);
    job_snapshot_unref(snapshot);
}

static void expect_nothing(struct hub *hub, struct hub_watch *watch)
{
    bool cut = true;
    assert_null(hub_next(hub, watch, &cut));
    assert_false(cut);
}

struct fixture {
    struct hub *hub;
    struct waker waker;
    struct hub_watch *watch;
};

static void start(struct fixture *f, const struct job_filter *filter)
{
    f->hub = hub_new();
    assert_non_null(f->hub);
    waker_init(&f->waker);
    assert_int_equal(hub_watch(f->hub, filter, &f->waker.tag, &f->watch, NULL), 0);
}

static void stop(struct fixture *f)
{
    hub_unwatch(f->hub, f->watch);
    hub_free(f->hub);
}

static void what_is_no_news_is_not_published(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct job_filter){0});
    publish(f.hub, 7, "a", JOB_RUNNING, rev(2, 0));
    expect(f.hub, f.watch, 7, rev(2, 0));
    publish(f.hub, 7, "a", JOB_RUNNING, rev(2, 5));
    expect(f.hub, f.watch, 7, rev(2, 5));
    publish(f.hub, 7, "a", JOB_RUNNING, rev(2, 5)); /* from the log of changes, too */
    publish(f.hub, 7, "a", JOB_RUNNING, rev(2, 4));
    publish(f.hub, 7, "a", JOB_RUNNING, rev(2, 0)); /* its start, told after its progress */
    expect_nothing(f.hub, f.watch);
    publish(f.hub, 7, "a", JOB_PENDING, rev(3, 0));
    expect(f.hub, f.watch, 7, rev(3, 0));
    publish(f.hub, 7, "a", JOB_RUNNING, rev(2, 6)); /* of a worker whose lease another replica has ended */
    expect_nothing(f.hub, f.watch);
    publish(f.hub, 8, "a", JOB_RUNNING, rev(2, 5)); /* another job */
    expect(f.hub, f.watch, 8, rev(2, 5));
    stop(&f);
}

static void one_job_keeps_transitions_and_conflates_progress(void **state)
{
    (void)state;
    struct fixture f;
    int64_t id = 42;
    start(&f, &(struct job_filter){.ids = &id, .n_ids = 1});
    assert_true(publish(f.hub, 42, "a", JOB_PENDING, rev(1, 0)));
    assert_true(publish(f.hub, 42, "a", JOB_RUNNING, rev(2, 0)));
    for (int i = 1; i <= 100; i++)
        publish(f.hub, 42, "a", JOB_RUNNING, rev(2, i));
    expect(f.hub, f.watch, 42, rev(1, 0));
    expect(f.hub, f.watch, 42, rev(2, 0));
    expect(f.hub, f.watch, 42, rev(2, 100));
    expect_nothing(f.hub, f.watch);
    /* A transition takes the place of a progress that nobody has seen. */
    publish(f.hub, 42, "a", JOB_RUNNING, rev(2, 101));
    publish(f.hub, 42, "a", JOB_COMPLETED, rev(3, 0));
    expect(f.hub, f.watch, 42, rev(3, 0));
    expect_nothing(f.hub, f.watch);
    stop(&f);
}

static void wakes_once_for_what_waits(void **state)
{
    (void)state;
    struct fixture f;
    int64_t id = 1;
    start(&f, &(struct job_filter){.ids = &id, .n_ids = 1});
    publish(f.hub, 1, "a", JOB_PENDING, rev(1, 0));
    publish(f.hub, 1, "a", JOB_RUNNING, rev(2, 0));
    assert_int_equal(f.waker.posts, 1);
    expect(f.hub, f.watch, 1, rev(1, 0));
    expect(f.hub, f.watch, 1, rev(2, 0));
    publish(f.hub, 1, "a", JOB_RUNNING, rev(2, 1));
    assert_int_equal(f.waker.posts, 2);
    stop(&f);
}

static void wanted_only_by_those_who_watch(void **state)
{
    (void)state;
    struct fixture f;
    struct span name = SPAN_LIT("mail");
    int64_t ids[] = {7, 7, 9};
    struct waker waker;
    struct hub_watch *by_ids;
    start(&f, &(struct job_filter){.names = &name, .n_names = 1});
    waker_init(&waker);
    assert_false(publish(f.hub, 7, "other", JOB_PENDING, rev(1, 0)));
    assert_true(publish(f.hub, 7, "mail", JOB_PENDING, rev(1, 0)));
    expect(f.hub, f.watch, 7, rev(1, 0));
    assert_int_equal(hub_watch(f.hub, &(struct job_filter){.ids = ids, .n_ids = 3}, &waker.tag, &by_ids, NULL), 0);
    assert_true(publish(f.hub, 7, "other", JOB_RUNNING, rev(2, 0)));
    assert_true(publish(f.hub, 9, "mail", JOB_RUNNING, rev(2, 0)));
    assert_false(publish(f.hub, 8, "other", JOB_RUNNING, rev(2, 0)));
    expect(f.hub, by_ids, 7, rev(2, 0));
    expect(f.hub, by_ids, 9, rev(2, 0));
    expect_nothing(f.hub, by_ids);
    expect(f.hub, f.watch, 9, rev(2, 0));
    expect_nothing(f.hub, f.watch);
    hub_unwatch(f.hub, by_ids);
    assert_false(publish(f.hub, 7, "other", JOB_COMPLETED, rev(3, 0)));
    assert_int_equal(waker.posts, 1);
    stop(&f);
}

static void many_jobs_are_conflated_each_for_itself(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct job_filter){.n_ids = 0});
    publish(f.hub, 1, "a", JOB_RUNNING, rev(2, 1));
    publish(f.hub, 2, "a", JOB_RUNNING, rev(2, 1));
    publish(f.hub, 1, "a", JOB_RUNNING, rev(2, 2));
    publish(f.hub, 2, "a", JOB_COMPLETED, rev(3, 0));
    publish(f.hub, 2, "a", JOB_PENDING, rev(4, 0));
    expect(f.hub, f.watch, 1, rev(2, 2));
    expect(f.hub, f.watch, 2, rev(3, 0));
    expect(f.hub, f.watch, 2, rev(4, 0));
    expect_nothing(f.hub, f.watch);
    stop(&f);
}

static void a_job_that_ceases_to_match_is_sent_once_more(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct job_filter){.status_mask = 1u << JOB_RUNNING});
    /* Before the watcher has read the store: job 1 ran already, job 2 begins, job 3 never runs. */
    publish(f.hub, 1, "a", JOB_COMPLETED, rev(3, 0));
    publish(f.hub, 2, "a", JOB_RUNNING, rev(2, 0));
    publish(f.hub, 3, "a", JOB_CANCELLED, rev(2, 0));
    publish(f.hub, 2, "a", JOB_FAILED, rev(3, 0));
    hub_shown(f.hub, f.watch, 1, true);
    hub_settle(f.hub, f.watch);
    expect(f.hub, f.watch, 1, rev(3, 0));
    expect(f.hub, f.watch, 2, rev(2, 0));
    expect(f.hub, f.watch, 2, rev(3, 0));
    expect_nothing(f.hub, f.watch);
    /* Afterwards. */
    publish(f.hub, 2, "a", JOB_PENDING, rev(4, 0));
    expect_nothing(f.hub, f.watch);
    publish(f.hub, 2, "a", JOB_RUNNING, rev(5, 0));
    publish(f.hub, 2, "a", JOB_COMPLETED, rev(6, 0));
    publish(f.hub, 2, "a", JOB_COMPLETED, rev(6, 1));
    expect(f.hub, f.watch, 2, rev(5, 0));
    expect(f.hub, f.watch, 2, rev(6, 0));
    expect_nothing(f.hub, f.watch);
    stop(&f);
}

static void put_back(struct hub *hub, int64_t id, enum job_status from)
{
    struct job job = {.id = id, .status = JOB_PENDING, .retried_from = from, .revision = rev(4, 0)};
    assert_true(hub_wanted(hub, &job));
    struct job_snapshot *snapshot = job_snapshot_new(&job);
    hub_changed(hub, snapshot, true);
    job_snapshot_unref(snapshot);
}

/* No watch has shown it, as it had ended before, and nobody but the change itself knows what it was. */
static void a_retry_is_told_to_who_asks_for_what_it_was(void **state)
{
    (void)state;
    struct fixture f;
    struct span error = SPAN_LIT("Timeout");
    struct waker waker;
    struct hub_watch *running, *by_error;
    start(&f, &(struct job_filter){.status_mask = 1u << JOB_FAILED});
    waker_init(&waker);
    assert_int_equal(
        hub_watch(f.hub, &(struct job_filter){.status_mask = 1u << JOB_RUNNING}, &waker.tag, &running, NULL), 0);
    assert_int_equal(
        hub_watch(f.hub, &(struct job_filter){.error_types = &error, .n_error_types = 1}, &waker.tag, &by_error, NULL),
        0);
    put_back(f.hub, 1, JOB_FAILED); /* while the store is read */
    put_back(f.hub, 2, JOB_CANCELLED);
    struct hub_watch *watches[] = {f.watch, running, by_error};
    for (size_t i = 0; i < 3; i++)
        hub_settle(f.hub, watches[i]);
    put_back(f.hub, 3, JOB_FAILED);
    put_back(f.hub, 4, JOB_CANCELLED);
    publish(f.hub, 5, "a", JOB_PENDING, rev(3, 0)); /* an attempt failed, and another follows */
    publish(f.hub, 3, "a", JOB_RUNNING, rev(5, 0));
    expect(f.hub, f.watch, 1, rev(4, 0));
    expect(f.hub, f.watch, 3, rev(4, 0));
    expect_nothing(f.hub, f.watch);
    expect(f.hub, running, 3, rev(5, 0));
    expect_nothing(f.hub, running);
    /* Which error it was is gone with it. */
    for (int64_t id = 1; id <= 4; id++)
        expect(f.hub, by_error, id, rev(4, 0));
    expect_nothing(f.hub, by_error);
    hub_unwatch(f.hub, running);
    hub_unwatch(f.hub, by_error);
    stop(&f);
}

static void progress_is_repeated_for_who_came_after_it(void **state)
{
    (void)state;
    struct hub *hub = hub_new();
    struct waker waker;
    waker_init(&waker);
    int64_t id = 7;
    struct job_filter one = {.ids = &id, .n_ids = 1}, all = {.ids = NULL};
    struct hub_watch *early[2], *late[2];
    struct job job = {.id = id, .name = SPAN_LIT("a"), .status = JOB_RUNNING, .revision = rev(2, 1)};
    struct job_snapshot *snapshot = job_snapshot_new(&job);
    bool cut;
    assert_int_equal(hub_watch(hub, &one, &waker.tag, &early[0], NULL), 0);
    assert_int_equal(hub_watch(hub, &all, &waker.tag, &early[1], NULL), 0);
    int64_t told_us = clock_mono_us() + 1;
    while (clock_mono_us() < told_us) {
    }
    assert_false(hub_wanted_since(hub, &job, told_us));
    assert_int_equal(hub_watch(hub, &one, &waker.tag, &late[0], NULL), 0);
    assert_int_equal(hub_watch(hub, &all, &waker.tag, &late[1], NULL), 0);
    assert_true(hub_wanted_since(hub, &job, told_us));
    hub_repeat(hub, snapshot, told_us);
    for (int i = 0; i < 2; i++) {
        assert_null(hub_next(hub, early[i], &cut));
        expect(hub, late[i], id, rev(2, 1));
        hub_unwatch(hub, early[i]);
        hub_unwatch(hub, late[i]);
    }
    job_snapshot_unref(snapshot);
    hub_free(hub);
}

static void a_slow_watcher_is_cut_off(void **state)
{
    (void)state;
    struct fixture f;
    struct waker waker;
    struct hub_watch *other;
    bool cut = false;
    start(&f, &(struct job_filter){.n_ids = 0});
    for (int i = 1; i <= HUB_BACKLOG_MAX; i++)
        publish(f.hub, i, "a", JOB_PENDING, rev(1, 0));
    /* Full, yet progress still finds its place: with the job's own entry, or not at all. */
    publish(f.hub, 1, "a", JOB_RUNNING, rev(1, 1));
    waker_init(&waker);
    assert_int_equal(hub_watch(f.hub, &(struct job_filter){.n_ids = 0}, &waker.tag, &other, NULL), 0);
    publish(f.hub, 99999999, "a", JOB_PENDING, rev(1, 0));
    assert_null(hub_next(f.hub, f.watch, &cut));
    assert_true(cut);
    expect(f.hub, other, 99999999, rev(1, 0));
    publish(f.hub, 5, "a", JOB_RUNNING, rev(2, 0));
    assert_null(hub_next(f.hub, f.watch, &cut));
    assert_true(cut);
    hub_unwatch(f.hub, other);
    stop(&f);
}

/* ---- threads ---- */

enum { JOBS = 50, TRANSITIONS = 60, WATCHERS = 3 };

struct crowd {
    struct hub *hub;
    atomic_bool stop;
};

static void *publisher(void *arg)
{
    struct crowd *c = arg;
    for (int t = 1; t <= TRANSITIONS; t++)
        for (int64_t id = 1; id <= JOBS; id++) {
            publish(c->hub, id, "a", t == TRANSITIONS ? JOB_COMPLETED : JOB_RUNNING, rev(t, 0));
            for (int p = 1; p <= 3; p++)
                publish(c->hub, id, "a", JOB_RUNNING, rev(t, p));
        }
    return NULL;
}

struct watcher {
    struct hub *hub;
    struct waker waker;
    struct hub_watch *watch;
    int transitions;
    bool in_order;
};

/* Counts until the last transition of every job has come. */
static void *watcher(void *arg)
{
    struct watcher *w = arg;
    int64_t last[JOBS + 1] = {0};
    int final = 0;
    bool cut = false;
    w->in_order = true;
    while (final < JOBS && !cut) {
        sem_wait(&w->waker.sem);
        struct job_snapshot *s;
        while ((s = hub_next(w->hub, w->watch, &cut))) {
            w->in_order = w->in_order && s->job.revision > last[s->job.id];
            last[s->job.id] = s->job.revision;
            w->transitions += s->job.revision % rev(1, 0) == 0;
            final += s->job.revision == rev(TRANSITIONS, 0);
            job_snapshot_unref(s);
        }
    }
    return NULL;
}

/* Comes and goes all the while. */
static void *visitor(void *arg)
{
    struct crowd *c = arg;
    struct waker waker;
    int64_t id = 3;
    bool cut;
    waker_init(&waker);
    while (!atomic_load(&c->stop)) {
        struct hub_watch *watch;
        struct job_filter filter = {.ids = &id, .n_ids = id % 2 == 0 ? 0 : 1, .status_mask = 1u << JOB_RUNNING};
        if (hub_watch(c->hub, &filter, &waker.tag, &watch, NULL) != 0)
            break;
        hub_settle(c->hub, watch);
        job_snapshot_unref(hub_next(c->hub, watch, &cut));
        hub_unwatch(c->hub, watch);
        id = id % JOBS + 1;
    }
    return NULL;
}

static void threads_lose_no_transition(void **state)
{
    (void)state;
    struct crowd crowd = {.hub = hub_new()};
    struct watcher watchers[WATCHERS];
    pthread_t threads[WATCHERS], publishing, visiting;
    for (int i = 0; i < WATCHERS; i++) {
        watchers[i] = (struct watcher){.hub = crowd.hub};
        waker_init(&watchers[i].waker);
        assert_int_equal(
            hub_watch(crowd.hub, &(struct job_filter){.n_ids = 0}, &watchers[i].waker.tag, &watchers[i].watch, NULL),
            0);
        assert_int_equal(pthread_create(&threads[i], NULL, watcher, &watchers[i]), 0);
    }
    assert_int_equal(pthread_create(&visiting, NULL, visitor, &crowd), 0);
    assert_int_equal(pthread_create(&publishing, NULL, publisher, &crowd), 0);
    pthread_join(publishing, NULL);
    for (int i = 0; i < WATCHERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(watchers[i].in_order);
        assert_int_equal(watchers[i].transitions, JOBS * TRANSITIONS);
        hub_unwatch(crowd.hub, watchers[i].watch);
    }
    atomic_store(&crowd.stop, true);
    pthread_join(visiting, NULL);
    hub_free(crowd.hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_news_is_not_published),
        cmocka_unit_test(one_job_keeps_transitions_and_conflates_progress),
        cmocka_unit_test(wakes_once_for_what_waits),
        cmocka_unit_test(wanted_only_by_those_who_watch),
        cmocka_unit_test(many_jobs_are_conflated_each_for_itself),
        cmocka_unit_test(a_job_that_ceases_to_match_is_sent_once_more),
        cmocka_unit_test(a_retry_is_told_to_who_asks_for_what_it_was),
        cmocka_unit_test(progress_is_repeated_for_who_came_after_it),
        cmocka_unit_test(a_slow_watcher_is_cut_off),
        cmocka_unit_test(threads_lose_no_transition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
