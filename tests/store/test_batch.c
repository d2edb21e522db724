/* Many commands in one transaction: request ids, poisoned items, repeated commands for one job. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 600 };

static struct dispatch_item item_of(const char *request_id, char body)
{
    struct dispatch_item item = {.job = a_job("mail")};

    item.job.request_id = span_str(request_id);
    memset(item.body_hash, body, sizeof item.body_hash);
    return item;
}

static struct store_dispatch dispatch_items(struct store *s, struct dispatch_item *items, size_t n)
{
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = items, .n_items = n};

    run_cmd(s, &d.cmd);
    return d;
}

static void test_request_id_is_replayed(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item first = item_of("r-1", 'a'), again = item_of("r-1", 'a'), other = item_of("r-1", 'b');

    (void)state;
    assert_int_equal(dispatch_items(s, &first, 1).cmd.err.code, ERR_OK);
    assert_false(first.replayed);
    assert_int_equal(dispatch_items(s, &again, 1).cmd.err.code, ERR_OK);
    assert_true(again.replayed);
    assert_int_equal(again.job.id, first.job.id);
    dispatch_items(s, &other, 1);
    assert_int_equal(other.err.code, ERR_ALREADY_EXISTS);
    assert_string_equal(other.err.reason, "REQUEST_ID_REUSED");
    assert_int_equal(sql_int("select count(*) from joblog.job"), 1);
    assert_counters_exact();
    store_close(s);
}

static void test_request_id_twice_in_one_batch(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item items[] = {item_of("r-1", 'a'), item_of("r-2", 'a'), item_of("r-1", 'a'), item_of("r-1", 'b'),
                                    item_of("", 'c')};

    (void)state;
    assert_int_equal(dispatch_items(s, items, 5).cmd.err.code, ERR_OK);
    assert_false(items[0].replayed || items[1].replayed || items[4].replayed);
    assert_true(items[2].replayed);
    assert_int_equal(items[2].job.id, items[0].job.id);
    assert_int_equal(items[3].err.code, ERR_ALREADY_EXISTS);
    assert_int_equal(sql_int("select count(*) from joblog.job"), 3);
    /* The same again: all but the one without a request id are replays. */
    struct dispatch_item more[] = {item_of("r-1", 'a'), item_of("r-2", 'x'), item_of("r-1", 'a'), item_of("", 'c')};
    dispatch_items(s, more, 4);
    assert_true(more[0].replayed && more[2].replayed);
    assert_int_equal(more[2].job.id, items[0].job.id);
    assert_int_equal(more[1].err.code, ERR_ALREADY_EXISTS);
    assert_int_equal(sql_int("select count(*) from joblog.job"), 4);
    assert_counters_exact();
    store_close(s);
}

static void test_poisoned_item_hurts_only_itself(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item *items = calloc(MANY, sizeof *items);

    (void)state;
    for (int i = 0; i < MANY; i++)
        items[i] = (struct dispatch_item){.job = a_job("mail")};
    items[0].job.payload = SPAN_LIT("{\"a\": ");
    items[333].job.payload = SPAN_LIT("{\"a\": \"\\u0000\"}");
    items[MANY - 1].job.owner = SPAN_LIT("not \xff UTF-8");
    assert_int_equal(dispatch_items(s, items, MANY).cmd.err.code, ERR_OK);
    for (int i = 0; i < MANY; i++) {
        bool poisoned = i == 0 || i == 333 || i == MANY - 1;
        assert_int_equal(items[i].err.code, poisoned ? ERR_INVALID_ARGUMENT : ERR_OK);
        /* Nothing that the database said gets out. */
        assert_null(strstr(items[i].err.msg, "\\u"));
    }
    assert_int_equal(sql_int("select count(*) from joblog.job"), MANY - 3);
    assert_int_equal(sql_int("select count(*) from joblog.waiting"), MANY - 3);
    assert_counters_exact();
    free(items);
    store_close(s);
}

/* What the jobs of a batch have in common is sent once; what the odd one has must not go to the others. */
static void dispatch_but_one(struct store *s, size_t n, size_t odd, void (*change)(struct job *job))
{
    struct dispatch_item *items = calloc(n, sizeof *items);
    char sql[600];

    for (size_t i = 0; i < n; i++) {
        items[i] = (struct dispatch_item){.job = a_job("mail")};
        items[i].job.creator = SPAN_LIT("me");
        items[i].job.payload = i % 2 ? SPAN_LIT("{\"odd\": true}") : SPAN_LIT("{}");
    }
    if (change)
        change(&items[odd].job);
    struct job want = items[odd].job;
    assert_int_equal(dispatch_items(s, items, n).cmd.err.code, ERR_OK);
    snprintf(
        sql, sizeof sql,
        "select count(*) from joblog.job_now j where id between %lld and %lld and job_name = 'mail' and priority = 0 "
        "and owner is null and creator = 'me' and max_attempts = 1 and run_time <= now() and payload = case when (id - "
        "%lld) %% 2 = 1 "
        "then '{\"odd\": true}'::jsonb else '{}' end",
        (long long)items[0].job.id, (long long)items[n - 1].job.id, (long long)items[0].job.id);
    assert_int_equal(sql_int(sql), change ? n - 1 : n);
    struct job got = get_ok(s, items[odd].job.id);
    assert_true(span_eq(got.name, want.name) && span_eq(got.owner, want.owner) && span_eq(got.creator, want.creator));
    assert_int_equal(got.priority, want.priority);
    assert_int_equal(got.retry.max_attempts, want.retry.max_attempts);
    snprintf(sql, sizeof sql, "select count(*) from joblog.waiting where id between %lld and %lld and not has_state",
             (long long)items[0].job.id, (long long)items[n - 1].job.id);
    assert_int_equal(sql_int(sql), want.run_us > 0 ? n - 1 : n);
    free(items);
}

static void other_name(struct job *job)
{
    job->name = SPAN_LIT("letter");
}

static void other_owner(struct job *job)
{
    job->owner = SPAN_LIT("ann");
}

static void other_creator(struct job *job)
{
    job->creator = SPAN_LIT("em");
}

static void no_creator(struct job *job)
{
    job->creator = (struct span){NULL, 0};
}

static void other_priority(struct job *job)
{
    job->priority = 7;
}

static void other_attempts(struct job *job)
{
    job->retry.max_attempts = job->attempts_left = 3;
}

static void later(struct job *job)
{
    job->run_us = INT64_C(4102444800000000); /* 2100 */
}

static void test_what_jobs_have_in_common(void **state)
{
    static void (*const changes[])(struct job *) = {NULL,       other_name,     other_owner,    other_creator,
                                                    no_creator, other_priority, other_attempts, later};
    static const size_t sizes[] = {1, 2, 249, 250, 251, 600};
    struct store *s = store_fresh(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            dispatch_but_one(s, sizes[k], sizes[k] - 1, changes[i]);
            dispatch_but_one(s, sizes[k], 0, changes[i]);
        }
    assert_counters_exact();
    store_close(s);
}

/* Submitted together, so that they come into one batch. */
static void run_together(struct store *s, struct store_cmd **cmds, size_t n)
{
    struct waiter *w = waiter_new();

    for (size_t i = 0; i < n; i++) {
        struct err err;
        cmds[i]->done = &w->tag;
        assert_int_equal(store_submit(s, cmds[i], &err), 0);
    }
    for (size_t i = 0; i < n; i++)
        assert_true(waiter_wait(w));
    waiter_free(w);
}

static void test_commands_for_one_job_in_one_batch(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, id = start_ok(s, a_job("mail"), &token);
    struct store_finish a = {.cmd.op = STORE_FINISH, .job_id = id, .token = token, .outcome = ATTEMPT_COMPLETED}, b = a,
                        other = a;
    struct store_cancel c = {.cmd.op = STORE_CANCEL, .job_id = id};
    struct store_cmd *cmds[] = {&a.cmd, &b.cmd, &other.cmd, &c.cmd};

    (void)state;
    other.outcome = ATTEMPT_FAILED;
    run_together(s, cmds, 4);
    /* One of the finishes wins; what follows sees the end, and the same once more is told so. */
    assert_int_equal(a.cmd.err.code, ERR_OK);
    assert_int_equal(b.cmd.err.code, ERR_OK);
    assert_int_equal(b.status, JOB_COMPLETED);
    assert_string_equal(other.cmd.err.reason, "LEASE_LOST");
    assert_string_equal(c.cmd.err.reason, "JOB_TRANSITION_REFUSED");
    assert_int_equal(get_ok(s, id).status, JOB_COMPLETED);
    assert_counters_exact();
    store_close(s);
}

/* Counts the answers that came before its own; they all come from the store's one thread. */
struct counted {
    struct tag tag;
    struct waiter *waiter;
    int *answers;
    int before;
};

static void counted_post(struct tag *tag, bool ok)
{
    struct counted *c = (struct counted *)tag;

    c->before = (*c->answers)++;
    tag_post(&c->waiter->tag, ok);
}

static void test_writes_about_one_job_hold_up_nobody_else(void **state)
{
    enum { WRITES = 100 };
    struct store_options o = {.batch_max = 10};
    struct store *s = store_fresh(&o);
    struct waiter *w = waiter_new();
    struct dispatch_item item = {.job = a_job("mail")};
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = &item, .n_items = 1};
    struct store_finish f[WRITES];
    struct counted c[WRITES + 1];
    int answers = 0;
    struct err err;

    (void)state;
    for (int i = 0; i <= WRITES; i++) {
        struct store_cmd *cmd = i == WRITES ? &d.cmd : &f[i].cmd;
        c[i] = (struct counted){.tag.post = counted_post, .waiter = w, .answers = &answers};
        if (i < WRITES)
            f[i] = (struct store_finish){.cmd.op = STORE_FINISH, .job_id = 5, .token = 7, .outcome = ATTEMPT_COMPLETED};
        cmd->done = &c[i].tag;
        assert_int_equal(store_submit(s, cmd, &err), 0);
    }
    for (int i = 0; i <= WRITES; i++)
        assert_true(waiter_wait(w));
    assert_int_equal(d.cmd.err.code, ERR_OK);
    assert_true(c[WRITES].before < WRITES / 2);
    for (int i = 0; i < WRITES; i++) {
        assert_string_equal(f[i].cmd.err.reason, "LEASE_LOST");
        assert_true(i == 0 || c[i].before > c[i - 1].before);
    }
    waiter_free(w);
    store_close(s);
}

static void test_poisoned_finish_hurts_only_itself(void **state)
{
    struct store *s = store_fresh(NULL);
    struct store_finish f[MANY / 10];
    struct store_cmd *cmds[MANY / 10];

    (void)state;
    for (int i = 0; i < MANY / 10; i++) {
        int64_t token, id = start_ok(s, a_job("mail"), &token);
        f[i] = (struct store_finish){.cmd.op = STORE_FINISH,
                                     .job_id = id,
                                     .token = token,
                                     .outcome = ATTEMPT_COMPLETED,
                                     .result = i == 17 ? SPAN_LIT("nonsense") : SPAN_LIT("1")};
        cmds[i] = &f[i].cmd;
    }
    run_together(s, cmds, MANY / 10);
    for (int i = 0; i < MANY / 10; i++)
        assert_int_equal(f[i].cmd.err.code, i == 17 ? ERR_INVALID_ARGUMENT : ERR_OK);
    assert_int_equal(get_ok(s, f[17].job_id).status, JOB_RUNNING);
    f[17].result = SPAN_LIT("true");
    assert_int_equal(run_cmd(s, &f[17].cmd), 0);
    assert_int_equal(sql_int("select count(*) from joblog.job_state where status = 3"), MANY / 10);
    assert_counters_exact();
    store_close(s);
}

static void test_row_changed_behind_the_store(void **state)
{
    struct store *s = store_fresh(NULL);
    int64_t token, other, id = start_ok(s, a_job("mail"), &token), good = start_ok(s, a_job("mail"), &other);
    struct store_finish a = {.cmd.op = STORE_FINISH, .job_id = id, .token = token, .outcome = ATTEMPT_COMPLETED};
    struct store_finish b = {.cmd.op = STORE_FINISH, .job_id = good, .token = other, .outcome = ATTEMPT_COMPLETED};
    struct store_cmd *cmds[] = {&a.cmd, &b.cmd};
    char sql[200];

    (void)state;
    /* As another replica would: the lease that memory knows is gone. */
    snprintf(sql, sizeof sql, "update joblog.lease set token = token + 1 where job_id = %lld", (long long)id);
    sql_value(sql);
    run_together(s, cmds, 2);
    assert_string_equal(a.cmd.err.reason, "LEASE_LOST");
    assert_int_equal(b.cmd.err.code, ERR_OK);
    assert_int_equal(get_ok(s, id).status, JOB_RUNNING);
    a.token++;
    assert_int_equal(run_cmd(s, &a.cmd), 0);
    assert_counters_exact();
    store_close(s);
}

static void test_bulk_is_cut_into_batches(void **state)
{
    struct store_options o = {.batch_max = 50};
    struct store *s = store_fresh(&o);
    struct dispatch_item *items = calloc(MANY, sizeof *items);
    int64_t last = 0;

    (void)state;
    for (int i = 0; i < MANY; i++)
        items[i] = (struct dispatch_item){.job = a_job(i % 2 ? "odd" : "even")};
    assert_int_equal(dispatch_items(s, items, MANY).cmd.err.code, ERR_OK);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(items[i].err.code, ERR_OK);
        assert_true(items[i].job.id > last);
        last = items[i].job.id;
    }
    assert_int_equal(sql_int("select count(*) from joblog.lane"), 2);
    assert_counters_exact();
    free(items);
    store_close(s);
}

static void test_queue_is_bounded(void **state)
{
    struct store_options o = {.queue_max = 5};
    struct store *s = store_fresh(&o);
    struct waiter *w = waiter_new();
    struct dispatch_item items[200];
    struct store_dispatch d[200];
    struct err err;
    int taken = 0, refused = 0;

    (void)state;
    for (int i = 0; i < 200; i++) {
        items[i] = (struct dispatch_item){.job = a_job("mail")};
        d[i] =
            (struct store_dispatch){.cmd = {.op = STORE_DISPATCH, .done = &w->tag}, .items = &items[i], .n_items = 1};
        if (store_submit(s, &d[i].cmd, &err) == 0) {
            taken++;
        } else {
            refused++;
            assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
            assert_true(err.retry_after_ms > 0);
        }
    }
    assert_true(taken >= 5 && refused > 0);
    for (int i = 0; i < taken; i++)
        assert_true(waiter_wait(w));
    assert_int_equal(sql_int("select count(*) from joblog.job"), taken);
    waiter_free(w);
    store_close(s);
}

static void test_close_finishes_what_was_submitted(void **state)
{
    struct store *s = store_fresh(NULL);
    struct waiter *w = waiter_new();
    struct dispatch_item items[100];
    struct store_dispatch d[100];
    struct err err;

    (void)state;
    for (int i = 0; i < 100; i++) {
        items[i] = (struct dispatch_item){.job = a_job("mail")};
        d[i] =
            (struct store_dispatch){.cmd = {.op = STORE_DISPATCH, .done = &w->tag}, .items = &items[i], .n_items = 1};
        assert_int_equal(store_submit(s, &d[i].cmd, &err), 0);
    }
    store_close(s);
    for (int i = 0; i < 100; i++) {
        assert_true(waiter_wait(w));
        assert_int_equal(items[i].err.code, ERR_OK);
    }
    assert_int_equal(sql_int("select count(*) from joblog.job"), 100);
    waiter_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_id_is_replayed),
        cmocka_unit_test(test_request_id_twice_in_one_batch),
        cmocka_unit_test(test_poisoned_item_hurts_only_itself),
        cmocka_unit_test(test_what_jobs_have_in_common),
        cmocka_unit_test(test_commands_for_one_job_in_one_batch),
        cmocka_unit_test(test_writes_about_one_job_hold_up_nobody_else),
        cmocka_unit_test(test_poisoned_finish_hurts_only_itself),
        cmocka_unit_test(test_row_changed_behind_the_store),
        cmocka_unit_test(test_bulk_is_cut_into_batches),
        cmocka_unit_test(test_queue_is_bounded),
        cmocka_unit_test(test_close_finishes_what_was_submitted),
    };

    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
