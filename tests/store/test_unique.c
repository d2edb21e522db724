/* Unique keys: who gets one, who is told what, and when it is free again; within a batch and across batches. Races are
 * in test_unique_race.c. */
#include "store_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct dispatch_item keyed(const char *key, enum unique_scope scope, enum unique_conflict on_conflict,
                                  const char *payload)
{
    struct dispatch_item item = {.job = a_job("mail"), .on_conflict = on_conflict};

    item.job.unique = (struct unique_key){span_str(key), scope, 0};
    item.job.payload = span_str(payload);
    return item;
}

static void dispatch_items(struct store *s, struct dispatch_item *items, size_t n)
{
    struct store_dispatch d = {.cmd.op = STORE_DISPATCH, .items = items, .n_items = n};

    assert_int_equal(run_cmd(s, &d.cmd), 0);
}

static struct dispatch_item dispatched(struct store *s, struct dispatch_item item)
{
    dispatch_items(s, &item, 1);
    return item;
}

static struct dispatch_item dispatch_key(struct store *s, const char *key, enum unique_scope scope)
{
    return dispatched(s, keyed(key, scope, UNIQUE_REJECT, "{}"));
}

static void assert_taken(const struct dispatch_item *item, int64_t holder)
{
    char text[40];

    assert_int_equal(item->err.code, ERR_ALREADY_EXISTS);
    assert_string_equal(item->err.reason, "UNIQUE_KEY_TAKEN");
    assert_false(item->existing);
    snprintf(text, sizeof text, "job %lld", (long long)holder);
    if (holder)
        assert_non_null(strstr(item->err.msg, text));
}

static void assert_existing(const struct dispatch_item *item, int64_t holder)
{
    assert_int_equal(item->err.code, ERR_OK);
    assert_true(item->existing);
    assert_int_equal(item->job.id, holder);
}

static void assert_made(const struct dispatch_item *item)
{
    assert_int_equal(item->err.code, ERR_OK);
    assert_false(item->existing || item->replayed);
}

static void assert_payload(struct store *s, int64_t id, const char *key, int value)
{
    char sql[200];

    (void)s;
    snprintf(sql, sizeof sql, "select coalesce((payload->>'%s')::int, -1) from joblog.job where id = %lld", key,
             (long long)id);
    assert_int_equal(sql_int(sql), value);
}

static int64_t n_jobs(void)
{
    return sql_int("select count(*) from joblog.job");
}

static int64_t n_keys(void)
{
    return sql_int("select count(*) from joblog.unique_key");
}

static void end_ok(struct store *s, int64_t id, int64_t token, enum attempt_outcome outcome)
{
    struct store_finish f = finish(s, id, token, outcome);

    assert_int_equal(f.cmd.err.code, ERR_OK);
}

static void test_a_key_is_held_until_the_job_is_final(void **state)
{
    struct store *s = store_fresh(NULL);
    struct worker w = worker_open(s, "w", "q");
    struct dispatch_item first = dispatch_key(s, "k", UNIQUE_NOT_FINAL), again, other;
    int64_t token;

    (void)state;
    assert_made(&first);
    again = dispatch_key(s, "k", UNIQUE_NOT_FINAL);
    assert_taken(&again, first.job.id);
    other = dispatch_key(s, "k2", UNIQUE_NOT_FINAL);
    assert_made(&other);
    /* Another job name is another name space. */
    struct dispatch_item letter = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{}");
    letter.job.name = SPAN_LIT("letter");
    letter = dispatched(s, letter);
    assert_made(&letter);
    worker_credit(&w, 1);
    assert_int_equal(worker_lease(&w, &token), first.job.id);
    again = dispatch_key(s, "k", UNIQUE_NOT_FINAL);
    assert_taken(&again, first.job.id);
    assert_true(span_eq(get_ok(s, first.job.id).unique.key, SPAN_LIT("k")));
    end_ok(s, first.job.id, token, ATTEMPT_COMPLETED);
    again = dispatch_key(s, "k", UNIQUE_NOT_FINAL);
    assert_made(&again);
    struct store_cancel c = {.cmd.op = STORE_CANCEL, .job_id = again.job.id};
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    again = dispatch_key(s, "k", UNIQUE_NOT_FINAL);
    assert_made(&again);
    assert_int_equal(n_keys(), 3);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

static void test_a_failed_attempt_that_is_followed_keeps_the_key(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item item = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{}"), again;
    int64_t token;

    (void)state;
    item.job.retry.max_attempts = 2;
    item.job.retry.initial_backoff_us = 0;
    item = dispatched(s, item);
    /* A process that began before and knows nothing of it by memory. */
    store_close(s);
    s = store_again(NULL);
    struct worker w = worker_open(s, "w", "q");
    worker_credit(&w, 2);
    assert_int_equal(worker_lease(&w, &token), item.job.id);
    end_ok(s, item.job.id, token, ATTEMPT_FAILED);
    again = dispatch_key(s, "k", UNIQUE_NOT_FINAL);
    assert_taken(&again, item.job.id);
    assert_int_equal(worker_lease(&w, &token), item.job.id);
    end_ok(s, item.job.id, token, ATTEMPT_FAILED);
    assert_int_equal(n_keys(), 0);
    worker_close(&w, false);
    store_close(s);
}

static void test_while_pending(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item first = dispatch_key(s, "k", UNIQUE_PENDING), again = dispatch_key(s, "k", UNIQUE_PENDING);
    struct worker w = worker_open(s, "w", "q");
    int64_t token;

    (void)state;
    assert_made(&first);
    assert_taken(&again, first.job.id);
    worker_credit(&w, 2);
    assert_int_equal(worker_lease(&w, &token), first.job.id);
    /* It goes straight to the worker that waits, and holds the key for no time at all. */
    again = dispatch_key(s, "k", UNIQUE_PENDING);
    assert_made(&again);
    assert_int_equal(worker_lease(&w, &token), again.job.id);
    assert_int_equal(n_keys(), 0);
    again = dispatch_key(s, "k", UNIQUE_PENDING);
    assert_made(&again);
    assert_int_equal(n_keys(), 1);
    worker_close(&w, false);
    store_close(s);
}

static void test_for_a_period(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item item = keyed("k", UNIQUE_PERIOD, UNIQUE_REJECT, "{}"), again;
    int64_t token;

    (void)state;
    item.job.unique.period_us = INT64_C(3600) * 1000000;
    item.start = true;
    item.job.worker = SPAN_LIT("me");
    item = dispatched(s, item);
    token = item.lease_token;
    end_ok(s, item.job.id, token, ATTEMPT_COMPLETED);
    again = dispatch_key(s, "k", UNIQUE_NOT_FINAL);
    assert_taken(&again, item.job.id);
    assert_int_equal(sql_int("select round(extract(epoch from k.expire_time - joblog.id_time(k.job_id)))::int"
                             " from joblog.unique_key k"),
                     3600);
    sql_value("update joblog.unique_key set expire_time = now() - interval '1 s'");
    again = dispatch_key(s, "k", UNIQUE_NOT_FINAL);
    assert_made(&again);
    /* The former holder's end does not touch it. */
    assert_int_equal(sql_int("select job_id from joblog.unique_key"), again.job.id);
    store_close(s);
}

static void test_policies(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item first = dispatched(s, keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{\"a\": 1, \"b\": 1}"));
    struct dispatch_item use = dispatched(s, keyed("k", UNIQUE_NOT_FINAL, UNIQUE_USE_EXISTING, "{\"a\": 9}"));
    int64_t id = first.job.id, token;

    (void)state;
    assert_existing(&use, id);
    assert_payload(s, id, "a", 1);
    struct dispatch_item merge = dispatched(s, keyed("k", UNIQUE_NOT_FINAL, UNIQUE_MERGE_PAYLOAD, "{\"a\": 2}"));
    assert_existing(&merge, id);
    assert_payload(s, id, "a", 2);
    assert_payload(s, id, "b", 1);
    struct dispatch_item replace = dispatched(s, keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REPLACE_PAYLOAD, "{\"c\": 3}"));
    assert_existing(&replace, id);
    assert_payload(s, id, "a", -1);
    assert_payload(s, id, "c", 3);
    struct worker w = worker_open(s, "w", "q");
    worker_credit(&w, 1);
    assert_int_equal(worker_lease(&w, &token), id);
    assert_int_equal(n_jobs(), 1);
    replace = dispatched(s, keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REPLACE_PAYLOAD, "{\"c\": 4}"));
    assert_taken(&replace, id);
    use = dispatched(s, keyed("k", UNIQUE_NOT_FINAL, UNIQUE_USE_EXISTING, "{}"));
    assert_existing(&use, id);
    assert_payload(s, id, "c", 3);
    assert_counters_exact();
    worker_close(&w, false);
    store_close(s);
}

/* A scheduled job waits too; and a payload does not grow without an end. */
static void test_payload_of_a_scheduled_job(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item item = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{\"a\": 1}");
    static char large[200 * 1024], other[200 * 1024];

    (void)state;
    item.job.run_us = INT64_C(4000000000000000);
    item = dispatched(s, item);
    memset(large, 'x', sizeof large - 1);
    memset(other, 'x', sizeof other - 1);
    memcpy(large, "{\"l\":\"", 6);
    memcpy(other, "{\"m\":\"", 6);
    memcpy(large + sizeof large - 3, "\"}", 2);
    memcpy(other + sizeof other - 3, "\"}", 2);
    struct dispatch_item more = dispatched(s, keyed("k", UNIQUE_NOT_FINAL, UNIQUE_MERGE_PAYLOAD, large));
    assert_existing(&more, item.job.id);
    more = dispatched(s, keyed("k", UNIQUE_NOT_FINAL, UNIQUE_MERGE_PAYLOAD, other));
    assert_int_equal(more.err.code, ERR_INVALID_ARGUMENT);
    assert_string_equal(more.err.field, "job.payload");
    assert_payload(s, item.job.id, "a", 1);
    /* Together they are too large already before the database sees them. */
    struct dispatch_item both[] = {keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REPLACE_PAYLOAD, large),
                                   keyed("k", UNIQUE_NOT_FINAL, UNIQUE_MERGE_PAYLOAD, other)};
    dispatch_items(s, both, 2);
    assert_existing(&both[0], item.job.id);
    assert_int_equal(both[1].err.code, ERR_INVALID_ARGUMENT);
    assert_payload(s, item.job.id, "a", -1);
    store_close(s);
}

/* Another replica is just putting the holder in line: it waits before and after. */
static void test_payload_of_a_job_that_is_being_moved(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item item = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{\"a\": 1}"),
                         more = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_MERGE_PAYLOAD, "{\"b\": 2}");
    struct waiter *w = waiter_new();
    struct store_dispatch d = {.cmd = {.op = STORE_DISPATCH, .done = &w->tag}, .items = &more, .n_items = 1};
    struct err err;

    (void)state;
    item.job.run_us = INT64_C(4000000000000000);
    item = dispatched(s, item);
    sql_value("begin");
    assert_int_equal(
        sql_int("with gone as (delete from joblog.scheduled returning lane_id, neg_priority, id, has_state),"
                " put as (insert into joblog.waiting (lane_id, neg_priority, id, has_state)"
                " select * from gone returning id) select count(*) from put"),
        1);
    assert_int_equal(store_submit(s, &d.cmd, &err), 0);
    await_sql("select (count(*) > 0)::int from pg_locks where not granted");
    sql_value("commit");
    assert_true(waiter_wait(w));
    assert_existing(&more, item.job.id);
    assert_payload(s, item.job.id, "a", 1);
    assert_payload(s, item.job.id, "b", 2);
    assert_counters_exact();
    waiter_free(w);
    store_close(s);
}

static void test_one_key_many_times_in_one_batch(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item items[] = {
        keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{\"a\": 1, \"b\": 1}"),
        keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{}"),
        keyed("k", UNIQUE_NOT_FINAL, UNIQUE_USE_EXISTING, "{}"),
        keyed("k", UNIQUE_NOT_FINAL, UNIQUE_MERGE_PAYLOAD, "{\"a\": 2}"),
        {.job = a_job("mail")},
        keyed("k2", UNIQUE_NOT_FINAL, UNIQUE_REPLACE_PAYLOAD, "{\"a\": 7}"),
    };

    (void)state;
    dispatch_items(s, items, 6);
    assert_made(&items[0]);
    assert_taken(&items[1], items[0].job.id);
    assert_existing(&items[2], items[0].job.id);
    assert_existing(&items[3], items[0].job.id);
    assert_made(&items[4]);
    assert_made(&items[5]);
    assert_payload(s, items[0].job.id, "a", 2);
    assert_payload(s, items[0].job.id, "b", 1);
    /* What the caller gave stands as he gave it. */
    assert_true(span_eq(items[0].job.payload, SPAN_LIT("{\"a\": 1, \"b\": 1}")));
    /* All of them come too late now, and one payload is the sum of several. */
    struct dispatch_item late[] = {
        keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REPLACE_PAYLOAD, "{\"a\": 5}"),
        keyed("k", UNIQUE_NOT_FINAL, UNIQUE_MERGE_PAYLOAD, "{\"c\": 6}"),
        keyed("k2", UNIQUE_NOT_FINAL, UNIQUE_MERGE_PAYLOAD, "{\"c\": 8}"),
        keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{}"),
    };
    dispatch_items(s, late, 4);
    assert_existing(&late[0], items[0].job.id);
    assert_existing(&late[1], items[0].job.id);
    assert_existing(&late[2], items[5].job.id);
    assert_taken(&late[3], items[0].job.id);
    assert_payload(s, items[0].job.id, "a", 5);
    assert_payload(s, items[0].job.id, "b", -1);
    assert_payload(s, items[0].job.id, "c", 6);
    assert_payload(s, items[5].job.id, "a", 7);
    assert_payload(s, items[5].job.id, "c", 8);
    assert_int_equal(n_jobs(), 3);
    assert_counters_exact();
    store_close(s);
}

/* The batch fails because of another item and is run in parts: nothing of the first try remains. */
static void test_beside_a_poisoned_item(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item items[] = {
        keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{\"a\": 1}"),
        keyed("k", UNIQUE_NOT_FINAL, UNIQUE_MERGE_PAYLOAD, "{\"b\": 2}"),
        keyed("k3", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{\"a\": \"\\u0000\"}"),
        keyed("k", UNIQUE_NOT_FINAL, UNIQUE_USE_EXISTING, "{}"),
    };

    (void)state;
    dispatch_items(s, items, 4);
    assert_made(&items[0]);
    assert_existing(&items[1], items[0].job.id);
    assert_int_equal(items[2].err.code, ERR_INVALID_ARGUMENT);
    assert_existing(&items[3], items[0].job.id);
    assert_payload(s, items[0].job.id, "b", 2);
    assert_int_equal(n_keys(), 1);
    store_close(s);
}

static void with_request(struct dispatch_item *item, const char *id)
{
    item->job.request_id = span_str(id);
    memset(item->body_hash, 'h', sizeof item->body_hash);
}

static void test_with_request_ids(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item first = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{}"), again, late, use;

    (void)state;
    with_request(&first, "r-1");
    first = dispatched(s, first);
    again = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{}");
    with_request(&again, "r-1");
    again = dispatched(s, again);
    assert_true(again.replayed);
    assert_int_equal(again.job.id, first.job.id);
    /* A refusal leaves no request id behind, */
    late = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{}");
    with_request(&late, "r-2");
    late = dispatched(s, late);
    assert_taken(&late, first.job.id);
    /* an existing job stands for it. */
    use = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_USE_EXISTING, "{}");
    with_request(&use, "r-3");
    use = dispatched(s, use);
    assert_existing(&use, first.job.id);
    struct store_cancel c = {.cmd.op = STORE_CANCEL, .job_id = first.job.id};
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    use = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_USE_EXISTING, "{}");
    with_request(&use, "r-3");
    use = dispatched(s, use);
    assert_true(use.replayed);
    assert_int_equal(use.job.id, first.job.id);
    late = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{}");
    with_request(&late, "r-2");
    late = dispatched(s, late);
    assert_made(&late);
    assert_int_equal(sql_int("select count(*) from joblog.request"), 3);
    assert_counters_exact();
    store_close(s);
}

static void test_retry_takes_the_key_again(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item first = dispatch_key(s, "k", UNIQUE_NOT_FINAL), second;
    struct store_cancel c = {.cmd.op = STORE_CANCEL, .job_id = first.job.id};
    struct store_retry r = {.cmd.op = STORE_RETRY, .job_id = first.job.id};

    (void)state;
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    second = dispatch_key(s, "k", UNIQUE_NOT_FINAL);
    assert_made(&second);
    assert_int_equal(run_cmd(s, &r.cmd), -ERR_ALREADY_EXISTS);
    assert_string_equal(r.cmd.err.reason, "UNIQUE_KEY_TAKEN");
    assert_int_equal(get_ok(s, first.job.id).status, JOB_CANCELLED);
    c.job_id = second.job.id;
    assert_int_equal(run_cmd(s, &c.cmd), 0);
    assert_int_equal(run_cmd(s, &r.cmd), 0);
    assert_int_equal(sql_int("select job_id from joblog.unique_key"), first.job.id);
    second = dispatch_key(s, "k", UNIQUE_NOT_FINAL);
    assert_taken(&second, first.job.id);
    assert_counters_exact();
    store_close(s);
}

/* Whose job holds the key is nobody else's business. */
static void test_out_of_scope(void **state)
{
    struct store *s = store_fresh(NULL);
    struct dispatch_item first = keyed("k", UNIQUE_NOT_FINAL, UNIQUE_REJECT, "{\"a\": 1}");
    struct job_scope ben = {.bounded = true, .own_only = true, .own = SPAN_LIT("ben")};
    char text[40];

    (void)state;
    first.job.owner = SPAN_LIT("ada");
    first = dispatched(s, first);
    snprintf(text, sizeof text, "%lld", (long long)first.job.id);
    for (int policy = UNIQUE_REJECT; policy <= UNIQUE_MERGE_PAYLOAD; policy++) {
        struct dispatch_item item = keyed("k", UNIQUE_NOT_FINAL, (enum unique_conflict)policy, "{\"a\": 2}");
        item.job.owner = SPAN_LIT("ben");
        item.scope = &ben;
        item = dispatched(s, item);
        assert_taken(&item, 0);
        assert_null(strstr(item.err.msg, text));
    }
    assert_payload(s, first.job.id, "a", 1);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_is_held_until_the_job_is_final),
        cmocka_unit_test(test_a_failed_attempt_that_is_followed_keeps_the_key),
        cmocka_unit_test(test_while_pending),
        cmocka_unit_test(test_for_a_period),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_payload_of_a_scheduled_job),
        cmocka_unit_test(test_payload_of_a_job_that_is_being_moved),
        cmocka_unit_test(test_one_key_many_times_in_one_batch),
        cmocka_unit_test(test_beside_a_poisoned_item),
        cmocka_unit_test(test_with_request_ids),
        cmocka_unit_test(test_retry_takes_the_key_again),
        cmocka_unit_test(test_out_of_scope),
    };
    return cmocka_run_group_tests(tests, store_group_setup, store_group_teardown);
}
