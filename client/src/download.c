/* Downloading an export: a server stream that is opened again where it was cut. Runs on the caller's thread, and calls
 * the sink there. */
#include <stdio.h>
#include <string.h>

#include <zstd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "convert.h"
#include "export_priv.h"

bool sha256_hex(EVP_MD_CTX *digest, char hex[SHA256_HEX_SIZE])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    if (EVP_DigestFinal_ex(digest, sum, &len) != 1 || len != 32)
        return false;
    for (unsigned int i = 0; i < len; i++)
        snprintf(hex + (size_t)i * 2, 3, "%02x", sum[i]);
    return true;
}

enum {
    DAMAGED_TRIES = 3,      /* a piece that comes damaged as often is so where it lies */
    UNPACKED_MAX = 4 << 20, /* as the contract has it: who sends more has no claim to our memory */
};

struct progress {
    int64_t total; /* -1: not known yet */
    char sha256[SHA256_HEX_SIZE];
    bool moved;      /* something has come since the stream was opened */
    bool ever_moved; /* something has come at all */
    int n_damaged;   /* streams that ended with a damaged piece */
    char *unpacked;  /* room for a piece */
    size_t room;
    ZSTD_DCtx *unpacker;
};

static int damaged(struct err *ret_err)
{
    return err_set(ret_err, ERR_DATA_LOSS, "WRONG_CRC", "a piece of the file was damaged on its way");
}

/* The piece as it is in the file; borrowed from the message or the progress. */
static int open_piece(struct progress *p, const Joblog__V1__DownloadExportResponse *m, struct span *ret,
                      struct err *ret_err)
{
    size_t len = (size_t)m->unpacked_size;
    *ret = span_of((const char *)m->data.data, m->data.len);
    if (m->unpacked_size == 0)
        return 0;
    if (m->unpacked_size < 0 || m->unpacked_size > UNPACKED_MAX)
        return err_set(ret_err, ERR_DATA_LOSS, "WRONG_SIZE", "the server sent a piece larger than one may be");
    if (!p->unpacker && !(p->unpacker = ZSTD_createDCtx()))
        return error_no_memory(ret_err);
    if (len > p->room) {
        mem_free(p->unpacked);
        p->room = 0;
        if (!(p->unpacked = mem_alloc(len)))
            return error_no_memory(ret_err);
        p->room = len;
    }
    *ret = span_of(p->unpacked, len);
    return ZSTD_decompressDCtx(p->unpacker, p->unpacked, len, m->data.data, m->data.len) == len ? 0 : damaged(ret_err);
}

static int take_piece(struct download *d, struct progress *p, const Joblog__V1__DownloadExportResponse *m,
                      struct err *ret_err)
{
    if (m->file) {
        p->total = m->file->complete ? m->file->size : -1;
        snprintf(p->sha256, sizeof p->sha256, "%s", text_of(m->file->sha256));
    }
    d->attempt = m->attempt;
    if (m->data.len == 0)
        return 0;
    if (m->offset != d->offset)
        return err_set(ret_err, ERR_DATA_LOSS, "WRONG_OFFSET", "the server sent a piece that does not follow the last");
    struct span data;
    int rc = open_piece(p, m, &data, ret_err);
    if (rc != 0)
        return rc;
    if (crc32c(0, data.data, data.len) != m->crc32c)
        return damaged(ret_err);
    if (d->digest && EVP_DigestUpdate(d->digest, data.data, data.len) != 1)
        return err_set(ret_err, ERR_INTERNAL, NULL, "could not compute the sum of the file");
    if (d->sink(d->user, data.data, data.len, m->offset, p->total) != 0)
        return err_set(ret_err, ERR_ABORTED, "STOPPED_BY_CALLER", "the download was stopped");
    d->offset += (int64_t)data.len;
    p->moved = p->ever_moved = true;
    return 0;
}

/* What has been given to the sink is whole: the next stream may bring the rest. */
static bool is_damage(const struct err *e)
{
    return e->code == ERR_DATA_LOSS && (strcmp(e->reason, "WRONG_CRC") == 0 || strcmp(e->reason, "TRUNCATED") == 0 ||
                                        strcmp(e->reason, "EXPORT_DAMAGED") == 0);
}

/* One stream to its end. 0, or -code; *ret_final: trying again is of no use. */
static int read_stream(struct download *d, struct progress *p, bool *ret_final, struct err *ret_err)
{
    Joblog__V1__DownloadExportRequest request = JOBLOG__V1__DOWNLOAD_EXPORT_REQUEST__INIT;
    request.id = d->id;
    request.offset = d->offset;
    request.follow = d->follow;
    request.attempt = d->offset > 0 ? d->attempt : 0;
    request.accept_zstd =
        p->n_damaged == 0; /* else the server unpacks, and finds whether it is damaged where it lies */
    struct call_options options;
    call_options_init(&options, &d->client->credentials, 0);
    struct crpc_stream *stream =
        joblog_v1_export_service_download_export_open(d->client->channel, &options.options, &request, ret_err);
    call_options_done(&options);
    if (!stream)
        return -(int)ret_err->code;
    int rc;
    Joblog__V1__DownloadExportResponse *m = NULL;
    while ((rc = joblog_v1_export_service_download_export_read(stream, &m, ret_err)) == 1) {
        int taken = take_piece(d, p, m, ret_err);
        crpc_message_free(&m->base);
        if (taken < 0) {
            *ret_final = !is_damage(ret_err);
            rc = taken;
            break;
        }
    }
    crpc_stream_free(stream);
    return rc;
}

/* Streams until all is there. */
static int read_all(struct download *d, struct progress *p, struct err *ret_err)
{
    struct backoff backoff = BACKOFF_STREAM;
    int64_t give_up_ms = clock_mono_ms() + d->client->timeout_ms;
    for (;;) {
        struct err e = ERR_NONE;
        bool final = false;
        int rc = read_stream(d, p, &final, &e);
        if (rc == 0 && d->offset == p->total)
            return 0;
        if (rc == 0)
            err_set(&e, ERR_DATA_LOSS, "TRUNCATED", "the server ended the download early");
        if (p->moved) {
            backoff.next_ms = 0;
            give_up_ms = clock_mono_ms() + d->client->timeout_ms;
            p->moved = false;
        }
        int64_t pause = backoff_next_ms(&backoff, e.retry_after_ms);
        /* What was given to the sink is of an attempt that failed: only who has the sink can take it back. */
        if (strcmp(e.reason, "EXPORT_RESTARTED") == 0 && d->offset > 0)
            final = true;
        /* A download that was under way goes on after a cut also for a client that wants no retries. */
        bool again = stream_was_cut(&e) || (is_damage(&e) && ++p->n_damaged < DAMAGED_TRIES);
        bool retries = d->client->retry || p->ever_moved;
        if (final || !again || !retries || clock_mono_ms() + pause > give_up_ms) {
            *ret_err = e;
            return -(int)e.code;
        }
        call_pause(d->client, pause);
    }
}

int download_run(struct download *d, struct err *ret_err)
{
    struct progress p = {.total = -1};
    int rc = read_all(d, &p, ret_err);
    mem_free(p.unpacked);
    ZSTD_freeDCtx(p.unpacker);
    if (rc != 0)
        return rc;
    char sum[SHA256_HEX_SIZE];
    if (d->digest && (!sha256_hex(d->digest, sum) || strcmp(sum, p.sha256) != 0))
        return err_set(ret_err, ERR_DATA_LOSS, "WRONG_SUM", "the SHA-256 of the file is not what the server has");
    return 0;
}

static int download_to_sink(struct joblog_client *client, int64_t id, int64_t offset, bool follow,
                            joblog_download_sink *sink, void *user, struct joblog_export **ret_export,
                            struct joblog_error *error)
{
    struct err e = ERR_NONE;
    struct download d = {.client = client, .id = id, .offset = offset, .follow = follow, .sink = sink, .user = user};
    d.digest = offset == 0 ? EVP_MD_CTX_new() : NULL;
    if (offset == 0 && (!d.digest || EVP_DigestInit_ex(d.digest, EVP_sha256(), NULL) != 1))
        error_no_memory(&e);
    if (e.code == ERR_OK)
        download_run(&d, &e);
    EVP_MD_CTX_free(d.digest);
    if (e.code == ERR_OK && ret_export) {
        struct joblog_export *out = export_get(client, id, &e);
        if (out)
            *ret_export = out;
    }
    return error_give(error, &e);
}

int joblog_export_download(struct joblog_client *client, int64_t id, int64_t offset, joblog_download_sink *sink,
                           void *user, struct joblog_export **ret_export, struct joblog_error *error)
{
    return download_to_sink(client, id, offset, false, sink, user, ret_export, error);
}

int joblog_export_follow(struct joblog_client *client, int64_t id, joblog_download_sink *sink, void *user,
                         struct joblog_export **ret_export, struct joblog_error *error)
{
    return download_to_sink(client, id, 0, true, sink, user, ret_export, error);
}
