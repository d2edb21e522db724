/* What files of exports take: the limit of an owner, also for those that are finished at the same moment, chunks that
 * are packed, and how the room is given back. Real PostgreSQL, no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "export/chunk_book.h"
#include "export/keeper.h"
#include "export/writer.h"
#include "support/chunk_fixture.h"

/* The files of an owner have a limit together. */
static void the_writer_keeps_to_a_budget(void **state)
{
    struct export_writer *writer;
    struct export_chunk_buffer *chunk = NULL;
    struct export_file file = file_of(0);
    struct err err = ERR_NONE;
    (void)state;
    run_sql("INSERT INTO joblog.export_file (job_id, name, content_type, size, rows, sha256, chunk_bytes, token,"
            " expire_time, owner) VALUES (6, 'f', 'text/csv', 1000, 1, '', 1, 1, now() + interval '1 day', 'ann')");
    assert_int_equal(
        export_writer_new(store, &(struct chunk_owner){7, 70}, &file, SPAN_LIT("ann"), 1010, &writer, &err), 0);
    assert_int_equal(export_writer_take(writer, 10000, &chunk, &err), 1);
    memset(chunk->data, 'x', chunk->len = 11);
    export_writer_put(writer, chunk);
    export_writer_finish(writer, &file);
    assert_int_equal(export_writer_wait(writer, 10000, &file, &err), -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "EXPORT_QUOTA");
    export_writer_free(writer);
}

/* Each of two attempts of one owner has room for its file when it begins, and one of them has when they end. */
struct racer {
    pthread_t thread;
    pthread_barrier_t *start;
    int64_t job_id;
    struct chunk_sink *sink;
    struct export_file file;
    int rc;
    struct err err;
};

static void *race(void *user)
{
    struct racer *r = user;
    pthread_barrier_wait(r->start);
    r->rc = store->commit(r->sink, &r->file, SPAN_LIT("ann"), 1000, &r->err);
    return NULL;
}

static void files_that_are_finished_at_once_keep_to_a_budget(void **state)
{
    enum { RACERS = 2, ROUNDS = 5 };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct racer racers[RACERS] = {{.job_id = 7}, {.job_id = 8}};
        pthread_barrier_t start;
        int n_fit = 0;
        if (round > 0)
            store == &stores[EXPORT_IN_DATABASE] ? use_database(NULL) : use_directory(NULL);
        run_sql("INSERT INTO joblog.lease SELECT (jsonb_populate_record(l, '{\"job_id\": 8}')).* FROM joblog.lease l");
        pthread_barrier_init(&start, NULL, RACERS);
        for (int i = 0; i < RACERS; i++) {
            struct racer *r = &racers[i];
            int64_t used;
            r->start = &start;
            r->file = file_of(600);
            r->file.job_id = r->job_id;
            r->file.chunk_bytes = 600;
            r->file.storage = store->storage;
            assert_int_equal(
                begin_file(store, &(struct chunk_owner){r->job_id, 70}, &r->file, &r->sink, &used, &r->err), 0);
            assert_int_equal(used, 0);
            assert_int_equal(store->write(r->sink, 0, SPAN_LIT("a"), crc32c(0, "a", 1), &r->err), 0);
        }
        for (int i = 0; i < RACERS; i++)
            assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
        for (int i = 0; i < RACERS; i++) {
            pthread_join(racers[i].thread, NULL);
            store->close(racers[i].sink);
            n_fit += racers[i].rc == 0;
            if (racers[i].rc != 0)
                assert_string_equal(racers[i].err.reason, "EXPORT_QUOTA");
        }
        pthread_barrier_destroy(&start);
        assert_int_equal(n_fit, 1);
        assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 1);
    }
}

/* Somebody else holds the lock of the owner, and goes on holding it. */
static void a_commit_that_waits_can_be_given_up(void **state)
{
    struct export_writer *writer;
    struct export_chunk_buffer *chunk = NULL;
    struct export_file file = file_of(0);
    struct err err = ERR_NONE;
    (void)state;
    run_sql("BEGIN; SELECT pg_advisory_xact_lock(1701277807, hashtext('ann'))");
    assert_int_equal(
        export_writer_new(store, &(struct chunk_owner){7, 70}, &file, SPAN_LIT("ann"), 1000, &writer, &err), 0);
    assert_int_equal(export_writer_take(writer, 10000, &chunk, &err), 1);
    memset(chunk->data, 'x', chunk->len = 11);
    export_writer_put(writer, chunk);
    export_writer_finish(writer, &file);
    while (ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 0)
        assert_int_equal(export_writer_wait(writer, 10, &file, &err), 0);
    int64_t start_ms = clock_mono_ms();
    export_writer_free(writer);
    assert_true(clock_mono_ms() - start_ms < 8000); /* before the lock's time is over */
    run_sql("COMMIT");
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 0);
    assert_int_equal(store->discard(store, &(struct chunk_owner){7, 70}, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk"), 0);
}

/* Somebody else holds a table of the books, when a file is begun as well as when its remains are to be removed. */
static void a_begin_that_waits_can_be_given_up(void **state)
{
    struct export_writer *writer;
    struct export_chunk_buffer *chunk = NULL;
    struct export_file file = file_of(0);
    struct err err = ERR_NONE;
    (void)state;
    run_sql("BEGIN; LOCK TABLE joblog.export_writing IN ACCESS EXCLUSIVE MODE");
    assert_int_equal(export_writer_new(store, &(struct chunk_owner){7, 70}, &file, SPAN_LIT("ann"), 0, &writer, &err),
                     0);
    while (ask("SELECT count(*) FROM pg_locks WHERE relation = 'joblog.export_writing'::regclass AND NOT granted") == 0)
        assert_int_equal(export_writer_wait(writer, 10, &file, &err), 0);
    int64_t start_ms = clock_mono_ms();
    export_writer_free(writer);
    assert_int_equal(store->discard(store, &(struct chunk_owner){7, 70}, &err), -ERR_ABORTED);
    assert_true(clock_mono_ms() - start_ms < 8000); /* before the lock's time is over, of either */
    run_sql("COMMIT");
    assert_int_equal(export_writer_new(store, &(struct chunk_owner){7, 70}, &file, SPAN_LIT("ann"), 0, &writer, &err),
                     0);
    assert_int_equal(export_writer_take(writer, 10000, &chunk, &err), 1);
    export_writer_put(writer, chunk);
    export_writer_free(writer);
    assert_int_equal(store->discard(store, &(struct chunk_owner){7, 70}, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_writing"), 0);
}

/* Those of one attempt in a transaction, and not all of them: whoever else removes them waits for no more than that. */
static void sweeping_goes_in_parts(void **state)
{
    int64_t n = -1;
    struct err err = ERR_NONE;
    (void)state;
    run_sql("CREATE TABLE removed (job_id bigint, n bigint);"
            "CREATE FUNCTION note_removed() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
            "  INSERT INTO removed SELECT job_id, count(*) FROM gone GROUP BY job_id; RETURN NULL; END$$;"
            "CREATE TRIGGER note_removed AFTER DELETE ON joblog.export_chunk REFERENCING OLD TABLE AS gone"
            " FOR EACH STATEMENT EXECUTE FUNCTION note_removed();"
            "ALTER TABLE removed ADD txid xid8 DEFAULT pg_current_xact_id();"
            "INSERT INTO joblog.export_chunk (job_id, token, seq, data, crc32c) SELECT j, 1, g, '', 0 FROM "
            "generate_series(100, 249) j, generate_series(1, 5) g;"
            "INSERT INTO joblog.export_chunk (job_id, token, seq, data, crc32c) SELECT 8, 1, g, '', 0 FROM "
            "generate_series(1, 200) g");
    if (export_sweep(stores, uri, clock_wall_us(), NULL, &n, &err) != 0)
        fail_msg("%s", err.msg);
    run_sql("DROP TRIGGER note_removed ON joblog.export_chunk; DROP FUNCTION note_removed");
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk"), 0);
    assert_int_equal(ask("SELECT sum(n) FROM removed"), 950);
    assert_int_equal(ask("SELECT max(n) FROM removed"), 64);
    assert_int_equal(ask("SELECT count(*) - count(DISTINCT txid) FROM removed"), 0);
    run_sql("DROP TABLE removed");
}

/* A process that is stopped right after it has sent the end of its transaction holds up nobody. */
static void what_was_sent_needs_no_reader(void **state)
{
    struct pg_params params = {0};
    struct pg_conn *pg;
    struct err err = ERR_NONE;
    (void)state;
    assert_int_equal(chunk_book_open(uri, "test", &pg, &err), 0);
    pg_add_text(&params, SPAN_LIT("ann"));
    chunk_book_send(pg, EXPORT_SQL_OWNER_LOCK, &params);
    pg_send_commit(pg);
    run_sql("SET lock_timeout = '20s'; BEGIN; SELECT pg_advisory_xact_lock(1701277807, hashtext('ann')); COMMIT; "
            "RESET lock_timeout");
    struct pg_result *r = pg_read(pg);
    assert_non_null(r);
    pg_free(r);
    assert_int_equal(pg_commit(pg, &err), 0);
    /* and the connection goes on as before, also after a statement that fails */
    chunk_book_send(pg, EXPORT_SQL_CHUNK_GET, NULL);
    pg_send_commit(pg);
    assert_null(pg_read(pg));
    assert_int_not_equal(pg_commit(pg, &err), 0);
    assert_false(pg_lost(pg));
    assert_int_equal(pg_exec(pg,
                             "DO $$BEGIN"
                             " ASSERT current_setting('lock_timeout') = '10s';"
                             " ASSERT current_setting('idle_in_transaction_session_timeout') = '1min';"
                             " ASSERT current_setting('transaction_isolation') = 'read committed'; END$$",
                             &err),
                     0);
    pg_params_done(&params);
    pg_close(pg);
}

/* Chunks that get shorter lie packed in the database; all come back as they were, and what is damaged is told. */
static void packed_chunks(void **state)
{
    enum { LEN = 100000 };
    static char text[LEN], noise[LEN];
    struct chunk_owner owner = {7, 70};
    struct export_file file = file_of(INT64_C(2) * LEN);
    struct chunk_sink *sink;
    struct chunk_data chunk = {0};
    struct pg_conn *pg;
    struct err err = ERR_NONE;
    int64_t used;
    (void)state;
    file.chunk_bytes = LEN;
    file.storage = store->storage;
    unsigned x = 1;
    for (int i = 0; i < LEN; i++) {
        text[i] = (char)('a' + i / 7 % 26);
        x = x * 1103515245 + 12345;
        noise[i] = (char)(x >> 16);
    }
    assert_int_equal(begin_file(store, &owner, &file, &sink, &used, &err), 0);
    assert_int_equal(store->write(sink, 0, span_of(text, LEN), crc32c(0, text, LEN), &err), 0);
    assert_int_equal(store->write(sink, 1, span_of(noise, LEN), crc32c(0, noise, LEN), &err), 0);
    assert_int_equal(store->commit(sink, &file, SPAN_LIT("ann"), 0, &err), 0);
    store->close(sink);
    if (store->storage == EXPORT_IN_DATABASE) {
        assert_int_equal(ask("SELECT plain_bytes FROM joblog.export_chunk WHERE seq = 0"), LEN);
        assert_int_equal(ask("SELECT (length(data) < 10000)::int FROM joblog.export_chunk WHERE seq = 0"), 1);
        assert_int_equal(ask("SELECT plain_bytes FROM joblog.export_chunk WHERE seq = 1"), 0);
    }
    assert_int_equal(chunk_book_open(uri, "test", &pg, &err), 0);
    for (int seq = 0; seq < 2; seq++) {
        assert_int_equal(store->read(store, pg, &owner, seq, LEN, &chunk, &err), 0);
        assert_int_equal(chunk.unpacked_bytes, seq == 0 && store->storage == EXPORT_IN_DATABASE ? LEN : 0);
        assert_int_equal(chunk_data_bytes(&chunk), LEN);
        assert_int_equal(chunk_data_unpack(&chunk, seq, &err), 0);
        assert_int_equal(chunk.data.len, LEN);
        assert_memory_equal(chunk.data.data, seq == 0 ? text : noise, LEN);
        assert_int_equal(chunk.crc32c, crc32c(0, chunk.data.data, LEN));
        chunk_data_done(&chunk);
    }
    if (store->storage == EXPORT_IN_DATABASE) {
        static const char *const harms[] = {"data = substr(data, 1, 50)", "data = ''", "plain_bytes = plain_bytes - 1",
                                            "plain_bytes = 2000000000"};
        for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
            char sql[200];
            snprintf(sql, sizeof sql, "BEGIN; UPDATE joblog.export_chunk SET %s WHERE seq = 0; COMMIT", harms[i]);
            run_sql("DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT * FROM joblog.export_chunk");
            run_sql(sql);
            int rc = store->read(store, pg, &owner, 0, LEN, &chunk, &err);
            assert_int_equal(rc == 0 ? chunk_data_unpack(&chunk, 0, &err) : rc, -ERR_DATA_LOSS);
            assert_string_equal(err.reason, "EXPORT_DAMAGED");
            run_sql(
                "DELETE FROM joblog.export_chunk; INSERT INTO joblog.export_chunk SELECT * FROM kept; DROP TABLE kept");
        }
    }
    pg_close(pg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_writer_keeps_to_a_budget),
        BOTH(files_that_are_finished_at_once_keep_to_a_budget),
        BOTH(a_begin_that_waits_can_be_given_up),
        BOTH(a_commit_that_waits_can_be_given_up),
        cmocka_unit_test_setup(what_was_sent_needs_no_reader, use_database),
        cmocka_unit_test_setup(sweeping_goes_in_parts, use_database),
        BOTH(packed_chunks),
    };
    return cmocka_run_group_tests(tests, chunk_fixture_start, chunk_fixture_stop);
}
