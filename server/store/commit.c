/* How a batch is committed, and what becomes of one whose connection was lost meanwhile. Writer thread. */
#include <string.h>
#include <time.h>

#include "store/commit.h"

/* What was asked changes rows too; a batch that only reads needs no mark. */
static void send_mark(struct writer *w)
{
    struct pg_params *p = &w->params;

    note_changes(w);

    pg_params_clear(p);
    pg_add_int4(p, w->replica);
    pg_add_int8(p, w->batch_number + 1);
    pg_add_int8(p, id_make(&w->ids, w->batch.now_us));
    pg_add_time(p, w->batch.now_us);
    pg_add_text_or_null(p, buf_span(&w->changes));
    p->v[p->n - 1].buf.failed |= w->changes.failed;
    pg_add_text_or_null(p, buf_span(&w->owed));
    if (w->mark_place)
        pg_add_place(p, w->mark_place);
    w->batch.by_place |= w->mark_place != 0;
    pg_send(w->pg, sql_name(w->mark_place ? SQL_REPLICA_SET : SQL_REPLICA_PUT), p);
}

/* Where the rows of the counters and the mark lie now. */
static void read_places(struct writer *w)
{
    struct pg_result *r;

    counters_read(w, 1);
    r = pg_read(w->pg);
    w->mark_place = r && pg_rows(r) == 1 ? pg_place(r, 0, 0) : 0;
    pg_free(r);
}

/* A row that was written by where it lies was not there: somebody wrote the table anew. By its key it will be found. */
static bool has_moved(const struct writer *w)
{
    return w->batch.by_place && strcmp(pg_sqlstate(w->pg), "22012") == 0;
}

int batch_recover(struct writer *w, bool in_flight, struct err *ret_err)
{
    enum { CLOSING_MS = 3000 };
    int64_t start = clock_mono_us(), wait_ms = 20, marked = w->batch_number + 1;
    int number = w->replica;
    int rc;

    atomic_store_explicit(&w->store->batch_since_us, 0, memory_order_relaxed); /* that is not too much load */
    while ((rc = writer_connect(w, in_flight, ret_err)) < 0) {
        int64_t patience_ms = w->options->reconnect_ms;
        if (atomic_load(&w->store->hurried) && patience_ms > CLOSING_MS)
            patience_ms = CLOSING_MS;
        if (clock_mono_us() - start > patience_ms * 1000)
            return rc;
        struct timespec pause = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
        wait_ms = wait_ms * 2 > 1000 ? 1000 : wait_ms * 2;
    }
    return in_flight && w->replica == number && w->batch_number == marked;
}

int batch_reconnected(struct err *ret_err)
{
    return err_set(ret_err, ERR_ABORTED, "DATABASE_RECONNECTED", "the connection to the database was lost, try again");
}

int batch_commit(struct writer *w, struct err *ret_err)
{
    int rc;

    if (w->batch.failed_memory) {
        pg_rollback(w->pg);
        return err_set(ret_err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
    }
    if (w->batch.spoilt) {
        pg_rollback(w->pg);
        return err_set(ret_err, ERR_FAILED_PRECONDITION, NULL, "a job of this batch has timed out");
    }
    if (!pg_failed(w->pg)) {
        rows_send(w);
        counters_send(w);
        if (w->batch.n_sent == 0)
            return 0;
        send_mark(w);
    }
    if (!pg_failed(w->pg)) { /* else the commit is not sent, and no result comes */
        pg_send_commit(w->pg);
        read_places(w);
    }
    rc = pg_commit(w->pg, ret_err);
    if (rc < 0)
        w->mark_place = 0;
    if (rc == 0) {
        w->batch_number++;
        note_committed(w);
        counters_commit(w);
        return 0;
    }
    if (!pg_lost(w->pg))
        return has_moved(w) ? batch_reconnected(ret_err) : rc;
    rc = batch_recover(w, true, ret_err);
    if (rc > 0) {
        /* The counters were read again with the connection. */
        counters_drop(w);
        return 0;
    }
    if (rc < 0) {
        /* Perhaps it was committed all the same: nobody can say. */
        w->unknown = true;
        return err_set(ret_err, ERR_UNAVAILABLE, "DATABASE_UNAVAILABLE",
                       "the database cannot be reached; what was asked may or may not have been done");
    }
    return batch_reconnected(ret_err);
}
