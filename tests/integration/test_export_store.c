/* Where the export engine puts files, part by part: its statements, the chunk stores and their fence, the writer, the
 * sweeping. Real PostgreSQL, no server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "export/chunk_book.h"
#include "export/chunk_store.h"
#include "export/keeper.h"
#include "export/sql_text.h"
#include "export/writer.h"
#include "migrations/migrations.h"
#include "support/chunk_fixture.h"

static void every_statement_can_be_prepared(void **state)
{
    (void)state;
    for (int i = 0; i < EXPORT_SQL_COUNT; i++) {
        PGresult *r = PQprepare(db, export_sql_texts[i].name, export_sql_texts[i].text, 0, NULL);
        if (PQresultStatus(r) != PGRES_COMMAND_OK)
            fail_msg("%s: %s", export_sql_texts[i].name, PQerrorMessage(db));
        PQclear(r);
    }
}

/* ---- the chunk store ---- */

/* lose: the lease is taken from the attempt before its end. */
static int write_file(int64_t token, bool with_commit, bool lose, struct err *err)
{
    struct chunk_owner owner = {7, token};
    struct chunk_sink *sink;
    struct export_file file = file_of(4);
    int64_t used = -1;
    file.storage = store->storage;
    int rc = begin_file(store, &owner, &file, &sink, &used, err);
    if (rc != 0)
        return rc;
    assert_int_equal(used, 0);
    assert_int_equal(store->write(sink, 0, SPAN_LIT("a\0b"), 1, err), 0);
    assert_int_equal(store->write(sink, 1, SPAN_LIT("c"), UINT32_MAX, err), 0);
    if (lose)
        run_sql("UPDATE joblog.lease SET token = token + 1");
    rc = with_commit ? store->commit(sink, &file, SPAN_LIT("ann"), 0, err) : store->publish(sink, err);
    store->close(sink);
    return rc;
}

/* Chunk seq of job 7 as the store gives it: its text in *ret (of 8 bytes), or -code. */
static int read_chunk(int64_t token, int32_t seq, char ret[8], uint32_t *ret_crc)
{
    struct chunk_data chunk = {0};
    struct chunk_owner owner = {7, token};
    struct pg_conn *pg;
    assert_int_equal(chunk_book_open(uri, "test", &pg, NULL), 0);
    int rc = store->read(store, pg, &owner, seq, 3, &chunk, NULL);
    if (rc == 0) {
        rc = (int)chunk.data.len;
        memcpy(ret, chunk.data.data, chunk.data.len);
        *ret_crc = chunk.crc32c;
    }
    chunk_data_done(&chunk);
    pg_close(pg);
    return rc;
}

static int64_t files_in(const char *dir)
{
    int64_t n = 0;
    DIR *d = opendir(dir);
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* What all attempts have left, wherever it is. */
static int64_t remains(void)
{
    return ask("SELECT count(*) FROM joblog.export_chunk") + files_in(stores[EXPORT_IN_DIRECTORY].dir);
}

static int64_t sweep_at(int64_t now_us)
{
    int64_t n = -1;
    struct err err = ERR_NONE;
    if (export_sweep(stores, uri, now_us, NULL, &n, &err) != 0)
        fail_msg("%s", err.msg);
    return n;
}

static void a_file_is_there_after_commit_only(void **state)
{
    struct err err = ERR_NONE;
    char text[8] = "";
    uint32_t crc = 0;
    (void)state;
    assert_int_equal(write_file(70, false, false, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 0);
    /* and yet it can be followed */
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_writing WHERE job_id = 7 AND token = 70"), 1);
    assert_int_equal(read_chunk(70, 0, text, &crc), 3);
    assert_memory_equal(text, "a\0b", 3);
    assert_int_equal(crc, 1);
    assert_int_equal(read_chunk(70, 2, text, &crc), -ERR_NOT_FOUND);
    run_sql("UPDATE joblog.lease SET token = 71");
    assert_int_equal(write_file(71, true, false, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file WHERE job_id = 7 AND token = 71 AND size = 4"
                         " AND owner = 'ann' AND gone = 0"),
                     1);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_writing"), 0);
    assert_int_equal(read_chunk(71, 1, text, &crc), 1);
    assert_int_equal(text[0], 'c');
    assert_int_equal(crc, UINT32_MAX);
}

static void an_attempt_that_lost_its_lease_changes_nothing(void **state)
{
    struct err err = ERR_NONE;
    (void)state;
    assert_int_equal(write_file(70, true, false, &err), 0);
    assert_int_equal(write_file(69, true, false, &err), -ERR_FAILED_PRECONDITION); /* before it begins */
    assert_string_equal(err.reason, "LEASE_LOST");
    assert_int_equal(ask("SELECT token FROM joblog.export_file"), 70);
    run_sql("UPDATE joblog.lease SET token = 71");
    err = ERR_NONE;
    assert_int_equal(write_file(71, true, true, &err), -ERR_FAILED_PRECONDITION); /* before its end */
    assert_string_equal(err.reason, "LEASE_LOST");
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 0);
}

static void a_later_attempt_replaces_the_file(void **state)
{
    struct err err = ERR_NONE;
    (void)state;
    assert_int_equal(write_file(70, true, false, &err), 0);
    run_sql("UPDATE joblog.lease SET token = 71");
    assert_int_equal(write_file(71, true, false, &err), 0);
    assert_int_equal(ask("SELECT token FROM joblog.export_file"), 71);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_chunk WHERE token <> 71"), 0);
    sweep_at(clock_wall_us());
    assert_int_equal(remains(), store->storage == EXPORT_IN_DIRECTORY ? 1 : 2);
}

static void discard_gives_the_room_back(void **state)
{
    struct err err = ERR_NONE;
    (void)state;
    assert_int_equal(write_file(70, true, false, &err), 0);
    assert_int_equal(store->discard(store, &(struct chunk_owner){7, 69}, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 1);
    assert_int_not_equal(remains(), 0);
    assert_int_equal(store->discard(store, &(struct chunk_owner){7, 70}, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file") + remains(), 0);
    assert_int_equal(write_file(70, false, false, &err), 0);
    assert_int_equal(store->discard(store, &(struct chunk_owner){7, 70}, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_writing") + remains(), 0);
    /* The end of the attempt was recorded although nobody heard of it: the file is the job's. */
    run_sql("CREATE TABLE joblog.job_state_seven PARTITION OF joblog.job_state FOR VALUES FROM (7) TO (8)");
    run_sql("INSERT INTO joblog.job_state (id, revision, last_token, run_time, lane_id, attempt, attempts_left, status)"
            " VALUES (7, 3145728, 70, now(), 1, 1, 0, 3)");
    assert_int_equal(write_file(70, true, false, &err), 0);
    assert_int_equal(store->discard(store, &(struct chunk_owner){7, 70}, &err), 0);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 1);
    assert_int_not_equal(remains(), 0);
    run_sql("DROP TABLE joblog.job_state_seven");
    struct chunk_store away = *store;
    away.uri = "host=/nowhere";
    assert_int_equal(away.discard(&away, &(struct chunk_owner){7, 70}, &err), -ERR_UNAVAILABLE);
}

/* An attempt that begins while the file of an earlier one is removed keeps what it has written. */
static void removing_is_of_one_attempt(void **state)
{
    struct err err = ERR_NONE;
    struct pg_conn *pg;
    char text[8];
    uint32_t crc;
    (void)state;
    assert_int_equal(write_file(70, true, false, &err), 0);
    run_sql("UPDATE joblog.export_file SET gone = 2");
    run_sql("UPDATE joblog.lease SET token = 71");
    assert_int_equal(write_file(71, false, false, &err), 0);
    assert_int_equal(chunk_book_open(uri, "test", &pg, &err), 0);
    assert_int_equal(store->remove(store, pg, &(struct chunk_owner){7, 70}, &err), 0);
    assert_int_equal(read_chunk(71, 0, text, &crc), 3);
    run_sql("INSERT INTO joblog.export_chunk (job_id, token, seq, data, crc32c) SELECT 7, 71, g, '', 0 FROM "
            "generate_series(2, 300) g");
    assert_int_equal(store->remove(store, pg, &(struct chunk_owner){7, 71}, &err), 0);
    pg_close(pg);
    if (store->storage == EXPORT_IN_DATABASE)
        assert_int_equal(remains(), 0);
}

/* Whatever took them away: a file that lacks chunks is none. */
static void a_file_needs_all_its_chunks(void **state)
{
    struct chunk_owner owner = {7, 70};
    struct export_file file = file_of(4);
    struct chunk_sink *sink;
    struct err err = ERR_NONE;
    int64_t used;
    (void)state;
    assert_int_equal(begin_file(store, &owner, &file, &sink, &used, &err), 0);
    assert_int_equal(store->write(sink, 0, SPAN_LIT("abc"), 1, &err), 0);
    assert_int_equal(store->write(sink, 1, SPAN_LIT("d"), 1, &err), 0);
    assert_int_equal(store->publish(sink, &err), 0);
    run_sql("DELETE FROM joblog.export_chunk WHERE seq = 0");
    assert_int_equal(store->commit(sink, &file, SPAN_LIT("ann"), 0, &err), -ERR_ABORTED);
    assert_string_equal(err.reason, "EXPORT_INCOMPLETE");
    store->close(sink);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 0);
}

/* The server died between the file and the end of the attempt. */
static void files_of_jobs_that_ended_otherwise(void **state)
{
    static const char *const ends[] = {"4, 69", "5, 69", "3, 69"}; /* status, last token */
    struct err err = ERR_NONE;
    (void)state;
    run_sql("CREATE TABLE joblog.job_state_seven PARTITION OF joblog.job_state FOR VALUES FROM (7) TO (8)");
    for (size_t i = 0; i <= sizeof ends / sizeof *ends; i++) {
        char sql[300];
        bool counts = i == sizeof ends / sizeof *ends;
        if (i > 0)
            store->storage == EXPORT_IN_DATABASE ? use_database(NULL) : use_directory(NULL);
        assert_int_equal(write_file(70, true, false, &err), 0);
        run_sql("DELETE FROM joblog.job_state");
        snprintf(
            sql, sizeof sql,
            "INSERT INTO joblog.job_state (id, revision, status, last_token, run_time, lane_id, attempt, attempts_left)"
            " VALUES (7, 3145728, %s, now(), 1, 1, 0)",
            counts ? "3, 70" : ends[i]);
        run_sql(sql);
        sweep_at(clock_wall_us()); /* it still runs */
        assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 1);
        run_sql("DELETE FROM joblog.lease");
        sweep_at(clock_wall_us());
        assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), counts);
        assert_int_equal(remains() != 0, counts);
    }
    run_sql("DROP TABLE joblog.job_state_seven");
}

static void sweeping(void **state)
{
    struct err err = ERR_NONE;
    (void)state;
    /* One that is there, one that is written: nothing to sweep. */
    assert_int_equal(write_file(70, true, false, &err), 0);
    assert_int_equal(sweep_at(clock_wall_us()), 0);
    assert_int_equal(remains(), store->storage == EXPORT_IN_DIRECTORY ? 1 : 2);
    /* Its time comes: the file goes, its row stays to tell, for a while. */
    assert_int_equal(sweep_at(clock_wall_us() + 7200000000), 1);
    assert_int_equal(remains(), 0);
    assert_int_equal(ask("SELECT gone FROM joblog.export_file"), 1);
    sweep_at(clock_wall_us() + INT64_C(86400000000) * 200);
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_file"), 0);
    /* An attempt that is under way is left alone, one whose lease is gone is not. */
    assert_int_equal(write_file(70, false, false, &err), 0);
    assert_int_equal(sweep_at(clock_wall_us()), 0);
    assert_int_not_equal(remains(), 0);
    run_sql("DELETE FROM joblog.lease");
    sweep_at(clock_wall_us());
    assert_int_equal(ask("SELECT count(*) FROM joblog.export_writing") + remains(), 0);
}

static void what_is_not_a_chunk(void **state)
{
    struct err err = ERR_NONE;
    char text[8], path[300];
    uint32_t crc = 0;
    (void)state;
    assert_int_equal(write_file(70, true, false, &err), 0);
    snprintf(path, sizeof path, "%s/7-70.data", store->dir);
    assert_int_equal(truncate(path, 16 + 2), 0); /* the first frame has lost its end */
    assert_int_equal(read_chunk(70, 0, text, &crc), -ERR_DATA_LOSS);
    assert_int_equal(truncate(path, 7), 0); /* and of its head */
    assert_int_equal(read_chunk(70, 0, text, &crc), -ERR_DATA_LOSS);
    assert_int_equal(read_chunk(70, 1, text, &crc), -ERR_NOT_FOUND);
    FILE *f = fopen(path, "w");
    assert_int_equal(fwrite("not a frame at all, and longer", 1, 30, f), 30);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(read_chunk(70, 0, text, &crc), -ERR_DATA_LOSS);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(read_chunk(70, 0, text, &crc), -ERR_NOT_FOUND);
    assert_int_equal(mkdir(path, 0700), 0); /* reading it fails */
    assert_int_equal(read_chunk(70, 0, text, &crc), -ERR_UNAVAILABLE);
    assert_int_equal(rmdir(path), 0);
}

/* One byte of the file of job 7 is turned round. */
static void turn_byte(const char *path, off_t at)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char c = 0;
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c = (char)~c;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

/* A file that is held gives chunks at once as long as they are what was written, and nothing else. */
static void a_file_that_is_held(void **state)
{
    static const char bytes[] = "a\0b";
    struct chunk_owner owner = {7, 70};
    struct chunk_sink *sink;
    struct export_file file = file_of(4);
    struct chunk_data chunk = {0};
    struct err err = ERR_NONE;
    int64_t used;
    char path[300], byte;
    (void)state;
    file.storage = store->storage;
    assert_int_equal(begin_file(store, &owner, &file, &sink, &used, &err), 0);
    assert_int_equal(store->write(sink, 0, span_of(bytes, 3), crc32c(0, bytes, 3), &err), 0);
    assert_int_equal(store->write(sink, 1, SPAN_LIT("c"), crc32c(0, "c", 1), &err), 0);
    assert_int_equal(store->hold(store, &owner), -1); /* not while it is written */
    assert_int_equal(store->commit(sink, &file, SPAN_LIT("ann"), 0, &err), 0);
    store->close(sink);
    int fd = store->hold(store, &owner);
    assert_true(fd >= 0);
    snprintf(path, sizeof path, "%s/7-70.data", store->dir);
    if (preadv2(fd, &(struct iovec){&byte, 1}, 1, 0, RWF_NOWAIT) < 0 && errno == EOPNOTSUPP) {
        close(fd);
        skip(); /* this file system cannot tell what is in memory */
    }
    assert_int_equal(store->read_now(fd, 0, 3, false, &chunk), 1);
    assert_int_equal(chunk.data.len, 3);
    assert_memory_equal(chunk.data.data, bytes, 3);
    chunk_data_done(&chunk);
    assert_int_equal(store->read_now(fd, 1, 3, false, &chunk), 1);
    assert_int_equal(chunk.data.len, 1);
    chunk_data_done(&chunk);
    assert_int_equal(store->read_now(fd, 2, 3, false, &chunk), 0); /* behind the end */
    turn_byte(path, 16);
    assert_int_equal(store->read_now(fd, 0, 3, false, &chunk), 0);
    assert_int_equal(store->read_now(fd, 0, 3, true, &chunk), 1); /* with the sum of what was written */
    assert_int_equal(chunk.crc32c, crc32c(0, bytes, 3));
    assert_memory_not_equal(chunk.data.data, bytes, 3);
    chunk_data_done(&chunk);
    turn_byte(path, 16);
    turn_byte(path, 4); /* another chunk's head */
    assert_int_equal(store->read_now(fd, 0, 3, false, &chunk), 0);
    assert_int_equal(store->read_now(fd, 0, 3, true, &chunk), 0);
    turn_byte(path, 4);
    assert_int_equal(store->read_now(fd, 0, 3, false, &chunk), 1);
    chunk_data_done(&chunk);
    assert_int_equal(truncate(path, 16 + 2), 0);
    assert_int_equal(store->read_now(fd, 0, 3, false, &chunk), 0);
    assert_int_equal(store->read_now(fd, 0, 3, true, &chunk), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(store->read_now(fd, 0, 3, false, &chunk), 0);
    assert_int_equal(store->hold(store, &owner), -1);
    close(fd);
}

/* No room: the write says so, and what was written is given back. */
static void a_full_disk(void **state)
{
    struct err err = ERR_NONE;
    struct chunk_sink *sink;
    struct export_file file = file_of(4);
    struct rlimit old, low;
    int64_t used;
    char big[4096];
    (void)state;
    memset(big, 'x', sizeof big);
    file.chunk_bytes = sizeof big;
    assert_int_equal(begin_file(store, &(struct chunk_owner){7, 70}, &file, &sink, &used, &err), 0);
    getrlimit(RLIMIT_FSIZE, &old);
    low = (struct rlimit){6000, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &low);
    int first = store->write(sink, 0, span_of(big, sizeof big), 1, &err);
    int second = store->write(sink, 1, span_of(big, sizeof big), 1, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(first, 0);
    assert_int_equal(second, -ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "EXPORT_DISK_FULL");
    assert_null(strstr(err.msg, store->dir));
    store->close(sink);
    assert_int_equal(files_in(store->dir), 1);
    assert_int_equal(store->discard(store, &(struct chunk_owner){7, 70}, &err), 0);
    assert_int_equal(files_in(store->dir), 0);
}

/* ---- the writer ---- */

static void the_writer_hashes_and_commits(void **state)
{
    (void)state;
    struct chunk_owner owner = {7, 70};
    struct export_writer *writer;
    struct export_file file = file_of(0);
    struct err err = ERR_NONE;
    assert_int_equal(export_writer_new(store, &owner, &file, SPAN_LIT("ann"), 0, &writer, &err), 0);
    for (int i = 0; i < 10; i++) {
        struct export_chunk_buffer *chunk = NULL;
        assert_int_equal(export_writer_take(writer, 10000, &chunk, &err), 1);
        chunk->len = i < 9 ? EXPORT_CHUNK_BYTES : 5;
        memset(chunk->data, 'a' + i, chunk->len);
        export_writer_put(writer, chunk);
    }
    export_writer_finish(writer, &file);
    assert_int_equal(export_writer_wait(writer, 10000, &file, &err), 1);
    assert_int_equal(file.size, 9 * EXPORT_CHUNK_BYTES + 5);
    char tail[8], sha256[65] = "";
    memcpy(sha256, file.sha256.data, 64);
    export_writer_free(writer);
    uint32_t crc = 0;
    assert_string_equal(sha256, "36ae24f9f2c5229c24da3b23981f2b8b0ed9ba5806284888a9e162e3babb06ec");
    struct chunk_data chunk = {0};
    struct pg_conn *pg;
    assert_int_equal(chunk_book_open(uri, "test", &pg, NULL), 0);
    assert_int_equal(store->read(store, pg, &owner, 9, EXPORT_CHUNK_BYTES, &chunk, NULL), 0);
    memcpy(tail, chunk.data.data, 5);
    crc = chunk.crc32c;
    assert_int_equal(chunk.data.len, 5);
    chunk_data_done(&chunk);
    pg_close(pg);
    assert_memory_equal(tail, "jjjjj", 5);
    assert_int_equal(crc, crc32c(0, "jjjjj", 5));
}

static void the_writer_tells_of_a_failed_sink(void **state)
{
    struct export_writer *writer;
    struct export_chunk_buffer *chunk = NULL;
    struct export_file file = file_of(0);
    struct err err = ERR_NONE;
    (void)state;
    assert_int_equal(export_writer_new(store, &(struct chunk_owner){7, 70}, &file, SPAN_LIT("ann"), 0, &writer, &err),
                     0);
    assert_int_equal(export_writer_take(writer, 10000, &chunk, &err), 1);
    memset(chunk->data, 'x', chunk->len = 3);
    run_sql("UPDATE joblog.lease SET token = 71");
    export_writer_put(writer, chunk);
    export_writer_finish(writer, &file);
    assert_int_equal(export_writer_wait(writer, 10000, &file, &err), -ERR_FAILED_PRECONDITION);
    assert_string_equal(err.reason, "LEASE_LOST");
    export_writer_free(writer);
    struct chunk_store away = *store;
    away.uri = "host=/nowhere";
    assert_int_equal(export_writer_new(&away, &(struct chunk_owner){7, 1}, &file, SPAN_LIT("ann"), 0, &writer, &err),
                     0);
    assert_int_equal(export_writer_wait(writer, 10000, &file, &err), -ERR_UNAVAILABLE);
    export_writer_free(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_statement_can_be_prepared),
        BOTH(a_file_is_there_after_commit_only),
        BOTH(an_attempt_that_lost_its_lease_changes_nothing),
        BOTH(a_later_attempt_replaces_the_file),
        BOTH(discard_gives_the_room_back),
        BOTH(removing_is_of_one_attempt),
        cmocka_unit_test_setup(a_file_needs_all_its_chunks, use_database),
        BOTH(files_of_jobs_that_ended_otherwise),
        BOTH(sweeping),
        BOTH(the_writer_hashes_and_commits),
        BOTH(the_writer_tells_of_a_failed_sink),
        cmocka_unit_test_setup(what_is_not_a_chunk, use_directory),
        cmocka_unit_test_setup(a_file_that_is_held, use_directory),
        cmocka_unit_test_setup(a_full_disk, use_directory),
    };
    return cmocka_run_group_tests(tests, chunk_fixture_start, chunk_fixture_stop);
}
