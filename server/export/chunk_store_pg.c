/* Chunks in PostgreSQL. Those of a file are written in transactions of a fraction of a second, so that downloads can
 * follow, and without waiting for the disk: the commit of the job's end waits for all (chunk_book.h). Each sink has a
 * connection of its own, perhaps one that an earlier file had; on the thread that uses it. */
#include "base/alloc.h"
#include "base/clock.h"
#include "export/chunk_book.h"
#include "export/chunk_pack.h"

enum {
    REMOVED_AT_ONCE = 64,  /* chunks a transaction: 32 MiB */
    ORPHANS_AT_ONCE = 100, /* attempts that are looked for */
    DISCARD_MS = 500       /* the end of an attempt waits for it */
};

struct chunk_sink {
    struct pg_conn *pg;
    bool is_new; /* the connection */
    struct export_idle *idle;
    struct chunk_owner owner;
    struct pg_params params;
    struct chunk_packer *packer;
    int n_unread; /* chunks whose result was not read yet */
    bool lost;    /* a chunk was not taken: the attempt has been swept */
    bool whole;   /* all is committed, and the connection good for another file */
};

void chunk_data_done(struct chunk_data *chunk)
{
    if (chunk->release)
        chunk->release(chunk->owner);
    *chunk = (struct chunk_data){0};
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_RESOURCE_EXHAUSTED, NULL, "out of memory");
}

static void sink_close(struct chunk_sink *sink)
{
    if (!sink)
        return;
    chunk_book_end(sink->idle, sink->pg, sink->whole);
    pg_params_done(&sink->params);
    chunk_packer_free(sink->packer);
    mem_free(sink);
}

static int sink_open(const struct chunk_store *store, const struct chunk_owner *owner, int32_t chunk_bytes,
                     struct chunk_sink **ret, struct err *ret_err)
{
    struct chunk_sink *sink = mem_zalloc(sizeof *sink);
    if (!sink || !(sink->packer = chunk_packer_new((size_t)chunk_bytes))) {
        mem_free(sink);
        return no_memory(ret_err);
    }
    sink->owner = *owner;
    sink->idle = store->idle;
    int rc = chunk_book_connect(store, &sink->pg, &sink->is_new, ret_err);
    if (rc != 0)
        sink_close(sink);
    else
        *ret = sink;
    return rc;
}

static int sink_begin(struct chunk_sink *sink, const struct export_file *description, struct span owner_name,
                      int64_t *ret_used_bytes, struct err *ret_err)
{
    return chunk_book_begin(sink->pg, sink->is_new, &sink->owner, description, owner_name, ret_used_bytes, ret_err);
}

int chunk_damaged(int32_t seq, struct err *ret_err)
{
    return err_set(ret_err, ERR_DATA_LOSS, "EXPORT_DAMAGED", "chunk %d of the file is damaged", seq);
}

/* Reads results until at most `left` are outstanding; so a failure is seen early and the pipeline stays short. */
static bool read_results(struct chunk_sink *sink, int left)
{
    while (sink->n_unread > left && !pg_failed(sink->pg)) {
        struct pg_result *r = pg_read(sink->pg);
        sink->lost = sink->lost || (r && pg_rows(r) == 0);
        pg_free(r);
        sink->n_unread--;
    }
    return !sink->lost && !pg_failed(sink->pg);
}

/* Says why, and undoes the transaction. */
static int failed(struct chunk_sink *sink, struct err *err)
{
    if (!sink->lost)
        return pg_commit(sink->pg, err); /* commit of a failed one: rolls back */
    pg_rollback(sink->pg);
    return err_set(err, ERR_FAILED_PRECONDITION, "LEASE_LOST", "the export was given to another attempt");
}

static int sink_write(struct chunk_sink *sink, int32_t seq, struct span data, uint32_t crc32c, struct err *ret_err)
{
    struct span packed = chunk_pack(sink->packer, data);
    chunk_book_add_owner(&sink->params, &sink->owner);
    pg_add_int4(&sink->params, seq);
    pg_add_text(&sink->params, packed.len > 0 ? packed : data);
    pg_add_int8(&sink->params, crc32c);
    pg_add_int4(&sink->params, packed.len > 0 ? (int32_t)data.len : 0);
    chunk_book_send(sink->pg, EXPORT_SQL_CHUNK_INSERT, &sink->params);
    pg_flush(sink->pg);
    sink->n_unread++;
    return read_results(sink, 1) ? 0 : failed(sink, ret_err);
}

static int sink_publish(struct chunk_sink *sink, struct err *ret_err)
{
    if (!read_results(sink, 0))
        return failed(sink, ret_err);
    return pg_commit(sink->pg, ret_err);
}

static int sink_commit(struct chunk_sink *sink, const struct export_file *file, struct span owner_name, int64_t budget,
                       struct err *ret_err)
{
    int rc = sink_publish(sink, ret_err);
    if (rc == 0)
        rc = chunk_book_commit(sink->pg, &sink->params, &sink->owner, file, owner_name, budget, ret_err);
    sink->whole = rc == 0;
    return rc;
}

/* Until it is late (monotonic); 0: until there are none. */
static int remove_until(struct pg_conn *pg, const struct chunk_owner *owner, int64_t until_ms, struct err *err)
{
    struct pg_params params = {0};
    int64_t n = REMOVED_AT_ONCE;
    bool late = false;
    while (n == REMOVED_AT_ONCE && !late) {
        chunk_book_add_owner(&params, owner);
        pg_add_int4(&params, REMOVED_AT_ONCE);
        struct pg_result *r = chunk_book_run(pg, EXPORT_SQL_CHUNK_REMOVE, &params, err);
        n = r ? pg_int(r, 0, 0) : -1;
        pg_free(r);
        late = n == REMOVED_AT_ONCE && until_ms > 0 && clock_mono_ms() >= until_ms;
    }
    pg_params_done(&params);
    if (late)
        return err_set(err, ERR_DEADLINE_EXCEEDED, NULL, "there are too many chunks to remove them all at once");
    return n >= 0 ? 0 : -(int)err->code;
}

static int remove_chunks(const struct chunk_store *store, struct pg_conn *pg, const struct chunk_owner *owner,
                         struct err *ret_err)
{
    (void)store;
    return remove_until(pg, owner, 0, ret_err);
}

static void sink_interrupt(struct chunk_sink *sink)
{
    pg_interrupt(sink->pg);
}

/* Of all attempts whose chunks are nobody's, one after the other. */
static int sweep(const struct chunk_store *store, struct pg_conn *pg, struct err *ret_err)
{
    struct pg_params params = {0};
    int n = ORPHANS_AT_ONCE, rc = 0;
    (void)store;
    while (rc == 0 && n == ORPHANS_AT_ONCE) {
        pg_params_clear(&params);
        pg_add_int4(&params, ORPHANS_AT_ONCE);
        struct pg_result *r = chunk_book_run(pg, EXPORT_SQL_CHUNK_ORPHANS, &params, ret_err);
        rc = r ? 0 : -(int)ret_err->code;
        n = r ? pg_rows(r) : 0;
        for (int i = 0; rc == 0 && i < n; i++)
            rc = remove_until(pg, &(struct chunk_owner){pg_int(r, i, 0), pg_int(r, i, 1)}, 0, ret_err);
        pg_free(r);
    }
    pg_params_done(&params);
    return rc;
}

/* The chunks of this attempt are orphans after the books say so: what is not removed here is swept. */
static int discard(const struct chunk_store *store, const struct chunk_owner *owner, struct err *ret_err)
{
    struct pg_conn *pg;
    bool keep = true;
    int64_t until_ms = clock_mono_ms() + DISCARD_MS;
    int rc = chunk_book_discard(store->uri, owner, &pg, &keep, ret_err);
    if (rc != 0)
        return rc;
    if (!keep)
        rc = remove_until(pg, owner, until_ms, ret_err);
    pg_close(pg);
    return rc;
}

static void release_result(void *result)
{
    pg_free(result);
}

int chunk_data_unpack(struct chunk_data *chunk, int32_t seq, struct err *ret_err)
{
    size_t len = (size_t)chunk->unpacked_bytes;
    if (len == 0)
        return 0;
    char *plain = mem_alloc(len);
    bool ok = plain && chunk_unpack(chunk->data, plain, len);
    uint32_t crc = chunk->crc32c;
    chunk_data_done(chunk);
    if (ok) {
        *chunk = (struct chunk_data){.data = span_of(plain, len), .crc32c = crc, .release = mem_free, .owner = plain};
        return 0;
    }
    int rc = plain ? chunk_damaged(seq, ret_err) : no_memory(ret_err);
    mem_free(plain);
    return rc;
}

/* Of one row or none; takes r. */
static int open_chunk(struct pg_result *r, int32_t seq, int32_t chunk_bytes, struct chunk_data *ret,
                      struct err *ret_err)
{
    if (pg_rows(r) == 0) {
        pg_free(r);
        return err_set(ret_err, ERR_NOT_FOUND, "EXPORT_CHUNK_NOT_FOUND", "there is no chunk %d", seq);
    }
    int64_t unpacked_bytes = pg_int(r, 0, 2);
    struct span data = pg_text(r, 0, 0);
    if (unpacked_bytes != 0 && (unpacked_bytes > chunk_bytes || !chunk_unpacks_to(data, unpacked_bytes))) {
        pg_free(r);
        return chunk_damaged(seq, ret_err);
    }
    *ret = (struct chunk_data){.data = data,
                               .unpacked_bytes = (int32_t)unpacked_bytes,
                               .crc32c = (uint32_t)pg_int(r, 0, 1),
                               .release = release_result,
                               .owner = r};
    return 0;
}

static void read_begin(struct pg_conn *pg, struct pg_params *params, const struct chunk_owner *owner, int32_t seq)
{
    chunk_book_add_owner(params, owner);
    pg_add_int4(params, seq);
    chunk_book_send(pg, EXPORT_SQL_CHUNK_GET, params);
    pg_flush(pg);
}

static int read_end(struct pg_conn *pg, int32_t seq, int32_t chunk_bytes, struct chunk_data *ret, struct err *ret_err)
{
    struct pg_result *r = pg_read_long(pg);
    return r ? open_chunk(r, seq, chunk_bytes, ret, ret_err)
             : err_set(ret_err, ERR_UNAVAILABLE, NULL, "the chunk could not be read");
}

static int read_chunk(const struct chunk_store *store, struct pg_conn *pg, const struct chunk_owner *owner, int32_t seq,
                      int32_t chunk_bytes, struct chunk_data *ret, struct err *ret_err)
{
    struct pg_params params = {0};
    (void)store;
    read_begin(pg, &params, owner, seq);
    struct pg_result *r = pg_read_long(pg);
    pg_params_done(&params);
    if (pg_commit(pg, ret_err) == 0 && r)
        return open_chunk(r, seq, chunk_bytes, ret, ret_err);
    pg_free(r);
    return -(int)ret_err->code;
}

struct chunk_store chunk_store_pg(const char *uri)
{
    return (struct chunk_store){.open = sink_open,
                                .begin = sink_begin,
                                .write = sink_write,
                                .publish = sink_publish,
                                .commit = sink_commit,
                                .interrupt = sink_interrupt,
                                .close = sink_close,
                                .discard = discard,
                                .read = read_chunk,
                                .read_begin = read_begin,
                                .read_end = read_end,
                                .remove = remove_chunks,
                                .sweep = sweep,
                                .storage = EXPORT_IN_DATABASE,
                                .uri = uri};
}
